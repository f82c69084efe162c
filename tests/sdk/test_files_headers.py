"""Headers on disk: resolution, profile, captions and EXIF stay, and a picture is turned as its file says."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

import sdk
from sdk.files import encode, read
from sdk.headers import Header
from sdk.images import Picture, picture_to_array
from tests.sdk.pictures import (
    COLOUR,
    COLOUR16,
    DPI,
    EXIF_FOLDER,
    GPS_FOLDER,
    GREY,
    GREY16,
    ICC,
    MAKE,
    ORIENTATION,
    RGBA16,
    TAKEN,
    TURN_CLOCKWISE,
    WHITE,
    exif_bytes,
    one_page,
    saved,
)


def check_exif(data: bytes | None) -> None:
    """All tags of ``exif_bytes`` are there, and no orientation."""
    assert data
    exif = Image.Exif()
    exif.load(data)
    assert exif[MAKE] == "Maker"
    assert exif.get_ifd(EXIF_FOLDER)[TAKEN] == "1913:05:29 20:00:00"
    assert ORIENTATION not in exif


# Round trips


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("array", [WHITE, GREY, COLOUR, GREY16, COLOUR16, RGBA16], ids=["1", "L", "RGB", "I;16", "RGB16", "RGBA16"])
def test_dpi_and_icc_round_trip(format: str, array: np.ndarray) -> None:
    data = encode(one_page(array, dpi=DPI, icc_profile=ICC), format)
    with Image.open(io.BytesIO(data)) as image:  # other programs find them too
        image.load()
        assert image.info["dpi"] == pytest.approx(DPI, abs=0.02)
        assert image.info["icc_profile"] == ICC
    file = read(data)
    assert file.pages[0].header.dpi == pytest.approx(DPI, abs=0.02)
    assert file.pages[0].header.icc_profile == ICC


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_dpi_round_trip(format: str) -> None:
    assert read(encode(one_page(GREY, dpi=(300.0, 300.0)), format)).pages[0].header.dpi == pytest.approx((300, 300), abs=0.02)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_icc_round_trip(format: str) -> None:
    assert read(encode(one_page(COLOUR, icc_profile=ICC), format)).pages[0].header.icc_profile == ICC


@pytest.mark.parametrize(("format", "array"), [("PNG", GREY), ("JPEG", GREY), ("WEBP", GREY), ("PNG", GREY16), ("PNG", COLOUR16)])
def test_exif_round_trip(format: str, array: np.ndarray) -> None:
    data = encode(one_page(array, exif=exif_bytes()), format)
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[MAKE] == "Maker"
    check_exif(read(data).pages[0].header.exif)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
def test_no_header_is_made_up(format: str) -> None:
    """A picture without a resolution must not get one (Pillow reports 1 dpi for such TIFFs)."""
    file = read(saved(Image.fromarray(GREY), format))
    if format != "BMP":  # its header always holds a resolution
        assert file.pages[0].header.dpi is None
    assert file.pages[0].header.icc_profile is None
    assert file.pages[0].header.exif is None


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG"])
def test_captions_of_a_tiff_are_kept(target: str) -> None:
    tags = {270: "Le départ".encode(), 315: "Agence Rol", 33432: "domaine public"}
    kept = read(encode(read(saved(Image.fromarray(GREY), "TIFF", tiffinfo=tags, dpi=(300, 300))).pages, target))
    assert kept.pages[0].header.dpi == pytest.approx((300, 300), abs=0.01)
    exif = Image.Exif()
    exif.load(kept.pages[0].header.exif or b"")
    assert {tag: exif[tag].encode("latin-1") for tag in tags} == {
        tag: text if isinstance(text, bytes) else text.encode() for tag, text in tags.items()
    }


def test_captions_of_a_16_bit_colour_tiff_are_kept() -> None:
    exif = Image.Exif()
    exif[270], exif[315] = "Le départ".encode(), "Agence Rol"
    kept = Image.Exif()
    kept.load(read(encode(one_page(COLOUR16, exif=exif.tobytes()), "TIFF")).pages[0].header.exif or b"")
    assert kept[270].encode("latin-1").decode() == "Le départ"
    assert kept[315] == "Agence Rol"


def test_exif_of_a_jpeg_is_kept_in_tiff() -> None:
    exif = Image.Exif()
    exif[315] = "Agence Rol"
    kept = read(encode(read(saved(Image.fromarray(GREY), "JPEG", exif=exif.tobytes())).pages, "TIFF")).pages[0].header.exif
    again = Image.Exif()
    again.load(kept or b"")
    assert again[315] == "Agence Rol"


# Orientation


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_orientation_is_applied_and_its_tag_removed(format: str) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    file = read(saved(Image.fromarray(COLOUR), format, exif=exif_bytes(TURN_CLOCKWISE), **lossless))
    turned = np.rot90(COLOUR, -1)
    assert file.pages[0].pixels.shape == turned.shape
    assert np.abs(file.pages[0].pixels.astype(int) - turned).max() <= (0 if format != "JPEG" else 20)
    check_exif(file.pages[0].header.exif)


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
    check_exif(file.pages[0].header.exif)


def test_orientation_of_16_bit_colour_tiff_is_applied() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, COLOUR16, photometric="rgb", extratags=[(ORIENTATION, "H", 1, TURN_CLOCKWISE, True)])
    np.testing.assert_array_equal(read(stream.getvalue()).pages[0].pixels, np.rot90(COLOUR16, -1))


def test_a_page_that_lies_on_its_side_has_its_resolution_turned() -> None:
    for format in ("PNG", "TIFF"):
        options = {"exif": exif_bytes(TURN_CLOCKWISE)} if format == "PNG" else {"tiffinfo": {ORIENTATION: TURN_CLOCKWISE}}
        file = read(saved(Image.fromarray(GREY), format, dpi=(204, 98), **options))
        assert file.pages[0].pixels.shape == GREY.shape[::-1]
        assert file.pages[0].header.dpi == pytest.approx((98, 204), abs=0.02), format


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_turned_as_pillow_does(orientation: int) -> None:
    data = saved(Image.fromarray(COLOUR), "PNG", exif=exif_bytes(orientation))
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read(data).pages[0].pixels, upright)


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
    assert read(data).pages[0].header.dpi == pytest.approx(DPI, abs=0.02)


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG", "WEBP"])
def test_a_file_of_a_camera_becomes_any_other(target: str) -> None:
    source = saved(Image.fromarray(COLOUR), "JPEG", exif=camera_exif(), dpi=(300, 300))
    kept = Image.Exif()
    kept.load(read(encode(read(source).pages, target)).pages[0].header.exif or b"")
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


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damaged_exif_does_not_cost_the_picture(format: str) -> None:
    file = read(saved(Image.fromarray(GREY), format, exif=b"Exif\0\0garbage, no more"))
    assert file.pages[0].pixels.shape == GREY.shape
    assert file.pages[0].header.exif is None


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
    assert read(data[:38] + bytes(8) + data[46:]).pages[0].header.dpi is None
    assert sdk.analyze(data[:38] + bytes(8) + data[46:]).lpi is None
