"""One picture of a PDF: what it is read as, what it becomes, and which are left alone."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ImageCms

import sdk
from sdk.input_warnings import PictureLeftWarning
from tests.sdk.documents import COLOURS, RAMP, Array, Dictionary, Document, Name, encoded, left_alone, made, pikepdf, shown


@pytest.mark.parametrize("pixels", [RAMP, COLOURS], ids=["grey", "colour"])
def test_pixels_stored_without_loss_stay_so(pixels, tmp_path):
    document = Document()
    document.page(document.image(pixels))
    np.testing.assert_array_equal(shown(made(document, tmp_path)), 255 - pixels)


def test_sixteen_bits_stay_sixteen(tmp_path):
    deep = RAMP.astype(np.uint16) * 257
    document = Document()
    document.page(document.image(deep, zlib.compress(deep.astype(">u2").tobytes()), BitsPerComponent=16, Filter=Name.FlateDecode))
    target = made(document, tmp_path)
    with pikepdf.open(target) as restored:
        image = restored.pages[0].Resources.XObject["/Im0"]
        assert image.BitsPerComponent == 16
        rows = np.frombuffer(image.read_bytes(), ">u2").reshape(deep.shape)
    np.testing.assert_array_equal(rows, 65535 - deep)


@pytest.mark.parametrize("pixels", [RAMP, COLOURS], ids=["grey", "colour"])
@pytest.mark.parametrize("filter", ["DCTDecode", "JPXDecode"])
def test_jpeg_and_jpeg_2000_become_jpeg(pixels, filter, tmp_path):
    data = encoded(pixels, "JPEG", quality=95) if filter == "DCTDecode" else encoded(pixels, "JPEG2000")
    document = Document()
    document.page(document.image(pixels, data, Filter=Name("/" + filter)))
    target = made(document, tmp_path)
    with pikepdf.open(target) as restored:
        assert restored.pages[0].Resources.XObject["/Im0"].Filter == Name.DCTDecode
    assert np.abs(shown(target).astype(int) - (255 - pixels)).mean() < 4


def test_a_page_of_1_bit_with_inverted_levels_becomes_8_bits(tmp_path):
    dots = np.arange(40)[:, None] * 6 < RAMP
    data = zlib.compress(np.packbits(~dots, axis=1).tobytes())
    document = Document()
    document.page(document.image(dots, data, BitsPerComponent=1, Filter=Name.FlateDecode, Decode=Array([1, 0])))
    target = made(document, tmp_path)
    np.testing.assert_array_equal(shown(target), np.where(dots, 0, 255))
    with pikepdf.open(target) as restored:
        assert "/Decode" not in restored.pages[0].Resources.XObject["/Im0"]


def test_a_palette_becomes_the_colours_it_stands_for(tmp_path):
    palette = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    numbers = (RAMP > 127).astype(np.uint8)
    space = Array([Name.Indexed, Name.DeviceRGB, 1, pikepdf.String(palette.tobytes())])
    document = Document()
    document.page(document.image(numbers, ColorSpace=space))
    np.testing.assert_array_equal(shown(made(document, tmp_path)), 255 - palette[numbers])


def test_a_profile_is_kept_where_it_fits(tmp_path):
    document = Document()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    space = Array([Name.ICCBased, document.stream(profile, N=3)])
    document.page(document.image(COLOURS, ColorSpace=space))
    palette = pikepdf.String((COLOURS[0].tobytes() * 6)[:768])
    document.page(document.image(RAMP, ColorSpace=Array([Name.Indexed, space, 255, palette])))
    with pikepdf.open(made(document, tmp_path)) as restored:
        for page in restored.pages:
            image = page.Resources.XObject["/Im0"]
            assert image.ColorSpace[0] == Name.ICCBased
            assert image.ColorSpace[1].read_bytes() == profile
            assert image.DecodeParms.Colors == 3


def test_a_picture_that_comes_back_unchanged_keeps_its_bytes(tmp_path):
    data = encoded(RAMP, "JPEG", quality=40)
    document = Document()
    document.page(document.image(RAMP, data, Filter=Name.DCTDecode))
    with pikepdf.open(made(document, tmp_path, lambda picture: picture)) as restored:
        assert restored.pages[0].Resources.XObject["/Im0"].read_raw_bytes() == data


LAB = Array([Name.Lab, Dictionary(WhitePoint=[0.95, 1, 1.09])])
BLACK_INK = Array([Name.Separation, Name.Black, Name.DeviceGray, Dictionary(FunctionType=2, Domain=[0, 1], N=1, C0=[1], C1=[0])])
TWO_COLOURS = Array([Name.Indexed, Name.DeviceRGB, 1, pikepdf.String(b"\xff\xff\xff\0\0\0")])
DEEP_JPEG_2000 = cv2.imencode(".jp2", COLOURS.astype(np.uint16) * 257)[1].tobytes()
FAX = struct.pack(">H", 0x0010) * 40


@pytest.mark.parametrize(
    ("samples", "entries", "reason"),
    [
        (RAMP.tobytes() * 4, {"ColorSpace": Name.DeviceCMYK}, "CMYK"),
        (RAMP.tobytes(), {"Mask": Array([0, 0])}, "transparent"),
        (b"no JPEG", {"Filter": Name.DCTDecode}, "cannot be decoded"),
        (RAMP.tobytes(), {"Width": 99999, "Height": 99999}, "more than allowed"),
        (encoded(RAMP, "JPEG"), {"Filter": Name.DCTDecode, "Decode": Array([1, 0])}, "turned over"),
        (encoded(COLOURS, "JPEG"), {"Filter": Name.DCTDecode, "ColorSpace": LAB}, "Lab"),
        (encoded(RAMP, "JPEG2000"), {"Filter": Name.JPXDecode, "ColorSpace": BLACK_INK}, "Separation"),
        (encoded(RAMP // 255, "JPEG2000"), {"Filter": Name.JPXDecode, "ColorSpace": TWO_COLOURS}, "palette"),
        (DEEP_JPEG_2000, {"Filter": Name.JPXDecode, "ColorSpace": Name.DeviceRGB}, "of 16 bits"),
        (COLOURS.tobytes() * 2, {"ColorSpace": Name.DeviceRGB, "BitsPerComponent": 16}, "16 bits"),
        (RAMP.tobytes(), {"ColorSpace": TWO_COLOURS, "Decode": Array([255, 0])}, "turned over"),
        (FAX, {"ColorSpace": TWO_COLOURS, "BitsPerComponent": 1, "Filter": Name.CCITTFaxDecode}, "palette"),
        (RAMP.tobytes(), {"Width": Name.Foo}, "."),
    ],
    ids=str,
)
def test_what_would_be_read_wrong_is_left_with_a_warning_and_the_rest_goes_on(samples, entries, reason, tmp_path):
    document = Document()
    document.page(document.image(RAMP, samples, **entries))
    with pytest.warns(PictureLeftWarning, match=reason):
        assert left_alone(document, tmp_path) == samples


def test_small_stencils_and_specks_are_left_without_a_word(tmp_path, recwarn):
    document = Document()
    stencil = document.stream(bytes(6 * 40), Subtype=Name.Image, Width=48, Height=40, BitsPerComponent=1, ImageMask=True)
    document.page(stencil, document.image(RAMP[:4, :4]))
    assert left_alone(document, tmp_path) == bytes(6 * 40)
    assert not [warning for warning in recwarn if issubclass(warning.category, sdk.InputWarning)]


def test_a_scan_stored_as_a_stencil_is_told(tmp_path):
    document = Document()
    document.page(document.stream(bytes(20 * 160), Subtype=Name.Image, Width=160, Height=160, BitsPerComponent=1, ImageMask=True))
    with pytest.warns(PictureLeftWarning, match="stencil"):
        assert left_alone(document, tmp_path) == bytes(20 * 160)
