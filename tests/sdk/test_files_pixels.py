"""Pixels on disk: what goes in comes out, at every depth, or is refused."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from sdk.errors import ImageWriteError, UnsupportedImageError
from sdk.files import encode, read, write
from sdk.halftoning import halftone
from sdk.headers import Header
from sdk.images import Picture, picture_to_array
from tests.sdk.pictures import COLOUR, COLOUR16, DPI, GREY, GREY16, ICC, RGBA16, WHITE, files_below, one_page, png_chunk, saved
from training.pages import text_page


@pytest.mark.parametrize(
    ("suffix", "array"),
    [
        *((suffix, WHITE) for suffix in (".png", ".tif", ".bmp", ".pbm")),
        *((suffix, GREY) for suffix in (".png", ".tif", ".bmp", ".gif", ".pgm")),
        *((suffix, COLOUR) for suffix in (".png", ".tiff", ".bmp", ".webp", ".ppm")),
        *((suffix, np.dstack([COLOUR, GREY])) for suffix in (".png", ".tif", ".webp")),
        *((suffix, array) for suffix in (".png", ".tif") for array in (GREY16, COLOUR16, RGBA16)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}-{value.shape}",
)
def test_pixels_round_trip(tmp_path: Path, suffix: str, array: np.ndarray) -> None:
    write(tmp_path / f"out{suffix}", one_page(array))
    (page,) = read(tmp_path / f"out{suffix}").pages
    back = picture_to_array(page)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert files_below(tmp_path) == [f"out{suffix}"]


def test_jpeg_round_trip_is_close() -> None:
    smooth = cv2.GaussianBlur(COLOUR, (0, 0), 5)
    (page,) = read(encode(one_page(smooth), "JPEG")).pages
    assert np.abs(page.pixels.astype(int) - smooth).max() <= 6


@pytest.mark.parametrize("array", [COLOUR, GREY], ids=["RGB", "L"])
def test_jpeg_is_coded_at_quality_95_with_all_of_its_colour(array: np.ndarray) -> None:
    """The tables of Pillow's quality 95, and 4:4:4: no plane has more samples than another."""
    with (
        Image.open(io.BytesIO(encode(one_page(array), "JPEG"))) as ours,
        Image.open(io.BytesIO(saved(Image.fromarray(array), "JPEG", quality=95))) as theirs,
        Image.open(io.BytesIO(saved(Image.fromarray(array), "JPEG", quality=94))) as worse,
    ):
        assert ours.quantization == theirs.quantization != worse.quantization  # type: ignore[attr-defined]
        assert {(across, down) for _, across, down, _ in ours.layer} == {(1, 1)}  # type: ignore[attr-defined]


def test_grey_stays_grey_in_jpeg() -> None:
    (page,) = read(encode(one_page(GREY), "JPEG")).pages
    assert page.pixels.ndim == 2


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_with_alpha_round_trip(format: str) -> None:
    (page,) = read(encode([Picture(GREY, 255 - GREY)], format)).pages
    np.testing.assert_array_equal(page.pixels, GREY)
    assert page.alpha is not None
    np.testing.assert_array_equal(page.alpha, 255 - GREY)


def test_1_bit_tiff_is_coded_as_is_smaller(photo: np.ndarray) -> None:
    text = text_page(300, 400, np.random.default_rng(0)) > 127
    for white, smaller, larger in ((text, "group4", "tiff_adobe_deflate"), (halftone(photo, "bayer"), "tiff_adobe_deflate", "group4")):
        data, other = encode(one_page(white), "TIFF"), io.BytesIO()
        Image.fromarray(white).save(other, "TIFF", compression=larger)
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["compression"] == smaller
        assert len(data) < len(other.getvalue())
        np.testing.assert_array_equal(read(data).pages[0].pixels, white)


def test_1_bit_tiff_stays_1_bit() -> None:
    data = encode(one_page(WHITE, dpi=DPI), "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
    np.testing.assert_array_equal(read(data).pages[0].pixels, WHITE)


# 16 bit


def tiff_of(*pages: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as tiff:
        for page in pages:
            tiff.write(page, photometric="rgb" if page.ndim == 3 else "minisblack")
    return stream.getvalue()


def test_several_16_bit_colour_tiff_pages_round_trip() -> None:
    pages = [COLOUR16, COLOUR16[::-1].copy(), COLOUR16[:, ::-1].copy()]
    data = encode([Picture(page, header=Header(dpi=DPI, icc_profile=ICC)) for page in pages], "TIFF")
    file = read(data)
    assert file.pages[0].header.dpi == DPI
    assert file.pages[0].header.icc_profile == ICC
    for found, page in itertools.zip_longest(file.pages, pages):
        np.testing.assert_array_equal(found.pixels, page)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
        image.seek(2)
        assert image.info["dpi"] == DPI


@pytest.mark.parametrize("first", [GREY, GREY16, COLOUR], ids=["L", "I;16", "RGB"])
def test_a_16_bit_colour_page_after_another_kind_is_refused(first: np.ndarray) -> None:
    """Never 8 bits without a word."""
    with pytest.raises(UnsupportedImageError, match="mixes 16-bit colour pages with others"):
        list(read(tiff_of(first, COLOUR16)).pages)


def test_lzw_compressed_16_bit_colour_tiff_is_read() -> None:
    """The usual compression of other programs."""
    lzw = 5
    data = cv2.imencode(".tif", cv2.cvtColor(COLOUR16, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_TIFF_COMPRESSION, lzw])[1].tobytes()
    np.testing.assert_array_equal(read(data).pages[0].pixels, COLOUR16)


def test_16_bit_grey_png_with_a_transparent_level_keeps_16_bits() -> None:
    (page,) = read(saved(Image.fromarray(GREY16), "PNG", transparency=int(GREY16[0, 0]))).pages
    assert page.pixels.dtype == np.uint16
    np.testing.assert_array_equal(page.pixels, GREY16)


def test_16_bit_grey_png_with_alpha_stays_grey() -> None:
    data = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.dstack([GREY16, GREY16[::-1]]))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 32, 24, 16, 4, 0, 0, 0)), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    (page,) = read(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)).pages
    assert page.alpha is not None
    np.testing.assert_array_equal(page.alpha, GREY16[::-1])
    grey = page.pixels if page.pixels.ndim == 2 else page.pixels[..., 0]
    np.testing.assert_array_equal(grey, GREY16)
    np.testing.assert_array_equal(picture_to_array(page)[..., :3], np.dstack([GREY16] * 3))


@pytest.mark.parametrize("first", [GREY, GREY16], ids=["L", "I;16"])
def test_grey_and_16_bit_colour_pages_of_one_file_are_refused(first: np.ndarray) -> None:
    for pages in ([first, COLOUR16], [COLOUR16, first]):
        with pytest.raises(ImageWriteError, match="16-bit colour pages and others do not fit into one file"):
            encode([Picture(page) for page in pages], "TIFF")


def test_16_bit_grey_pgm_round_trips() -> None:
    np.testing.assert_array_equal(read(encode(one_page(GREY16), "PPM")).pages[0].pixels, GREY16)


@pytest.mark.parametrize("width", [16, 160, 1600])
def test_8_bit_png_of_widths_with_a_16_in_them(width: int) -> None:
    """A header is judged by its depth, not by any "16" in it."""
    rgb = np.random.default_rng(0).integers(0, 256, (16, width, 3), np.uint8)
    page = read(saved(Image.fromarray(rgb), "PNG")).pages[0].pixels
    assert page.dtype == np.uint8
    np.testing.assert_array_equal(page, rgb)


# Depth and polarity


def test_16_bit_grey_tiff_with_white_at_zero_is_no_negative() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, 65535 - GREY16, photometric="miniswhite")
    np.testing.assert_array_equal(read(stream.getvalue()).pages[0].pixels, GREY16)


def test_12_bit_grey_tiff_has_its_white_at_white() -> None:
    found = read(twelve_bits(GREY16 >> 4)).pages[0].pixels
    np.testing.assert_allclose(found, (GREY16 >> 4) * (65535 / 4095), atol=1)


def twelve_bits(values: np.ndarray) -> bytes:
    """A TIFF of 12 bits a pixel, one strip, written by hand: two pixels in three bytes."""
    first, second = values[:, ::2].astype(int), values[:, 1::2].astype(int)
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_16_bit_colour_ppm_keeps_its_16_bits() -> None:
    header = b"P6\n# by hand\n%d %d\n65535\n" % COLOUR16.shape[1::-1]
    np.testing.assert_array_equal(read(header + COLOUR16.astype(">u2").tobytes()).pages[0].pixels, COLOUR16)
    with pytest.raises(UnsupportedImageError, match="white is 1023"):
        read(header.replace(b"65535", b"1023") + COLOUR16.astype(">u2").tobytes())


def test_colour_that_would_lose_its_depth_is_refused() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.moveaxis(COLOUR16, -1, 0), photometric="rgb", planarconfig="separate")
    with pytest.raises(UnsupportedImageError, match="one after the other"):
        read(stream.getvalue())
    large = np.tile(COLOUR16, (6, 6, 1))
    deep = cv2.imencode(".jp2", large)[1].tobytes()
    with pytest.raises(UnsupportedImageError, match="16 bits"):
        read(deep)
    assert read(cv2.imencode(".jp2", (large >> 8).astype(np.uint8))[1].tobytes()).pages[0].pixels.dtype == np.uint8


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_of_a_png_of_few_bits(bits: int) -> None:
    levels, most = np.arange(24 * 32).reshape(24, 32) % 2**bits, 2**bits - 1
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(24, -1), axis=-1)
    rows = np.hstack([np.zeros((24, 1), np.uint8), packed])  # each begins with its filter
    for level in {1, most}:
        header = struct.pack(">IIBBBBB", 32, 24, bits, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">H", level)), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
        (page,) = read(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)).pages
        np.testing.assert_array_equal(page.alpha > 0, levels != level)  # type: ignore[operator]
        np.testing.assert_array_equal(page.pixels, levels > 0 if bits == 1 else levels * (255 // most))
