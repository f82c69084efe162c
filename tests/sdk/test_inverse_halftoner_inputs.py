"""``InverseHalftoner``: arrays, paths, PIL images and bytes in, the same kind out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.errors import ImageReadError, InverseHalftonerError, OptionError, UnsupportedImageError
from sdk.files import encode, read
from sdk.images import Picture
from tests.sdk.pictures import ICC, as_dtype

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


@pytest.mark.parametrize("model", ["scan", "gif", "colour"])
def test_grey_stored_as_rgb_stays_exactly_grey(dots: np.ndarray, model: str) -> None:
    restorer, grey = sdk.InverseHalftoner(model, device="cpu"), dots[:96, :128].astype(np.uint8) * 255
    restored = restorer.run(np.repeat(grey[..., None], 3, axis=2))
    for c in range(3):
        np.testing.assert_array_equal(restored[..., c], restorer.run(grey))


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


@pytest.mark.parametrize("one", ["page.tif", Path("page.tif"), b"bytes"], ids=["str", "path", "bytes"])
def test_one_picture_is_no_batch(restorer: sdk.InverseHalftoner, one: Any) -> None:
    with pytest.raises(OptionError, match=r"several pictures, not one .*; put it into a list"):
        restorer.run_batch(one)


def floats_as_tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((16, 16), np.float32)).save(stream, "TIFF")
    return stream.getvalue()


BAD = [np.zeros((1, 9), bool), b"no picture", "missing.png", floats_as_tiff()]


@pytest.mark.parametrize("bad", BAD, ids=["array", "bytes", "path", "floats"])
def test_run_batch_names_the_bad_picture(restorer: sdk.InverseHalftoner, dots: np.ndarray, bad: Any) -> None:
    with pytest.raises(InverseHalftonerError, match="Picture 1 of the batch"):
        restorer.run_batch([dots, bad, dots])


def test_a_truncated_pil_image_is_named_in_a_batch(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.tile(dots, (4, 4))).save(stream, "PNG")
    truncated = Image.open(io.BytesIO(stream.getvalue()[: stream.tell() // 2]))
    with pytest.raises(sdk.errors.ImageReadError, match=r"Picture 1 of the batch: The PIL image cannot be decoded"):
        restorer.run_batch([dots, truncated])
