"""Pictures in memory: every dtype and every PIL mode that is taken, and every one that is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageCms

from sdk.errors import UnsupportedImageError
from sdk.images import Picture, from_unit, picture_from_array, picture_from_pil, picture_to_array, picture_to_pil, to_unit

SHAPE = (12, 16)
RAMP = np.arange(192, dtype=np.uint8).reshape(SHAPE)
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
DTYPES = (np.bool_, np.uint8, np.uint16, np.float32)


def sample(dtype: type, channels: int | None) -> np.ndarray:
    values = np.random.default_rng(5).random(SHAPE if channels is None else (*SHAPE, channels), dtype=np.float32)
    if dtype == np.bool_:
        return values > 0.5
    return values if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


# Values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@settings(deadline=None)
@given(data=st.data())
def test_round_trip_is_exact(dtype: type, data: st.DataObject) -> None:
    elements = st.floats(0, 1, width=32) if dtype is np.float32 else None
    pixels = data.draw(arrays(dtype, array_shapes(max_dims=2), elements=elements))
    restored = from_unit(to_unit(pixels), dtype)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, pixels)


def test_all_uint16_values_survive() -> None:
    pixels = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(from_unit(to_unit(pixels), np.uint16), pixels)


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(max_dims=2)))
def test_bool_becomes_uint8_black_and_white(pixels: np.ndarray) -> None:
    restored = from_unit(to_unit(pixels), np.bool_)
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, pixels * np.uint8(255))


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_unit_is_float32_from_black_0_to_white_1(dtype: type) -> None:
    white = 1 if dtype in (np.bool_, np.float32) else np.iinfo(dtype).max
    unit = to_unit(np.array([0, white], dtype=dtype))
    assert unit.dtype == np.float32
    assert unit.tolist() == [0, 1]


def test_from_unit_clips_and_rounds_half_to_even() -> None:
    values = np.array([-0.5, 0.5 / 255, 1.5 / 255, 2, 254.6 / 255], np.float32)
    assert from_unit(values, np.uint8).tolist() == [0, 0, 2, 255, 255]
    assert from_unit(np.array([-1, 3], np.float32), np.float32).tolist() == [0, 1]


# Arrays


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_array_round_trip(dtype: type, channels: int | None) -> None:
    array = sample(dtype, channels)
    picture = picture_from_array(array)
    assert picture.pixels.shape == (SHAPE if channels is None else (*SHAPE, 3))
    assert (picture.alpha is not None) == (channels == 4)
    back = picture_to_array(picture)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_views_are_taken_as_they_look() -> None:
    flipped = COLOUR[::-1, ::-2]
    np.testing.assert_array_equal(picture_to_array(picture_from_array(np.asfortranarray(flipped))), flipped)


def test_grey_with_alpha_becomes_an_rgba_array() -> None:
    array = picture_to_array(Picture(RAMP, 255 - RAMP))
    np.testing.assert_array_equal(array, np.dstack([RAMP, RAMP, RAMP, 255 - RAMP]))


def test_with_pixels_keeps_alpha_in_the_new_dtype_and_the_duration() -> None:
    picture = Picture(RAMP > 90, RAMP > 50, duration=40).with_pixels(RAMP)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, (RAMP > 50) * np.uint8(255))
    assert picture.duration == 40


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.int64, np.int8, np.uint32, np.complex64, object, "U1", ">u2"])
def test_other_dtypes_are_refused_by_name(dtype: type) -> None:
    array = np.zeros(SHAPE, dtype=dtype)
    with pytest.raises(UnsupportedImageError, match="Accepted") as raised:
        picture_from_array(array)
    assert str(array.dtype) in str(raised.value)
    assert ("astype(np.float32)" in str(raised.value)) == (array.dtype.kind == "f")


@pytest.mark.parametrize("shape", [(), (16,), (16, 16, 1), (16, 16, 2), (16, 16, 5), (3, 16, 16), (1, 16, 16, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedImageError, match=r"shape .*Accepted"):
        picture_from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 0), (0, 16), (1, 1), (1, 500), (500, 1), (7, 16), (16, 7, 3), (0, 0, 3)])
def test_tiny_arrays_are_refused(shape: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        with pytest.raises(UnsupportedImageError, match="at least 8 px"):
            picture_from_array(np.zeros(shape, dtype))


def test_eight_pixels_are_enough() -> None:
    assert picture_from_array(np.zeros((8, 8), np.float32)).pixels.shape == (8, 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[3, 4] = value
    with pytest.raises(UnsupportedImageError, match="1 NaN or infinite"):
        picture_from_array(array)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255])
def test_floats_out_of_range_are_refused(value: float) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[3, 4] = value
    with pytest.raises(UnsupportedImageError, match=r"must lie in \[0, 1\]"):
        picture_from_array(array)


# PIL images


def check_pil_round_trip(image: Image.Image) -> Picture:
    picture = picture_from_pil(image)
    back = picture_to_pil(picture)
    assert back.mode == image.mode
    np.testing.assert_array_equal(np.asarray(back), np.asarray(image))
    return picture


@pytest.mark.parametrize(
    ("mode", "dtype", "ndim", "alpha"),
    [
        ("1", np.bool_, 2, False),
        ("L", np.uint8, 2, False),
        ("LA", np.uint8, 2, True),
        ("RGB", np.uint8, 3, False),
        ("RGBA", np.uint8, 3, True),
    ],
)
def test_8_bit_modes_round_trip(mode: str, dtype: type, ndim: int, alpha: bool) -> None:
    image = Image.fromarray(COLOUR).convert(mode)
    if alpha:
        image.putalpha(Image.fromarray(RAMP))
    picture = check_pil_round_trip(image)
    assert picture.pixels.dtype == dtype
    assert picture.pixels.ndim == ndim
    assert (picture.alpha is not None) == alpha


def test_16_bit_and_float_grey_round_trip() -> None:
    deep = RAMP.astype(np.uint16) * 257
    assert check_pil_round_trip(Image.fromarray(deep)).pixels.dtype == np.uint16
    assert check_pil_round_trip(Image.fromarray(to_unit(RAMP))).pixels.dtype == np.float32


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_byte_order_does_not_matter(mode: str) -> None:
    image = Image.new(mode, (16, 12), 4660)
    picture = picture_from_pil(image)
    assert picture.pixels.dtype == np.dtype(np.uint16)
    assert (picture.pixels == 4660).all()


def test_32_bit_integers_in_the_16_bit_range_are_16_bit() -> None:
    picture = picture_from_pil(Image.fromarray(RAMP.astype(np.int32) * 300))
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, RAMP.astype(np.uint16) * 300)


@pytest.mark.parametrize("value", [-1, 65536])
def test_other_32_bit_integers_are_refused(value: int) -> None:
    with pytest.raises(UnsupportedImageError, match=r"0\.\.65535"):
        picture_from_pil(Image.new("I", (16, 16), value))


@pytest.mark.parametrize("value", [-0.5, 2.0, float("nan")])
def test_floats_out_of_range_are_refused_in_pil_images_too(value: float) -> None:
    with pytest.raises(UnsupportedImageError):
        picture_from_pil(Image.new("F", (16, 16), value))


def test_grey_palette_becomes_grey() -> None:
    picture = picture_from_pil(Image.fromarray(RAMP).convert("P"))
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, RAMP)


def test_black_and_white_palette_becomes_bool() -> None:
    white = RAMP > 90
    picture = picture_from_pil(Image.fromarray(white).convert("P"))
    assert picture.pixels.dtype == np.bool_
    np.testing.assert_array_equal(picture.pixels, white)


def test_colour_palette_becomes_rgb() -> None:
    image = Image.fromarray(COLOUR).quantize(16)
    picture = picture_from_pil(image)
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_grey_palette_with_an_rgb_profile_stays_rgb() -> None:
    image = Image.fromarray(RAMP).convert("P")
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(picture_from_pil(image).pixels, np.dstack([RAMP] * 3))


@pytest.mark.parametrize("grey", [True, False])
def test_palette_with_transparency_gets_alpha(grey: bool) -> None:
    image = (Image.fromarray(RAMP) if grey else Image.fromarray(COLOUR)).quantize(8)
    image.info["transparency"] = 3
    picture = picture_from_pil(image)
    assert picture.pixels.ndim == (2 if grey else 3)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, (np.asarray(image) != 3) * np.uint8(255))


def test_palette_with_alpha_band() -> None:
    image = Image.fromarray(COLOUR).quantize(16).convert("PA")
    image.putalpha(Image.fromarray(RAMP))
    picture = picture_from_pil(image)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, RAMP)
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_16_bit_grey_with_a_transparent_level_keeps_16_bits() -> None:
    deep = RAMP.astype(np.uint16) * 257 + 1
    image = Image.fromarray(deep)
    image.info["transparency"] = int(deep[0, 0])
    picture = picture_from_pil(image)
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, deep)


def test_rgb_of_equal_channels_with_a_transparent_colour_stays_rgb() -> None:
    image = Image.fromarray(np.dstack([RAMP] * 3))
    image.info["transparency"] = (0, 0, 0)
    picture = picture_from_pil(image)
    assert picture.pixels.shape == (*SHAPE, 3)
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "HSV", "YCbCr"])
def test_other_colour_modes_are_refused_with_what_to_do(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"mode {mode}.*Convert"):
        picture_from_pil(Image.new(mode, (16, 16)))


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 7)])
def test_tiny_pil_images_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedImageError, match="at least 8 px"):
        picture_from_pil(Image.new("L", size))


def test_duration_of_a_frame_is_kept() -> None:
    image = Image.fromarray(RAMP)
    image.info["duration"] = 70
    assert picture_from_pil(image).duration == 70


def test_bool_with_alpha_and_bool_colour_become_8_bit_pil_images() -> None:
    white = RAMP > 90
    with_alpha = picture_to_pil(Picture(white, white))
    assert with_alpha.mode == "LA"
    assert with_alpha.getextrema() == ((0, 255), (0, 255))
    colour = picture_to_pil(Picture(COLOUR > 90))
    assert colour.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(colour), (COLOUR > 90) * np.uint8(255))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_colour_and_deep_alpha_have_no_pil_image(dtype: type) -> None:
    for picture in (Picture(sample(dtype, 3)), Picture(sample(dtype, None), sample(dtype, None))):
        with pytest.raises(UnsupportedImageError, match="use arrays or files"):
            picture_to_pil(picture)
