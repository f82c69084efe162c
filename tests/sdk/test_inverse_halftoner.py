"""``InverseHalftoner``: the same kind comes back, the same pixels every time, and the dots are gone."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import sdk
from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, UnsupportedImageError
from sdk.files import encode, read, write
from sdk.headers import Header
from sdk.images import Picture
from tests.conftest import SAMPLES

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def dots(white: np.ndarray) -> np.ndarray:
    """bool 64x64 of the sample."""
    return white[200:264, 300:364].copy()


@pytest.fixture(scope="module")
def colour_dots(white: np.ndarray) -> np.ndarray:
    """bool 64x64x3, another part of the sample in each channel."""
    return np.stack([white[y : y + 64, 300:364] for y in (100, 200, 300)], axis=-1)


def as_dtype(white: np.ndarray, dtype: type) -> np.ndarray:
    return white * np.array(1 if dtype in (np.bool_, np.float32) else np.iinfo(dtype).max, dtype)


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((found.astype(np.float64) - wanted) ** 2)))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# Quality


@pytest.fixture(scope="module")
def restored_sample(restorer: sdk.InverseHalftoner, white: np.ndarray) -> np.ndarray:
    return restorer.run(white)


def test_the_sample_is_restored(restored_sample: np.ndarray, photo: np.ndarray) -> None:
    assert restored_sample.dtype == np.uint8
    assert psnr(restored_sample, photo) > 29


def test_the_sample_is_restored_better_than_by_a_blur(restored_sample: np.ndarray, photo: np.ndarray, white: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(white * np.float32(255), (0, 0), 1.2)
    assert psnr(restored_sample, photo) > psnr(blurred, photo) + 2


def test_threshold_mends_a_jpeg_coded_halftone(photo: np.ndarray, white: np.ndarray) -> None:
    region = np.s_[100:228, 100:228]
    quality = [cv2.IMWRITE_JPEG_QUALITY, 30]
    coded = cv2.imdecode(cv2.imencode(".jpg", as_dtype(white[region], np.uint8), quality)[1], cv2.IMREAD_GRAYSCALE)
    with pytest.warns(sdk.NotTwoLevelsWarning):
        as_it_is = sdk.InverseHalftoner("fast", device="cpu").run(coded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mended = sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(coded)
    assert psnr(mended, photo[region]) > psnr(as_it_is, photo[region]) + 0.5


def test_threshold_cuts_at_its_level(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    faint = np.where(dots, np.uint8(120), np.uint8(90))
    for level, same in ((0.4, True), (0.3, False), (0.5, False)):
        result = sdk.InverseHalftoner("fast", device="cpu", threshold=level).run(faint)
        assert np.array_equal(result, restorer.run(dots)) == same


# Arrays


@pytest.mark.parametrize(
    ("given", "returned"), [(np.bool_, np.uint8), (np.uint8, np.uint8), (np.uint16, np.uint16), (np.float32, np.float32)]
)
def test_dtype_is_kept(restorer: sdk.InverseHalftoner, dots: np.ndarray, given: type, returned: type) -> None:
    result = restorer.run(as_dtype(dots, given))
    assert result.dtype == returned
    assert result.shape == dots.shape
    scale = 255 if returned == np.float32 else 255 / np.iinfo(returned).max
    assert np.abs(result * scale - restorer.run(dots)).max() <= 0.51


def test_16_bits_and_floats_are_finer_than_8(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    deep = restorer.run(as_dtype(dots, np.uint16))
    assert np.unique(deep).size > 256
    assert np.unique(restorer.run(as_dtype(dots, np.float32))).size > 256


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_colour_is_restored_channel_by_channel(restorer: sdk.InverseHalftoner, colour_dots: np.ndarray, dtype: type) -> None:
    given = as_dtype(colour_dots, dtype)
    result = restorer.run(given)
    channels = [restorer.run(np.ascontiguousarray(given[..., c])) for c in range(3)]
    np.testing.assert_array_equal(result, np.stack(channels, axis=-1))


def test_grey_stored_as_rgb_stays_grey(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    result = restorer.run(np.dstack([dots] * 3))
    np.testing.assert_array_equal(result, np.dstack([restorer.run(dots)] * 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_returns_unchanged(restorer: sdk.InverseHalftoner, colour_dots: np.ndarray, dtype: type) -> None:
    alpha = np.random.default_rng(1).random((64, 64), dtype=np.float32)
    alpha = alpha if dtype == np.float32 else (alpha * np.iinfo(dtype).max).astype(dtype)
    colour = as_dtype(colour_dots, dtype)
    result = restorer.run(np.dstack([colour, alpha]))
    np.testing.assert_array_equal(result[..., 3], alpha)
    np.testing.assert_array_equal(result[..., :3], restorer.run(colour))


@pytest.mark.parametrize("size", [(101, 67), (8, 8), (9, 200), (64, 65)])
def test_any_size_from_8_px(restorer: sdk.InverseHalftoner, white: np.ndarray, size: tuple[int, int]) -> None:
    assert restorer.run(white[: size[0], : size[1]]).shape == size


def test_the_input_is_not_changed(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    given = as_dtype(dots, np.float32)
    given.setflags(write=False)
    assert not np.shares_memory(restorer.run(given), given)
    np.testing.assert_array_equal(given, dots)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 0), np.uint8),
        np.zeros((1, 99), bool),
        np.zeros((64, 64)),
        np.full((64, 64), np.nan, np.float32),
        np.full((64, 64), 255, np.float32),
        np.zeros((64, 64, 2), np.uint8),
    ],
    ids=["0x0", "1xN", "float64", "NaN", "0..255 float", "2 channels"],
)
def test_bad_arrays_are_refused(restorer: sdk.InverseHalftoner, array: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError):
        restorer.run(array)


@pytest.mark.parametrize("thing", [None, 5, [[0, 1], [1, 0]], bytearray(b"GIF89a")], ids=repr)
def test_other_things_are_refused(restorer: sdk.InverseHalftoner, thing: Any) -> None:
    with pytest.raises(UnsupportedImageError, match=r"give a path, bytes, a PIL image or a numpy array"):
        restorer.run(thing)


# Other kinds of input


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_path_gives_an_array(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path, as_path: type) -> None:
    Image.fromarray(dots).save(tmp_path / "a.png")
    np.testing.assert_array_equal(restorer.run(as_path(tmp_path / "a.png")), restorer.run(dots))


@pytest.mark.parametrize(("mode", "returned"), [("1", "L"), ("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA")])
def test_pil_mode_is_kept(restorer: sdk.InverseHalftoner, dots: np.ndarray, mode: str, returned: str) -> None:
    result = restorer.run(Image.fromarray(dots).convert(mode))
    assert result.mode == returned
    np.testing.assert_array_equal(np.asarray(result.getchannel(0)), restorer.run(dots))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pil_images_stay_deep(restorer: sdk.InverseHalftoner, dots: np.ndarray, dtype: type) -> None:
    image = Image.fromarray(as_dtype(dots, dtype))
    result = restorer.run(image)
    assert result.mode == image.mode
    np.testing.assert_array_equal(np.asarray(result), restorer.run(as_dtype(dots, dtype)))


def test_pil_dpi_and_icc_are_kept(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    image = Image.fromarray(dots)
    image.info |= {"dpi": (300, 300), "icc_profile": ICC}
    assert restorer.run(image).info == {"dpi": (300, 300), "icc_profile": ICC}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG"])
def test_bytes_give_bytes_of_the_same_format(restorer: sdk.InverseHalftoner, dots: np.ndarray, format: str) -> None:
    data = encode([Picture(as_dtype(dots, np.uint8))], format)
    result = read(restorer.run(data))
    assert result.format == format
    if format not in ("JPEG", "WEBP"):  # JPEG is not exact; WebP has no grey
        np.testing.assert_array_equal(result.pages[0].pixels, restorer.run(dots))


def test_bytes_of_another_format_give_png(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(dots).convert("L").save(stream, "JPEG2000")
    assert read(restorer.run(stream.getvalue())).format == "PNG"


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_bad_bytes_are_refused(restorer: sdk.InverseHalftoner, data: bytes) -> None:
    with pytest.raises(ImageReadError):
        restorer.run(data)


def test_run_batch(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    array, image = restorer.run_batch([dots, Image.fromarray(dots)])
    np.testing.assert_array_equal(array, restorer.run(dots))
    np.testing.assert_array_equal(np.asarray(image), array)
    assert restorer.run_batch([]) == []


def floats_as_tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.float32)).save(stream, "TIFF")
    return stream.getvalue()


BAD = [np.zeros((1, 9), bool), b"no picture", "missing.png", floats_as_tiff()]


@pytest.mark.parametrize("bad", BAD, ids=["array", "bytes", "path", "floats"])
def test_run_batch_names_the_bad_picture(restorer: sdk.InverseHalftoner, dots: np.ndarray, bad: Any) -> None:
    with pytest.raises(InverseHalftonerError, match="Picture 1 of the batch"):
        restorer.run_batch([dots, bad, dots])


# Files


def test_run_file_keeps_pages_and_header(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    pages = [dots, ~dots, dots[:40, :56]]
    write(tmp_path / "in.tif", [Picture(page, header=Header(dpi=(600.0, 600.0), icc_profile=ICC)) for page in pages])
    told = []
    restorer.run_file(tmp_path / "in.tif", tmp_path / "out.tif", on_page=lambda done, total: told.append((done, total)))
    result = read(tmp_path / "out.tif")
    assert result.header.dpi == (600, 600)
    assert result.header.icc_profile == ICC
    assert len(result.pages) == 3
    for found, page in zip(result.pages, pages):
        np.testing.assert_array_equal(found.pixels, restorer.run(page))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert files_below(tmp_path) == ["in.tif", "out.tif"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_run_file_keeps_16_bit_colour_and_alpha(
    restorer: sdk.InverseHalftoner, colour_dots: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    colour = as_dtype(colour_dots, np.uint16)
    alpha = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    write(tmp_path / f"in{suffix}", [Picture(colour, alpha)])
    restorer.run_file(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    (page,) = read(tmp_path / f"out{suffix}").pages
    np.testing.assert_array_equal(page.pixels, restorer.run(colour))
    np.testing.assert_array_equal(page.alpha, alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif"])
def test_run_file_keeps_frames_and_timing(restorer: sdk.InverseHalftoner, white: np.ndarray, tmp_path: Path, suffix: str) -> None:
    frames = [white[y : y + 64, 300:364] for y in (100, 200, 300)]
    images = [Image.fromarray(frame).convert("P") for frame in frames]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=[100, 200, 400], loop=0)
    restorer.run_file(tmp_path / "in.gif", tmp_path / f"out{suffix}")
    result = read(tmp_path / f"out{suffix}")
    assert [page.duration for page in result.pages] == [100, 200, 400]
    assert result.loop == 0
    for found, frame in zip(result.pages, frames):
        grey = found.pixels if found.pixels.ndim == 2 else found.pixels[..., 0]
        np.testing.assert_array_equal(grey, restorer.run(frame))


def test_run_file_applies_the_orientation_and_keeps_exif(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Image.fromarray(dots[:48]).save(tmp_path / "in.png", exif=exif)
    restorer.run_file(tmp_path / "in.png", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), restorer.run(np.rot90(dots[:48], -1)))
        assert dict(image.getexif()) == {0x010F: "Maker"}


def test_run_file_keeps_an_existing_file(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(dots).save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"old")
    with pytest.raises(ImageWriteError, match="exists already"):
        restorer.run_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    restorer.run_file(tmp_path / "in.png", tmp_path / "out.png", overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / "out.png").pages[0].pixels, restorer.run(dots))


def test_run_file_writes_nothing_on_failure(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(as_dtype(dots, np.uint16)).save(tmp_path / "deep.png")
    for source, target in (("text.png", "out.png"), ("missing.png", "out.png"), ("deep.png", "out.jpg"), ("deep.png", "out.xyz")):
        with pytest.raises(InverseHalftonerError):
            restorer.run_file(tmp_path / source, tmp_path / target)
    assert files_below(tmp_path) == ["deep.png", "text.png"]


# The warning


def test_grey_input_is_warned_about_with_what_to_do(restorer: sdk.InverseHalftoner) -> None:
    with pytest.warns(sdk.NotTwoLevelsWarning, match=r"no clean 1-bit.*threshold=0\.5.*--threshold 0\.5.*original size") as caught:
        restorer.run(np.full((64, 64), 128, np.uint8))
    assert caught[0].filename == __file__  # it points at the caller


def test_many_grey_pictures_print_one_warning(restorer: sdk.InverseHalftoner) -> None:
    """By Python's own filter: the text is the same for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("once")
        for level in (128, 64):
            restorer.run(np.full((64, 64, 3), level, np.uint8))
    assert len(caught) == 1


def test_what_the_target_cannot_hold_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.fromarray(np.zeros((32, 32), bool))] * 2
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    restorer = sdk.InverseHalftoner("fast", device="cpu")
    monkeypatch.setattr(restorer, "_restore", lambda page: pytest.fail("work was done"))
    with pytest.raises(sdk.errors.ImageWriteError, match="one picture"):
        restorer.run_file(tmp_path / "two.tif", tmp_path / "two.jpg")


def test_a_failing_runtime_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = sdk.InverseHalftoner("fast", device="cpu")

    class Broken:
        def get_inputs(self) -> list:
            return [type("Input", (), {"name": "halftone"})]

        def run(self, *_: object) -> None:
            raise RuntimeError("bad allocation")

    monkeypatch.setattr(restorer._network._backend, "session", Broken())
    with pytest.raises(sdk.errors.InferenceError, match="smaller tile"):
        restorer.run(np.zeros((32, 32), bool))


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": "4"},
        {"threads": 2.5},
        {"backend": None},
        {"threshold": "0.5"},
        {"threshold": np.float32(1.5)},
        {"tile": 128.0},
        {"overlap": 1.5},
        {"model": None},
        {"model": 3},
        {"model": b"fast"},
    ],
)
def test_options_of_a_wrong_kind_are_refused(options: dict) -> None:
    with pytest.raises(sdk.errors.OptionError):
        sdk.InverseHalftoner(**{"model": "fast", "device": "cpu", **options})


def test_numbers_of_numpy_are_numbers(dots: np.ndarray) -> None:
    options = {
        "tile": np.int64(96),
        "overlap": np.int32(16),
        "threshold": np.float32(0.5),
        "scale": np.float64(0.5),
        "threads": np.int64(1),
    }
    assert sdk.InverseHalftoner("fast", device="cpu", **options).run(dots).shape == (dots.shape[0] // 2, dots.shape[1] // 2)


@pytest.mark.parametrize("model", ["scan", "gif", "colour"])
def test_grey_stored_as_rgb_stays_exactly_grey(dots: np.ndarray, model: str) -> None:
    restorer, grey = sdk.InverseHalftoner(model, device="cpu"), dots[:96, :128].astype(np.uint8) * 255
    restored = restorer.run(np.repeat(grey[..., None], 3, axis=2))
    for c in range(3):
        np.testing.assert_array_equal(restored[..., c], restorer.run(grey))


def test_a_truncated_pil_image_is_named_in_a_batch(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.tile(dots, (4, 4))).save(stream, "PNG")
    truncated = Image.open(io.BytesIO(stream.getvalue()[: stream.tell() // 2]))
    with pytest.raises(sdk.errors.ImageReadError, match=r"Picture 1 of the batch: The PIL image cannot be decoded"):
        restorer.run_batch([dots, truncated])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_two_levels_are_not_warned_about(dots: np.ndarray, dtype: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sdk.InverseHalftoner("fast", device="cpu").run(as_dtype(dots, dtype))


# Same pixels


def test_same_input_same_pixels(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    given = as_dtype(dots, np.float32)
    first = restorer.run(given)
    np.testing.assert_array_equal(restorer.run(given), first)
    np.testing.assert_array_equal(sdk.InverseHalftoner("fast", device="cpu").run(given), first)


def test_threads_give_what_serial_calls_give(restorer: sdk.InverseHalftoner, white: np.ndarray) -> None:
    pictures = [white[y : y + 64, x : x + 64 + 8 * (x // 100)] for y in (0, 200, 400) for x in (0, 100, 300, 500)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(restorer.run, pictures))
    for found, picture in zip(together, pictures):
        np.testing.assert_array_equal(found, restorer.run(picture))


@pytest.mark.parametrize("shape", [(320, 448), (263, 300)])
def test_tiled_equals_whole(restorer: sdk.InverseHalftoner, white: np.ndarray, shape: tuple[int, int]) -> None:
    region = white[100 : 100 + shape[0], 200 : 200 + shape[1]].astype(np.float32)
    tiled = sdk.InverseHalftoner("fast", device="cpu", tile=256)
    assert tiled.describe()["tile"] < max(region.shape) <= restorer.describe()["tile"]
    assert np.abs(tiled.run(region) - restorer.run(region)).max() <= 1 / 255


def test_describe_says_what_runs() -> None:
    described = sdk.InverseHalftoner("fast", device="cpu", tile=128, overlap=40, threshold=0.3).describe()
    assert described == {
        "model": "fast",
        "backend": "onnxruntime",
        "device": "cpu",
        "precision": "fp32",
        "tile": 128,
        "overlap": 40,
        "threshold": 0.3,
        "method": None,
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_24_megapixel_page_needs_less_than_1500_megabytes(tmp_path: Path) -> None:
    """A 1-bit TIFF through the CLI, with nothing left out, in a process of its own."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 2, (4000, 6000), np.uint8) * 255).convert("1").save(tmp_path / "page.tif", dpi=(400, 400))
    program = """
import sys
from sdk.cli import main
status = main(["restore", "page.tif", "-o", "restored.tif", "--device", "cpu"])
# of this program alone: ru_maxrss would begin with what the process that started it held
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    peak = int(result.stdout.split()[-1])
    print(f"peak memory of a 24-megapixel page: {peak / 1e9:.2f} GB")
    assert peak < 1.5e9
    with Image.open(tmp_path / "restored.tif") as restored:
        assert (restored.size, restored.mode, restored.info["dpi"]) == ((6000, 4000), "L", (400, 400))


def test_the_press_scan_is_restored_with_a_threshold() -> None:
    """A real scan, cut to two levels: smoother than the dots, with their mean."""
    scan = read(SAMPLES / "gallica_press_1910s.jpg").pages[0].pixels
    scan = (scan if scan.ndim == 2 else scan[..., 0])[:128, :128]
    result = sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(np.ascontiguousarray(scan)).astype(float)
    cut = (scan > 127) * 255.0
    assert abs(result.mean() - cut.mean()) < 12
    assert np.abs(np.diff(result)).mean() < 0.7 * np.abs(np.diff(cut)).mean()
