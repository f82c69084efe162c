"""Pictures on disk: what goes in comes out, with its header; what does not fit is refused; nothing is half written."""

from __future__ import annotations

import io
import itertools
import os
import struct
import tracemalloc
import weakref
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

import sdk
from sdk import files, formats, tiff
from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, UnsupportedImageError
from sdk.files import encode, read, write
from sdk.headers import Header
from sdk.images import Picture, picture_to_array
from sdk.same_kind import restore_file

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DPI = (300.0, 150.0)
ORIENTATION, MAKE, EXIF_FOLDER, GPS_FOLDER, TAKEN = 0x0112, 0x010F, 0x8769, 0x8825, 0x9003
TURN_CLOCKWISE = 6

GREY = (np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) % 251).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
WHITE = GREY > 120
GREY16 = GREY.astype(np.uint16) * 261 + 7
COLOUR16 = COLOUR.astype(np.uint16) * 261 + 7
RGBA16 = np.dstack([COLOUR16, GREY16])


def exif_bytes(orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    exif.get_ifd(EXIF_FOLDER)[TAKEN] = "1913:05:29 20:00:00"
    if orientation:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def check_exif(data: bytes | None) -> None:
    """All tags of ``exif_bytes`` are there, and no orientation."""
    assert data
    exif = Image.Exif()
    exif.load(data)
    assert exif[MAKE] == "Maker"
    assert exif.get_ifd(EXIF_FOLDER)[TAKEN] == "1913:05:29 20:00:00"
    assert ORIENTATION not in exif


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def one_page(array: np.ndarray, **header: Any) -> list[Picture]:
    if array.ndim == 3 and array.shape[2] == 4:
        return [Picture(array[..., :3], array[..., 3], header=Header(**header))]
    return [Picture(array, header=Header(**header))]


def frames(count: int) -> list[np.ndarray]:
    return [np.roll(GREY, 3 * i) for i in range(count)]


def dots(count: int) -> list[Image.Image]:
    return [Image.fromarray(frame > 120).convert("P") for frame in frames(count)]


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# Round trips


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


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("array", [WHITE, GREY, COLOUR, GREY16, COLOUR16, RGBA16], ids=["1", "L", "RGB", "I;16", "RGB16", "RGBA16"])
def test_dpi_and_icc_round_trip(format: str, array: np.ndarray) -> None:
    data = encode(one_page(array, dpi=DPI, icc_profile=ICC), format)
    with Image.open(io.BytesIO(data)) as image:  # other programs find them too
        image.load()
        assert image.info["dpi"] == pytest.approx(DPI, abs=0.02)
        assert image.info["icc_profile"] == ICC
    file = read(data)
    assert file.header.dpi == pytest.approx(DPI, abs=0.02)
    assert file.header.icc_profile == ICC


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_dpi_round_trip(format: str) -> None:
    assert read(encode(one_page(GREY, dpi=(300.0, 300.0)), format)).header.dpi == pytest.approx((300, 300), abs=0.02)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_icc_round_trip(format: str) -> None:
    assert read(encode(one_page(COLOUR, icc_profile=ICC), format)).header.icc_profile == ICC


@pytest.mark.parametrize(("format", "array"), [("PNG", GREY), ("JPEG", GREY), ("WEBP", GREY), ("PNG", GREY16), ("PNG", COLOUR16)])
def test_exif_round_trip(format: str, array: np.ndarray) -> None:
    data = encode(one_page(array, exif=exif_bytes()), format)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[MAKE] == "Maker"
    check_exif(read(data).header.exif)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
def test_no_header_is_made_up(format: str) -> None:
    """A picture without a resolution must not get one (Pillow reports 1 dpi for such TIFFs)."""
    file = read(saved(Image.fromarray(GREY), format))
    if format != "BMP":  # its header always holds a resolution
        assert file.header.dpi is None
    assert file.header.icc_profile is None
    assert file.header.exif is None


# Orientation


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_orientation_is_applied_and_its_tag_removed(format: str) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    file = read(saved(Image.fromarray(COLOUR), format, exif=exif_bytes(TURN_CLOCKWISE), **lossless))
    turned = np.rot90(COLOUR, -1)
    assert file.pages[0].pixels.shape == turned.shape
    assert np.abs(file.pages[0].pixels.astype(int) - turned).max() <= (0 if format != "JPEG" else 20)
    check_exif(file.header.exif)


@pytest.mark.parametrize("array", [WHITE, GREY, COLOUR, GREY16], ids=["1", "L", "RGB", "I;16"])
def test_orientation_of_tiff_pages_is_applied_once(array: np.ndarray) -> None:
    images = [Image.fromarray(array), Image.fromarray(array)]
    data = saved(images[0], "TIFF", save_all=True, append_images=images[1:], tiffinfo={ORIENTATION: TURN_CLOCKWISE})
    first, second = read(data).pages
    np.testing.assert_array_equal(first.pixels, np.rot90(array, -1))
    assert second.pixels.shape == first.pixels.shape


def test_orientation_of_16_bit_grey_png_is_applied() -> None:
    (page,) = read(saved(Image.fromarray(GREY16), "PNG", exif=exif_bytes(TURN_CLOCKWISE))).pages
    np.testing.assert_array_equal(page.pixels, np.rot90(GREY16, -1))


@pytest.mark.parametrize("array", [COLOUR16, RGBA16], ids=["RGB16", "RGBA16"])
def test_orientation_of_16_bit_colour_png_is_applied(array: np.ndarray) -> None:
    file = read(encode(one_page(array, exif=exif_bytes(TURN_CLOCKWISE)), "PNG"))
    np.testing.assert_array_equal(picture_to_array(file.pages[0]), np.rot90(array, -1))
    check_exif(file.header.exif)


def test_orientation_of_16_bit_colour_tiff_is_applied() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, COLOUR16, photometric="rgb", extratags=[(ORIENTATION, "H", 1, TURN_CLOCKWISE, True)])
    np.testing.assert_array_equal(read(stream.getvalue()).pages[0].pixels, np.rot90(COLOUR16, -1))


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
    assert file.header.dpi == DPI
    assert file.header.icc_profile == ICC
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


# Pages and frames


def test_1_bit_tiff_stays_1_bit() -> None:
    data = encode(one_page(WHITE, dpi=DPI), "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
        assert image.info["compression"] == "group4"
    np.testing.assert_array_equal(read(data).pages[0].pixels, WHITE)


def test_tiff_pages_of_different_sizes_round_trip(tmp_path: Path) -> None:
    pages = [GREY, GREY[:16], GREY[:, :20]]
    write(tmp_path / "pages.tif", [Picture(page, header=Header(dpi=DPI)) for page in pages])
    file = read(tmp_path / "pages.tif")
    assert file.header.dpi == DPI
    for found, page in itertools.zip_longest(file.pages, pages):
        np.testing.assert_array_equal(found.pixels, page)


@pytest.mark.parametrize("kinds", list(itertools.permutations(["1", "L", "RGB"], 2)), ids="-".join)
def test_tiff_pages_of_different_kinds_round_trip(kinds: tuple[str, str]) -> None:
    pages = [{"1": WHITE, "L": GREY, "RGB": COLOUR}[kind] for kind in kinds]
    file = read(encode([Picture(page) for page in pages], "TIFF"))
    for found, page in itertools.zip_longest(file.pages, pages):
        np.testing.assert_array_equal(found.pixels, page)


@pytest.mark.parametrize("array", [WHITE, GREY, GREY16, np.dstack([GREY] * 3)], ids=["1", "L", "I;16", "RGB of equal channels"])
def test_tiff_pages_keep_their_kind(array: np.ndarray) -> None:
    for page in read(encode([Picture(array, header=Header(icc_profile=ICC))] * 2, "TIFF")).pages:
        assert page.pixels.dtype == array.dtype
        np.testing.assert_array_equal(page.pixels, array)


@pytest.mark.parametrize("first", [GREY, GREY16], ids=["L", "I;16"])
def test_grey_and_16_bit_colour_pages_of_one_file_are_refused(first: np.ndarray) -> None:
    for pages in ([first, COLOUR16], [COLOUR16, first]):
        with pytest.raises(ImageWriteError, match="16-bit colour pages and others do not fit into one file"):
            encode([Picture(page) for page in pages], "TIFF")


def test_animated_gif_is_read_with_its_timing() -> None:
    images = dots(3)
    data = saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=[100, 250, 40], loop=2)
    file = read(data)
    assert [page.duration for page in file.pages] == [100, 250, 40]
    assert file.loop == 3  # GIF says how often it is shown again
    for page, image in zip(file.pages, images):
        white = page.pixels if page.pixels.ndim == 2 else page.pixels[..., 0]
        np.testing.assert_array_equal(white > 0, np.asarray(image.convert("1")))


def test_all_frames_of_a_grey_gif_are_grey() -> None:
    images = dots(3)
    file = read(saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=100))
    assert [page.pixels.ndim for page in file.pages] == [2, 2, 2]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_animation_round_trip(format: str) -> None:
    pages = [Picture(frame, duration=duration) for frame, duration in zip(frames(3), (100.0, 250.0, 40.0))]
    file = read(encode(pages, format, loop=3))
    assert [page.duration for page in file.pages] == [100, 250, 40]
    assert file.loop == 3
    for found, page in zip(file.pages, pages):
        grey = found.pixels if found.pixels.ndim == 2 else found.pixels[..., 1]
        np.testing.assert_array_equal(grey, page.pixels)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_frames_of_black_and_white_and_of_grey_fit_one_animation(format: str) -> None:
    pages = [Picture(WHITE, duration=50.0), Picture(GREY, duration=50.0)]
    assert len(read(encode(pages, format)).pages) == 2


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_a_frame_shown_twice_takes_its_full_time(format: str) -> None:
    """Pillow joins equal neighbours; the animation must still last as long."""
    pages = [Picture(frame, duration=100.0) for frame in (GREY, GREY, GREY[::-1])]
    file = read(encode(pages, format))
    assert sum(page.duration or 0 for page in file.pages) == 300


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_pages_of_different_sizes_do_not_become_an_animation(format: str) -> None:
    with pytest.raises(ImageWriteError, match="differ in size"):
        encode([Picture(GREY, duration=40.0), Picture(GREY[:16, :20], duration=40.0)], format)


# Refusals of encode


@pytest.mark.parametrize("format", ["JPEG", "BMP", "PPM"])
def test_several_pages_do_not_fit(format: str) -> None:
    with pytest.raises(ImageWriteError, match=r"one picture, but there are 2 pages; write \.tif"):
        encode([Picture(GREY), Picture(GREY)], format)


def test_16_bit_grey_pgm_round_trips() -> None:
    np.testing.assert_array_equal(read(encode(one_page(GREY16), "PPM")).pages[0].pixels, GREY16)


@pytest.mark.parametrize("width", [16, 160, 1600])
def test_8_bit_png_of_widths_with_a_16_in_them(width: int) -> None:
    """A header is judged by its depth, not by any "16" in it."""
    rgb = np.random.default_rng(0).integers(0, 256, (16, width, 3), np.uint8)
    page = read(saved(Image.fromarray(rgb), "PNG")).pages[0].pixels
    assert page.dtype == np.uint8
    np.testing.assert_array_equal(page, rgb)


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG"])
def test_captions_of_a_tiff_are_kept(target: str) -> None:
    tags = {270: "Le départ".encode(), 315: "Agence Rol", 33432: "domaine public"}
    kept = read(encode(read(saved(Image.fromarray(GREY), "TIFF", tiffinfo=tags, dpi=(300, 300))).pages, target))
    assert kept.header.dpi == pytest.approx((300, 300), abs=0.01)
    exif = Image.Exif()
    exif.load(kept.header.exif or b"")
    assert {tag: exif[tag].encode("latin-1") for tag in tags} == {
        tag: text if isinstance(text, bytes) else text.encode() for tag, text in tags.items()
    }


def test_captions_of_a_16_bit_colour_tiff_are_kept() -> None:
    exif = Image.Exif()
    exif[270], exif[315] = "Le départ".encode(), "Agence Rol"
    kept = Image.Exif()
    kept.load(read(encode(one_page(COLOUR16, exif=exif.tobytes()), "TIFF")).header.exif or b"")
    assert kept[270].encode("latin-1").decode() == "Le départ"
    assert kept[315] == "Agence Rol"


def test_exif_of_a_jpeg_is_kept_in_tiff() -> None:
    exif = Image.Exif()
    exif[315] = "Agence Rol"
    kept = read(encode(read(saved(Image.fromarray(GREY), "JPEG", exif=exif.tobytes())).pages, "TIFF")).header.exif
    again = Image.Exif()
    again.load(kept or b"")
    assert again[315] == "Agence Rol"


def test_the_first_page_alone_can_be_read() -> None:
    data = encode([Picture(GREY), Picture(GREY)], "TIFF")
    assert len(read(data, first_page_only=True).pages) == 1


def test_a_phone_photograph_with_two_views_is_one_jpeg() -> None:
    views = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    file = read(saved(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert (file.format, len(file.pages)) == ("JPEG", 1)


def test_memory_that_is_short_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(encode(one_page(GREY), "PNG"))
    monkeypatch.setattr(files, "picture_from_pil", fail(MemoryError()))
    with pytest.raises(ImageReadError, match="does not fit into memory"):
        read(path)


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


# Bad input files


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


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


# Writing


def test_an_existing_file_is_kept_without_leave(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    with pytest.raises(ImageWriteError, match=r"exists already.*--overwrite"):
        write(path, one_page(GREY))
    assert path.read_bytes() == b"old"
    write(path, one_page(GREY), overwrite=True)
    np.testing.assert_array_equal(read(path).pages[0].pixels, GREY)


@pytest.mark.parametrize("name", ["out", "out.xyz", "out.jp2"])
def test_unknown_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageWriteError, match=r"use one of .*\.png"):
        write(tmp_path / name, one_page(GREY))
    assert files_below(tmp_path) == []


def test_missing_folders_are_made_for_a_result_but_not_for_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(ImageWriteError):
        write(tmp_path / "missing" / "out.jpg", one_page(GREY16))
    assert not (tmp_path / "missing").exists()
    write(tmp_path / "missing" / "deep" / "out.png", one_page(GREY))
    assert (tmp_path / "missing" / "deep" / "out.png").is_file()


def test_a_refused_picture_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jpg"
    path.write_bytes(b"old")
    with pytest.raises(ImageWriteError):
        write(path, one_page(GREY16), overwrite=True)
    assert path.read_bytes() == b"old"
    assert files_below(tmp_path) == ["out.jpg"]


def fail(error: BaseException):
    def failing(*_: Any, **__: Any) -> None:
        raise error

    return failing


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail(OSError(28, "No space left on device")))
    with pytest.raises(ImageWriteError, match="cannot be written: No space left on device"):
        write(path, one_page(GREY), overwrite=True)
    assert path.read_bytes() == b"old"
    assert files_below(tmp_path) == ["out.png"]


def test_a_folder_without_leave_to_write_is_a_write_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", fail(PermissionError(13, "Permission denied")))
    with pytest.raises(ImageWriteError, match="Permission denied"):
        write(tmp_path / "out.png", one_page(GREY))


@pytest.mark.parametrize(("overwrite", "last_step"), [(False, "link"), (True, "replace")])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, last_step: str) -> None:
    monkeypatch.setattr(os, last_step, fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.png", one_page(GREY), overwrite=overwrite)
    assert files_below(tmp_path) == []


def test_a_long_but_valid_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".png")
    write(path, one_page(GREY))
    assert files_below(tmp_path) == [path.name]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write(tmp_path / "out.png", one_page(GREY))
    assert (tmp_path / "out.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


# Suffixes


@pytest.mark.parametrize(
    ("source", "restored", "halftoned"),
    [("a.tif", ".tif", ".tif"), ("a.JPG", ".JPG", ".png"), ("a.gif", ".png", ".png"), ("a.pbm", ".png", ".png"), ("a.jp2", ".png", ".png")],
)
def test_suffixes_of_results(source: str, restored: str, halftoned: str) -> None:
    assert formats.restored_suffix(Path(source)) == restored
    assert formats.halftone_suffix(Path(source)) == halftoned


# Headers


def resized(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[::2, ::2])


def camera_exif() -> bytes:
    """Of a camera: caption, resolution, size, date, position."""
    exif = Image.Exif()
    exif[270], exif[282], exif[283], exif[296] = "Été".encode("latin-1"), 72.0, 72.0, 2
    exif.get_ifd(EXIF_FOLDER).update({TAKEN: "1913:05:29 20:00:00", 40962: 32, 40963: 24})
    exif.get_ifd(GPS_FOLDER).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return exif.tobytes()


@pytest.mark.parametrize("array", [WHITE, GREY, COLOUR, COLOUR16], ids=["1", "L", "RGB", "RGB16"])
@pytest.mark.parametrize("target", ["TIFF", "PNG"])
def test_date_and_place_of_a_photograph_are_kept(array: np.ndarray, target: str) -> None:
    """Through two files: the second is written from what was read of the first."""
    once = encode(one_page(array, exif=camera_exif(), dpi=DPI), target)
    data = encode(read(once).pages, target)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        exif = image.getexif()
    assert exif.get_ifd(EXIF_FOLDER)[TAKEN] == "1913:05:29 20:00:00"
    assert [float(value) for value in exif.get_ifd(GPS_FOLDER)[2]] == [48, 51, 30]
    assert exif[270] == "Été"
    np.testing.assert_array_equal(picture_to_array(read(data).pages[0]), array)
    assert read(data).header.dpi == pytest.approx(DPI, abs=0.02)


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG", "WEBP"])
def test_a_file_of_a_camera_becomes_any_other(target: str) -> None:
    source = saved(Image.fromarray(COLOUR), "JPEG", exif=camera_exif(), dpi=(300, 300))
    kept = Image.Exif()
    kept.load(read(encode(read(source).pages, target)).header.exif or b"")
    assert kept.get_ifd(EXIF_FOLDER)[TAKEN] == "1913:05:29 20:00:00"


def test_exif_says_the_size_and_resolution_of_the_new_pixels() -> None:
    file = read(saved(Image.fromarray(COLOUR), "JPEG", exif=camera_exif(), dpi=(300, 300)))
    half = [replace(page.with_pixels(resized(page.pixels)), header=page.header.scaled(0.5)) for page in file.pages]
    with Image.open(io.BytesIO(encode(half, "JPEG"))) as image:
        assert image.info["dpi"] == (150, 150)
        exif = image.getexif()
    assert (exif[282], exif[283]) == (150, 150)
    assert [exif.get_ifd(EXIF_FOLDER)[tag] for tag in (40962, 40963)] == [16, 12]


@pytest.mark.parametrize("deep", [False, True], ids=["8 bits", "16 bits"])
def test_every_page_has_its_own_header(deep: bool) -> None:
    first, second = (COLOUR16, COLOUR16[::-1].copy()) if deep else (GREY, COLOUR)
    exif = Image.Exif()
    exif[270] = "page one"
    with_date = Image.Exif()
    with_date.get_ifd(EXIF_FOLDER)[TAKEN] = "1913:05:29 20:00:00"
    headers = [Header((600.0, 600.0), None, exif.tobytes()), Header((300.0, 300.0), ICC, with_date.tobytes()), Header()]
    pages = [Picture(array, header=header) for array, header in zip((first, second, first), headers)]
    kept = read(encode(read(encode(pages, "TIFF")).pages, "TIFF")).pages
    assert [page.header.dpi for page in kept] == [(600, 600), (300, 300), None]
    assert [page.header.icc_profile for page in kept] == [None, ICC, None]
    captions = [Image.Exif() for _ in kept]
    for caption, page in zip(captions, kept):
        caption.load(page.header.exif or b"")
    assert [caption.get(270) for caption in captions] == ["page one", None, None]
    assert [caption.get_ifd(EXIF_FOLDER).get(TAKEN) for caption in captions] == [None, "1913:05:29 20:00:00", None]
    for page, array in zip(kept, (first, second, first)):
        np.testing.assert_array_equal(page.pixels, array)


def test_a_page_that_lies_on_its_side_has_its_resolution_turned() -> None:
    for format in ("PNG", "TIFF"):
        options = {"exif": exif_bytes(TURN_CLOCKWISE)} if format == "PNG" else {"tiffinfo": {ORIENTATION: TURN_CLOCKWISE}}
        file = read(saved(Image.fromarray(GREY), format, dpi=(204, 98), **options))
        assert file.pages[0].pixels.shape == GREY.shape[::-1]
        assert file.header.dpi == pytest.approx((98, 204), abs=0.02), format


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_turned_as_pillow_does(orientation: int) -> None:
    data = saved(Image.fromarray(COLOUR), "PNG", exif=exif_bytes(orientation))
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read(data).pages[0].pixels, upright)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damaged_exif_does_not_cost_the_picture(format: str) -> None:
    file = read(saved(Image.fromarray(GREY), format, exif=b"Exif\0\0garbage, no more"))
    assert file.pages[0].pixels.shape == GREY.shape
    assert file.header.exif is None


def test_values_of_foreign_types_do_not_cost_the_picture() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, GREY, extratags=[(306, "d", 1, 1.5, True)], metadata=None, description="a caption")
    (page,) = read(stream.getvalue()).pages
    np.testing.assert_array_equal(page.pixels, GREY)
    kept = Image.Exif()
    kept.load(page.header.exif or b"")
    assert kept[270] == "a caption"
    assert 306 not in kept


def test_a_resolution_of_zero_is_none() -> None:
    data = saved(Image.fromarray(GREY), "BMP")
    assert read(data[:38] + bytes(8) + data[46:]).header.dpi is None
    assert sdk.analyze(data[:38] + bytes(8) + data[46:]).lpi is None


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


# Formats


def test_other_decoders_are_not_tried() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n"
    for data in (postscript, saved(Image.fromarray(COLOUR), "PCX"), saved(Image.fromarray(COLOUR), "ICO")):
        with pytest.raises(ImageReadError, match="known format"):
            read(data)


def test_an_animation_that_is_shown_once_stays_one() -> None:
    first, second = frames(2)
    once = saved(Image.fromarray(first), "GIF", save_all=True, append_images=[Image.fromarray(second)], duration=100)
    assert read(once).loop is None
    for format in ("PNG", "WEBP"):
        assert read(encode(read(once).pages, format, read(once).loop)).loop == 1
    assert read(encode(read(once).pages, "GIF", read(once).loop)).loop is None


def test_results_beyond_4_gib_are_refused_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = fail(struct.error("'L' format requires 0 <= number <= 4294967295"))
    for place, name in ((tiff, "add_folders"), (tiff.AppendingTiffWriter, "newFrame")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, beyond)
            with pytest.raises(ImageWriteError, match=r"TIFF cannot hold page 1.*4 GiB"):
                encode(one_page(GREY), "TIFF")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "MP4"])
def test_pages_are_no_animation(format: str) -> None:
    """Of equal neighbours, such as blank pages, encoders of animations make one frame."""
    with pytest.raises(ImageWriteError, match=r"holds animations, but these are 3 pages.*write \.tif"):
        encode([Picture(GREY), Picture(GREY), Picture(GREY)], format)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pages_of_16_bits_are_none_either(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "deep.tif"
    write(source, [Picture(COLOUR16)] * 3)
    assert [page.duration for page in read(source).pages] == [None] * 3
    for work in (sdk.Halftoner("bayer").run_file, lambda source, target: restore_file(source, target, lambda page: page)):
        with pytest.raises(ImageWriteError, match=r"3 pages.*write \.tif"):
            work(source, tmp_path / f"out{suffix}")
    assert files_below(tmp_path) == ["deep.tif"]


def test_frames_of_a_gif_that_tells_no_durations_stay_an_animation() -> None:
    first, second = (Image.fromarray(frame) for frame in frames(2))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    assert [page.duration for page in read(data).pages] == [0, 0]
    assert len(read(encode(read(data).pages, "PNG")).pages) == 2


def test_a_transparent_colour_that_no_frame_uses_is_no_alpha() -> None:
    """Optimisers declare one for the frames that only tell what changes; Pillow makes RGBA of those."""
    images = [Image.fromarray(np.roll(COLOUR, 3 * i, axis=0)).quantize(32) for i in range(3)]
    data = saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=50, transparency=255)
    pages = read(data).pages
    assert [(page.pixels.shape, page.alpha) for page in pages] == [(COLOUR.shape, None)] * 3


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


# Books


def test_a_full_disk_is_no_fault_of_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff.AppendingTiffWriter, "write", fail(OSError(28, "No space left on device")))
    with pytest.raises(ImageWriteError, match="cannot be written: No space left on device"):
        write(tmp_path / "out.tif", one_page(GREY))
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_each_page_goes_when_its_restoration_comes(tmp_path: Path, suffix: str) -> None:
    """So a book, or an animation, is never in memory twice."""
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write(source, [Picture(page, duration=40) for page in frames(4)])
    seen: list[weakref.ref] = []

    def restore(page: Picture) -> Picture:
        assert not any(reference() is not None for reference in seen)
        seen.append(weakref.ref(page.pixels))
        return page.with_pixels(255 - page.pixels)

    restore_file(source, target, restore)
    assert len(seen) == 4
    for page, array in itertools.zip_longest(read(target).pages, frames(4)):
        np.testing.assert_array_equal(page.pixels, 255 - array)


def test_pages_of_a_book_are_in_memory_one_at_a_time(tmp_path: Path) -> None:
    page, count = np.zeros((700, 500), np.uint8), 40
    write(tmp_path / "in.tif", (Picture(page + i) for i in range(count)))
    done: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", lambda page: page, on_page=lambda *pages: done.append(pages))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done == [(i + 1, count) for i in range(count)]
    assert peak < 10 * page.nbytes
    for i, found in enumerate(read(tmp_path / "out.tif").pages):
        assert (found.pixels == i).all()


def test_a_page_can_be_asked_for_again_and_in_any_order() -> None:
    """Pillow forgets how a page lay once it has turned it."""
    turned = {"tiffinfo": {ORIENTATION: TURN_CLOCKWISE}, "dpi": DPI}
    pages = [Image.fromarray(frame) for frame in frames(3)]
    book = read(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], **turned)).pages
    for i in (2, 2, 0, 0, 1, 2, 1):
        np.testing.assert_array_equal(book[i].pixels, np.rot90(frames(3)[i], -1))
        assert book[i].header.dpi == DPI[::-1]
    with pytest.raises(IndexError):
        book[3]


def test_damage_of_a_later_page_is_told_before_the_work(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    data = bytearray(encode([Picture(GREY), Picture(noise)], "TIFF"))
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        at = image.tag_v2[273][0]  # type: ignore[attr-defined]  # StripOffsets
    data[at + 100 : at + 1100] = bytes(1000)
    (tmp_path / "in.tif").write_bytes(data)
    with pytest.raises(ImageReadError, match=r"in\.tif is damaged"):
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", fail(AssertionError("it began")))
    assert files_below(tmp_path) == ["in.tif"]


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_faults_of_the_work_are_not_called_faults_of_the_file(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "in.tif", [Picture(GREY), Picture(GREY)])
    write(tmp_path / "in.png", [Picture(GREY)])
    with pytest.raises(BrokenPipeError):
        restore_file(
            tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", lambda page: page, on_page=fail(BrokenPipeError(32, "Broken pipe"))
        )
    assert files_below(tmp_path) == ["in.png", "in.tif"]


def test_a_page_that_cannot_be_restored_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path / "in.tif", [Picture(GREY), Picture(GREY)])
    turns = iter([None, UnsupportedImageError("no")])

    def restore(page: Picture) -> Picture:
        if error := next(turns):
            raise error
        return page

    with pytest.raises(UnsupportedImageError, match="Page 2 of 2: no"):
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", restore)
    assert files_below(tmp_path) == ["in.tif"]


def test_pages_of_1_bit_beside_grey_ones_are_coded_as_such() -> None:
    data = encode([Picture(WHITE), Picture(GREY)], "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        assert (image.mode, image.info["compression"]) == ("1", "group4")
    first, second = read(data).pages
    np.testing.assert_array_equal(first.pixels, WHITE)
    np.testing.assert_array_equal(second.pixels, GREY)
