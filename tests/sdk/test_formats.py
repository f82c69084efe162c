"""What suffixes promise, and what is told of kinds of files that are not read."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

import sdk
from sdk.errors import UnsupportedImageError
from sdk.files import encode, read
from sdk.formats import FORMATS, why_not
from sdk.headers import Header
from sdk.images import Picture, picture_from_pil

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


@pytest.mark.parametrize(
    ("suffix", "pixels", "fits"),
    [
        (".pbm", GREY > 99, True), (".pbm", GREY, False), (".pbm", COLOUR > 99, False),
        (".pgm", GREY, True), (".pgm", GREY.astype(np.uint16), True), (".pgm", COLOUR, False),
        (".ppm", COLOUR, True), (".ppm", GREY, True), (".ppm", COLOUR.astype(np.uint16), False),
    ],
)  # fmt: skip
def test_netpbm_suffixes_keep_their_promise(suffix: str, pixels: np.ndarray, fits: bool) -> None:
    page = Picture(pixels)
    assert (why_not([page], FORMATS[suffix]) is None) == fits
    if fits:
        np.testing.assert_array_equal(read(encode([page], FORMATS[suffix])).pages[0].pixels, pixels)


@pytest.mark.parametrize("with_alpha", range(3))
@pytest.mark.parametrize("in_colour", [None, 0, 2])
def test_no_frame_of_an_animated_png_loses_its_alpha_or_colour(with_alpha: int, in_colour: int | None) -> None:
    frames = []
    for number in range(3):
        pixels = COLOUR if number == in_colour else GREY
        alpha = GREY.T.copy() if number == with_alpha else None
        frames.append(Picture(np.roll(pixels, number, axis=0), alpha, duration=100.0))
    for before, after in zip(frames, read(encode(frames, "PNG")).pages):
        as_rgb = before.pixels if before.pixels.ndim == 3 else np.repeat(before.pixels[..., None], 3, axis=-1)
        got = after.pixels if after.pixels.ndim == 3 else np.repeat(after.pixels[..., None], 3, axis=-1)
        np.testing.assert_array_equal(got, as_rgb)
        wanted = 255 if before.alpha is None else before.alpha
        np.testing.assert_array_equal(255 if after.alpha is None else after.alpha, np.broadcast_to(wanted, GREY.shape))


@pytest.mark.parametrize("shown", [0, 2, 5])
@pytest.mark.parametrize(("source", "target"), [("GIF", "PNG"), ("GIF", "WEBP"), ("PNG", "GIF"), ("GIF", "GIF")])
def test_animations_are_shown_as_often_whatever_the_format(source: str, target: str, shown: int) -> None:
    frames = [Picture(np.full((16, 16), level, np.uint8), duration=100.0) for level in (10, 90, 200)]
    first = read(encode(frames, source, shown))
    assert first.loop == shown
    data = encode(first.pages, target, first.loop)
    assert read(data).loop == shown
    if target == "GIF":  # which counts what follows the first time
        assert Image.open(io.BytesIO(data)).info["loop"] == max(0, shown - 1)


def tiff(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def test_the_fourth_channel_of_deep_tiff_is_what_the_file_says() -> None:
    four = np.full((16, 16, 4), 30_000, np.uint16)
    four[..., 3] = 40_000
    straight = read(tiff(four, photometric="rgb", extrasamples=["unassalpha"])).pages[0]
    premultiplied = read(tiff(four, photometric="rgb", extrasamples=["assocalpha"])).pages[0]
    assert straight.pixels[0, 0].tolist() == [30_000] * 3
    assert premultiplied.pixels[0, 0].tolist() == [round(30_000 * 65_535 / 40_000)] * 3
    for page in (straight, premultiplied):
        assert page.alpha is not None
        assert (page.alpha == 40_000).all()
    with pytest.raises(UnsupportedImageError, match="infrared"):
        read(tiff(four, photometric="rgb", extrasamples=["unspecified"]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiff_of_a_kind_that_is_not_read_is_not_called_no_picture(dtype: type) -> None:
    with pytest.raises(UnsupportedImageError, match="TIFF of a kind that is not read"):
        read(tiff(np.zeros((16, 16, 3), dtype), photometric="rgb"))


def test_plain_text_ppm_of_16_bits_is_refused() -> None:
    values = b" ".join(b"%d" % value for value in range(16 * 16 * 3))
    assert read(b"P3 16 16 255\n" + b" ".join(b"%d" % (value % 256) for value in range(16 * 16 * 3))).pages[0].pixels.dtype == np.uint8
    with pytest.raises(UnsupportedImageError, match="plain text"):
        read(b"P3 16 16 65535\n" + values)


def test_webp_keeps_its_resolution() -> None:
    page = Picture(GREY, header=Header(dpi=(300.0, 150.0)))
    assert read(encode([page], "WEBP")).header.dpi == (300.0, 150.0)
    assert read(encode([Picture(GREY)], "WEBP")).header.dpi is None


@pytest.mark.parametrize("level", [9, b"\0\xff"])
def test_what_conversion_leaves_of_transparency_makes_nothing_transparent(level: object) -> None:
    palette = Image.fromarray(GREY).convert("P")
    palette.info["transparency"] = level
    assert picture_from_pil(palette.convert("1")).alpha is None


def test_text_of_1_bit_stays_so_in_bytes_as_in_files() -> None:
    page = Image.new("1", (400, 300), 1)
    ImageDraw.Draw(page).text((20, 20), "A page of text, which no model restores,\nstays what it is.", fill=0)
    stream = io.BytesIO()
    page.save(stream, "TIFF", compression="group4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.NoHalftoneWarning)
        after = sdk.InverseHalftoner("auto", device="cpu").run(stream.getvalue())
    with Image.open(io.BytesIO(after)) as kept:
        assert kept.mode == "1"
        np.testing.assert_array_equal(np.array(kept), np.array(page))
