"""``sdk.Halftoner``: each kind of picture in, the same kind out."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import sdk
from sdk import files
from sdk.errors import ImageWriteError, InverseHalftonerError, OptionError, UnsupportedImageError
from sdk.halftoning import METHODS, halftone
from sdk.images import Picture, widened


@pytest.fixture
def rgb(photo: np.ndarray) -> np.ndarray:
    """uint8 48x64 RGB, with three unlike channels."""
    return np.stack([photo[:48, :64], photo[100:148, 300:364], photo[48:0:-1, 64:0:-1]], axis=-1)


@pytest.fixture
def grey(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[200:248, 300:364])


@pytest.fixture
def halftoner() -> sdk.Halftoner:
    return sdk.Halftoner("floyd-steinberg", serpentine=True)


def png_bytes(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", **options)
    return stream.getvalue()


# ---- kinds of picture


def test_grey_array(grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    np.testing.assert_array_equal(halftoner.run(grey), halftone(grey, "floyd-steinberg", serpentine=True))


@pytest.mark.parametrize("name", sorted(name for name, method in METHODS.items() if method.per_plane))
def test_rgb_is_halftoned_channel_by_channel(rgb: np.ndarray, name: str) -> None:
    planes = [sdk.Halftoner(name).run(np.ascontiguousarray(rgb[..., c])) for c in range(3)]
    np.testing.assert_array_equal(sdk.Halftoner(name).run(rgb), np.stack(planes, axis=-1))


def test_views_give_what_copies_give(rgb: np.ndarray, halftoner: sdk.Halftoner) -> None:
    view = rgb[::-1, ::2, ::-1]
    np.testing.assert_array_equal(halftoner.run(view), halftoner.run(view.copy()))


def test_grey_option_takes_the_luma(rgb: np.ndarray) -> None:
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(sdk.Halftoner("bayer", grey=True).run(rgb), halftone(luma, "bayer"))
    np.testing.assert_array_equal(sdk.Halftoner("bayer", grey=True).run(luma), halftone(luma, "bayer"))


def test_palette_and_bit_depth_give_uint8(rgb: np.ndarray) -> None:
    for method in ("palette", "bit-depth"):
        halftoned = sdk.Halftoner(method).run(rgb)
        assert (halftoned.dtype, halftoned.shape) == (np.uint8, rgb.shape)


def test_pil_grey(grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    image = Image.fromarray(grey)
    image.info["dpi"] = (300, 300)
    halftoned = halftoner.run(image)
    assert halftoned.mode == "1"
    assert halftoned.info["dpi"] == (300, 300)
    np.testing.assert_array_equal(np.asarray(halftoned), halftoner.run(grey))


def test_pil_rgb(rgb: np.ndarray, halftoner: sdk.Halftoner) -> None:
    halftoned = halftoner.run(Image.fromarray(rgb))
    assert halftoned.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(halftoned), 255 * halftoner.run(rgb).astype(np.uint8))


@pytest.mark.parametrize("kind", ["str", "path"])
def test_path(tmp_path: Path, grey: np.ndarray, halftoner: sdk.Halftoner, kind: str) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(grey).save(path)
    np.testing.assert_array_equal(halftoner.run(str(path) if kind == "str" else path), halftoner.run(grey))


def test_bytes(grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    halftoned = halftoner.run(png_bytes(Image.fromarray(grey), dpi=(600, 600)))
    with Image.open(io.BytesIO(halftoned)) as image:
        assert (image.format, image.mode) == ("PNG", "1")
        assert image.info["dpi"] == pytest.approx((600, 600), abs=0.1)
        np.testing.assert_array_equal(np.asarray(image), halftoner.run(grey))


def test_jpeg_bytes_become_png(grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, format="JPEG")
    assert halftoner.run(stream.getvalue()).startswith(b"\x89PNG")


def test_tiff_bytes_stay_tiff(grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, format="TIFF")
    with Image.open(io.BytesIO(halftoner.run(stream.getvalue()))) as image:
        assert image.format == "TIFF"


def test_other_kinds_are_refused(halftoner: sdk.Halftoner) -> None:
    with pytest.raises(UnsupportedImageError, match="list"):
        halftoner.run([[0, 255]])


# ---- files


def test_run_file_keeps_pages_and_dpi(tmp_path: Path, grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    source, target = tmp_path / "photo.tif", tmp_path / "halftone.tif"
    pages = [Image.fromarray(grey), Image.fromarray(np.ascontiguousarray(grey[::-1]))]
    pages[0].save(source, save_all=True, append_images=pages[1:], dpi=(300, 300))
    halftoner.run_file(source, target)
    written = files.read(target)
    assert written.pages[0].header.dpi == (300, 300)
    assert len(written.pages) == 2
    for page, given in zip(written.pages, (grey, grey[::-1])):
        assert page.pixels.dtype == bool
        np.testing.assert_array_equal(page.pixels, halftoner.run(given))


def test_run_file_overwrites_only_when_told(tmp_path: Path, grey: np.ndarray, halftoner: sdk.Halftoner) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "halftone.png"
    Image.fromarray(grey).save(source)
    target.write_bytes(b"precious")
    with pytest.raises(ImageWriteError, match="exists"):
        halftoner.run_file(source, target)
    assert target.read_bytes() == b"precious"
    halftoner.run_file(source, target, overwrite=True)
    np.testing.assert_array_equal(files.read(target).pages[0].pixels, halftoner.run(grey))


@pytest.mark.parametrize("method", ["bayer", "palette", "bit-depth"])
def test_jpeg_is_refused_before_the_work(tmp_path: Path, grey: np.ndarray, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(grey).save(tmp_path / "photo.png")
    halftoner = sdk.Halftoner(method)
    monkeypatch.setattr(sdk.Halftoner, "_halftone", None)
    with pytest.raises(ImageWriteError, match=r"halftone\.jpg: JPEG would blur the dots"):
        halftoner.run_file(tmp_path / "photo.png", tmp_path / "halftone.jpg")


@pytest.mark.parametrize(
    ("method", "depth", "suffix", "message"),
    [
        ("bit-depth", np.uint16, "webp", "WEBP holds 8 bits a channel, but the picture has uint16"),
        ("palette", np.uint8, "pgm", "PGM holds grey"),
    ],
)
def test_formats_that_do_not_hold_the_result_are_refused_before_the_work(
    tmp_path: Path, grey: np.ndarray, monkeypatch: pytest.MonkeyPatch, method: str, depth: type, suffix: str, message: str
) -> None:
    Image.fromarray(grey.astype(depth)).save(tmp_path / "photo.png")
    halftoner, large = sdk.Halftoner(method), []
    work = sdk.Halftoner._halftone
    monkeypatch.setattr(sdk.Halftoner, "_halftone", lambda self, page, seed: large.append(page.pixels.shape) or work(self, page, seed))
    with pytest.raises(ImageWriteError, match=message):
        halftoner.run_file(tmp_path / "photo.png", tmp_path / f"halftone.{suffix}")
    assert large == [(8, 8)]


@pytest.mark.parametrize("method", ["palette", "floyd-steinberg"])
def test_gif_holds_palettes_and_dots_exactly(tmp_path: Path, rgb: np.ndarray, method: str) -> None:
    frames = [Image.fromarray(np.ascontiguousarray(rgb[::way])) for way in (1, -1)]
    frames[0].save(tmp_path / "photos.png", save_all=True, append_images=frames[1:], duration=[80, 120])
    Image.fromarray(rgb).save(tmp_path / "photo.png")
    halftoner = sdk.Halftoner(method)
    for name in ("photo", "photos"):
        halftoner.run_file(tmp_path / f"{name}.png", tmp_path / f"{name}.gif")
        written = files.read(tmp_path / f"{name}.gif").pages
        for page, photo in zip(written, (rgb, rgb[::-1])):
            np.testing.assert_array_equal(page.pixels, widened(halftoner.run(photo)))
    assert [page.duration for page in written] == [80, 120]


def test_gif_of_more_colours_is_refused_before_the_work(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    with pytest.raises(ImageWriteError, match=r"a\.gif: GIF holds 256 colours"):
        sdk.Halftoner("bit-depth", bits=5).run_file(tmp_path / "a.png", tmp_path / "a.gif")


def test_gif_of_more_colours_is_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    with pytest.raises(ImageWriteError, match="GIF holds 256 colours"):
        files.write(tmp_path / "a.gif", [Picture(rgb)])


@pytest.mark.parametrize("method", ["bayer", "palette", "bit-depth"])
def test_mp4_is_refused_as_jpeg_is(tmp_path: Path, grey: np.ndarray, method: str) -> None:
    frames = [Image.fromarray(np.ascontiguousarray(grey[::way])) for way in (1, -1)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(ImageWriteError, match=r"MP4 would blur the dots.*\.webp"):
        sdk.Halftoner(method).run_file(tmp_path / "a.png", tmp_path / "a.mp4")


def test_screens_say_for_what_resolution_they_are(tmp_path: Path, grey: np.ndarray) -> None:
    halftoner = sdk.Halftoner("am-screen", lpi=100, dpi=450, angle=20)
    photo = Image.fromarray(np.tile(grey, (6, 4)))
    photo.save(tmp_path / "photo.png", dpi=(72, 72))
    halftoner.run_file(tmp_path / "photo.png", tmp_path / "dots.tif")
    assert files.read(tmp_path / "dots.tif").pages[0].header.dpi == (450, 450)
    assert sdk.analyze(tmp_path / "dots.tif").lpi == pytest.approx(100, rel=0.02)
    photo.info["dpi"] = (72, 72)
    assert halftoner.run(photo).info["dpi"] == (450, 450)


def test_pil_images_keep_what_they_say(rgb: np.ndarray) -> None:
    photo = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.info |= {"exif": exif.tobytes(), "icc_profile": profile, "xmp": b"<x/>"}
    dots = sdk.Halftoner("bayer").run(photo)
    assert (dots.info["exif"], dots.info["icc_profile"], dots.info["xmp"]) == (exif.tobytes(), profile, b"<x/>")
    for source in (photo, photo.quantize(64)):
        source.info |= photo.info
        grey = sdk.Halftoner("bayer", grey=True).run(source)
        assert grey.info["exif"] == exif.tobytes()
        assert "icc_profile" not in grey.info
    levels = photo.convert("L")
    levels.info["icc_profile"] = profile.replace(b"RGB ", b"GRAY", 1)
    assert "icc_profile" not in sdk.Halftoner("palette").run(levels).info
    assert "icc_profile" in sdk.Halftoner("bayer").run(levels).info


@pytest.mark.parametrize("method", METHODS)
def test_results_may_be_written_to(grey: np.ndarray, method: str) -> None:
    assert sdk.Halftoner(method).run(grey).flags.writeable


# ---- alpha


@pytest.fixture
def alpha(grey: np.ndarray) -> np.ndarray:
    """uint8, every value from transparent to opaque."""
    return np.resize(np.arange(256, dtype=np.uint8), grey.shape)


def test_alpha_is_dropped_from_arrays(rgb: np.ndarray, alpha: np.ndarray, halftoner: sdk.Halftoner) -> None:
    np.testing.assert_array_equal(halftoner.run(np.dstack([rgb, alpha])), halftoner.run(rgb))


@pytest.mark.parametrize("method", ["floyd-steinberg", "palette", "bit-depth"])
def test_alpha_is_kept_in_pil_images(rgb: np.ndarray, alpha: np.ndarray, method: str) -> None:
    halftoned = sdk.Halftoner(method).run(Image.fromarray(np.dstack([rgb, alpha])))
    assert halftoned.mode == "RGBA"
    colours = sdk.Halftoner(method).run(Image.fromarray(rgb))
    np.testing.assert_array_equal(np.asarray(halftoned), np.dstack([np.asarray(colours), alpha]))


def test_alpha_is_kept_in_bytes(grey: np.ndarray, alpha: np.ndarray, halftoner: sdk.Halftoner) -> None:
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    with Image.open(io.BytesIO(halftoner.run(png_bytes(image)))) as halftoned:
        assert halftoned.mode == "LA"
        np.testing.assert_array_equal(np.asarray(halftoned)[..., 0], 255 * halftoner.run(grey).astype(np.uint8))
        np.testing.assert_array_equal(np.asarray(halftoned)[..., 1], alpha)


def test_alpha_is_kept_in_files(tmp_path: Path, grey: np.ndarray, alpha: np.ndarray, halftoner: sdk.Halftoner) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "halftone.png"
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(source)
    halftoner.run_file(source, target)
    written = files.read(target).pages[0].alpha
    assert written is not None
    np.testing.assert_array_equal(written, alpha)


# ---- more than 8 bits


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_uint16_is_rounded_to_8_bits(halftoner: sdk.Halftoner, shape: tuple[int, ...]) -> None:
    deep = np.random.default_rng(0).integers(65536, size=shape, dtype=np.uint16)
    rounded = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(halftoner.run(deep), halftoner.run(rounded))


@pytest.mark.parametrize("method", ["floyd-steinberg", "bit-depth"])
def test_float32_is_rounded_to_8_bits(grey: np.ndarray, method: str) -> None:
    halftoner = sdk.Halftoner(method)
    np.testing.assert_array_equal(halftoner.run(grey.astype(np.float32) / 255), halftoner.run(grey))


def test_bool_is_black_and_white(white: np.ndarray, halftoner: sdk.Halftoner) -> None:
    np.testing.assert_array_equal(halftoner.run(white), white)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bits_may_be_a_number_of_numpy(dtype: type) -> None:
    picture = np.random.default_rng(0).integers(256, size=(16, 16)).astype(dtype)
    (bits,) = np.arange(3, 4)
    kept = sdk.Halftoner("bit-depth", bits=bits).run(picture)
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, sdk.Halftoner("bit-depth", bits=3).run(picture))


def test_a_profile_for_colour_does_not_stay_with_grey(grey: np.ndarray, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tmp_path / "photo.png"
    Image.fromarray(np.dstack([grey] * 3)).save(source, icc_profile=profile)
    for wanted, method in ((None, sdk.Halftoner("bayer", grey=True)), (profile, sdk.Halftoner("bayer"))):
        method.run_file(source, tmp_path / "dots.png", overwrite=True)
        assert files.read(tmp_path / "dots.png").pages[0].header.icc_profile == wanted


@pytest.mark.parametrize("bits", [1, 3, 8, 12, 16])
def test_bit_depth_keeps_16_bits(bits: int) -> None:
    deep = np.random.default_rng(0).integers(65536, size=(16, 16), dtype=np.uint16)
    kept = sdk.Halftoner("bit-depth", bits=bits).run(deep)
    assert kept.dtype == np.uint16
    np.testing.assert_array_equal(kept, deep // 2 ** (16 - bits) * 2 ** (16 - bits))


def test_bit_depth_of_a_16_bit_colour_file(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(65536, size=(16, 16, 3), dtype=np.uint16)
    source, target = tmp_path / "photo.png", tmp_path / "less.png"
    files.write(source, [Picture(deep)])
    sdk.Halftoner("bit-depth", bits=4).run_file(source, target)
    np.testing.assert_array_equal(files.read(target).pages[0].pixels, deep & 0xF000)


# ---- errors


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("floyd", {}),
        ("floyd-steinberg", {"size": 8}),
        ("bayer", {"size": 3}),
        ("am-screen", {"lpi": -1}),
        ("am-screen", {"angle": float("nan")}),
        ("am-screen", {"dpi": float("inf")}),
        (None, {}),
        ("palette", {"colors": 1}),
        ("bit-depth", {"bits": 17}),
    ],
)
def test_a_bad_parameter_fails_at_construction(method: str, parameters: dict) -> None:
    with pytest.raises(OptionError):
        sdk.Halftoner(method, **parameters)


def test_more_bits_than_the_picture_has_is_an_error(grey: np.ndarray) -> None:
    with pytest.raises(OptionError, match="8-bit"):
        sdk.Halftoner("bit-depth", bits=12).run(grey)


@pytest.mark.parametrize("bad", [np.full((16, 16), np.nan, np.float32), np.full((16, 16), 255, np.float32), np.zeros((4, 16), np.uint8)])
def test_bad_arrays_are_refused(halftoner: sdk.Halftoner, bad: np.ndarray) -> None:
    with pytest.raises(InverseHalftonerError):
        halftoner.run(bad)
