"""What no file can hold, and files that are none: each is refused with what to do."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sdk import files
from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, UnsupportedImageError
from sdk.files import encode, read, tiff, write
from sdk.images import Picture
from tests.sdk.pictures import COLOUR, COLOUR16, GREY, GREY16, RGBA16, WHITE, fail, files_below, one_page, png_chunk, saved

# Writing


@pytest.mark.parametrize(
    ("array", "format"),
    [(GREY16, "JPEG"), (GREY16, "WEBP"), (GREY16, "BMP"), (GREY16, "GIF")]
    + [(COLOUR16, format) for format in ("JPEG", "WEBP", "BMP", "GIF", "PPM")],
)
def test_16_bits_do_not_fit(array: np.ndarray, format: str) -> None:
    with pytest.raises(ImageWriteError, match=r"8 bits a channel.*uint16.*write \.png or \.tif"):
        encode(one_page(array), format)


@pytest.mark.parametrize("format", ["JPEG", "BMP", "GIF", "PPM"])
def test_alpha_does_not_fit(format: str) -> None:
    with pytest.raises(ImageWriteError, match=r"alpha.*write \.png"):
        encode([Picture(GREY, GREY)], format)


def test_a_halftone_is_not_blurred_by_jpeg() -> None:
    with pytest.raises(ImageWriteError, match=r"write \.png or \.tif"):
        encode(one_page(WHITE), "JPEG")


def test_colour_does_not_fit_gif() -> None:
    with pytest.raises(ImageWriteError, match=r"256 colours.*write \.png"):
        encode(one_page(COLOUR), "GIF")


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_float32_has_no_file_format(format: str) -> None:
    with pytest.raises(ImageWriteError, match="float32"):
        encode(one_page(GREY.astype(np.float32) / 255), format)


def test_several_16_bit_colour_pages_do_not_fit_png() -> None:
    with pytest.raises(ImageWriteError, match=r"only TIFF; write \.tif"):
        encode([Picture(COLOUR16, duration=40.0), Picture(COLOUR16, duration=40.0)], "PNG")


@pytest.mark.parametrize("format", ["WEBP", "JPEG"])
def test_a_picture_too_large_for_the_format_is_refused(tmp_path: Path, format: str) -> None:
    with pytest.raises(ImageWriteError):
        write(tmp_path / f"out.{format.lower()}", one_page(np.zeros((8, 66000), np.uint8)))
    assert files_below(tmp_path) == []


def test_results_beyond_4_gib_are_refused_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = fail(struct.error("'L' format requires 0 <= number <= 4294967295"))
    for place, name in ((tiff, "add_folders"), (tiff.AppendingTiffWriter, "newFrame")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, beyond)
            with pytest.raises(ImageWriteError, match=r"TIFF cannot hold page 1.*4 GiB"):
                encode(one_page(GREY), "TIFF")


# Reading


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


NOISE = Image.fromarray(np.random.default_rng(3).integers(256, size=(64, 64), dtype=np.uint8))
BAD = {
    "empty": b"",
    "text": b"This is no picture.\n" * 50,
    "only a signature": b"\x89PNG\r\n\x1a\n",
    **{f"truncated {format}": cut(saved(NOISE, format)) for format in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM")},
    "truncated 16-bit colour PNG": cut(encode(one_page(COLOUR16), "PNG")),
    "truncated 16-bit colour TIFF": cut(encode(one_page(COLOUR16), "TIFF")),
    "damaged PNG": saved(NOISE, "PNG").replace(b"IDAT", b"IDAT" + b"\xff" * 20, 1),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(BAD[name])
    with pytest.raises(ImageReadError, match=r"download it again|Accepted: .*PNG") as raised:
        read(path)
    assert "scan.png" in str(raised.value)
    with pytest.raises(ImageReadError):
        read(BAD[name])


def test_a_missing_file_and_a_folder_are_read_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(ImageReadError, match="Check the path"):
            read(path)


def test_a_header_of_huge_size_is_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    with pytest.raises(ImageReadError, match=r"pixels.*MAX_IMAGE_PIXELS"):
        read(data)


def test_a_tiny_picture_is_refused(tmp_path: Path) -> None:
    Image.new("L", (100, 1)).save(tmp_path / "line.png")
    with pytest.raises(UnsupportedImageError, match=r"line\.png.*at least 8 px"):
        read(tmp_path / "line.png")


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_refused_with_what_to_do(format: str) -> None:
    with pytest.raises(UnsupportedImageError, match=r"CMYK.*Convert"):
        read(saved(Image.new("CMYK", (32, 24)), format))


def test_16_bit_cmyk_tiff_is_refused() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, RGBA16, photometric="separated")
    with pytest.raises(InverseHalftonerError):
        read(stream.getvalue())


def test_memory_that_is_short_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(encode(one_page(GREY), "PNG"))
    monkeypatch.setattr(files, "picture_from_pil", fail(MemoryError()))
    with pytest.raises(ImageReadError, match="does not fit into memory"):
        read(path)


def test_other_decoders_are_not_tried() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n"
    for data in (postscript, saved(Image.fromarray(COLOUR), "PCX"), saved(Image.fromarray(COLOUR), "ICO")):
        with pytest.raises(ImageReadError, match="known format"):
            read(data)
