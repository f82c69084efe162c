"""PDF: pictures are restored in their places, and everything else stays what it was."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import sdk
from sdk import cli, errors, pdf
from sdk.images import Picture
from sdk.input_warnings import PictureLeftWarning

pikepdf = pytest.importorskip("pikepdf", reason="pikepdf is not installed: pip install 'inverse-halftoner[pdf]'")
Array, Dictionary, Name = pikepdf.Array, pikepdf.Dictionary, pikepdf.Name

RAMP = np.tile(np.linspace(0, 255, 48, dtype=np.uint8), (40, 1))
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 99)], axis=-1)
CONTENT = b"q 72 0 0 60 10 10 cm /Im0 Do Q BT 3 Tr /F0 9 Tf 10 10 Td (recognised words) Tj ET"


class Document:
    """A PDF in the making: one page a picture, each with the words that OCR found on it."""

    def __init__(self):
        self.pdf = pikepdf.new()
        self.font = self.pdf.make_indirect(Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))

    def stream(self, data: bytes, **entries) -> pikepdf.Object:
        return self.pdf.make_stream(data, **entries)

    def image(self, pixels: np.ndarray, data: bytes | None = None, **entries) -> pikepdf.Object:
        """A picture of 8 bits, stored plainly unless ``data`` and entries say otherwise."""
        space = Name.DeviceGray if pixels.ndim == 2 else Name.DeviceRGB
        told = {"Width": pixels.shape[1], "Height": pixels.shape[0], "BitsPerComponent": 8, "ColorSpace": space} | entries
        stream = self.stream(b"", Type=Name.XObject, Subtype=Name.Image, **told)
        if data is None:
            stream.write(zlib.compress(pixels.tobytes()), filter=Name.FlateDecode)
        else:
            stream.write(data, filter=entries.get("Filter"), decode_parms=entries.get("DecodeParms"))
        return stream

    def page(self, *things: pikepdf.Object) -> None:
        resources = Dictionary(Font=Dictionary(F0=self.font), XObject=Dictionary({f"/Im{i}": thing for i, thing in enumerate(things)}))
        contents = self.stream(CONTENT)
        page = Dictionary(Type=Name.Page, MediaBox=[0, 0, 100, 100], Resources=resources, Contents=contents)
        self.pdf.pages.append(pikepdf.Page(self.pdf.make_indirect(page)))

    def save(self, path: Path, **options) -> Path:
        self.pdf.save(path, compress_streams=False, **options)
        return path


def encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=format, **options)
    return stream.getvalue()


def inverted(picture: Picture) -> Picture:
    """Stands for a restoration: unlike the picture everywhere, and easy to know again."""
    pixels = picture.pixels * np.uint8(255) if picture.pixels.dtype == np.bool_ else picture.pixels
    return picture.with_pixels(np.iinfo(pixels.dtype).max - pixels)


def shown(path: Path, page: int = 0, name: str = "/Im0") -> np.ndarray:
    """The samples of a picture as a reader of PDF takes them."""
    with pikepdf.open(path) as document:
        return np.array(pikepdf.PdfImage(document.pages[page].Resources.XObject[name]).as_pil_image(apply_mask=False))


def made(document: Document, tmp_path: Path, restore=inverted, **options) -> Path:
    target = tmp_path / "restored.pdf"
    pdf.restore_pdf(document.save(tmp_path / "book.pdf"), target, restore, **options)
    return target


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


def test_all_else_stays(tmp_path):
    document = Document()
    document.page(document.image(RAMP, SMask=document.image(255 - RAMP)))
    document.page(document.image(COLOURS))
    with document.pdf.open_outline() as outline:
        outline.root.append(pikepdf.OutlineItem("Chapter 2", 1))
    document.pdf.docinfo[Name.Title] = "A book"
    with pikepdf.open(made(document, tmp_path)) as restored:
        assert restored.pages[0].Contents.read_bytes() == CONTENT
        assert str(restored.docinfo.Title) == "A book"
        with restored.open_outline() as outline:
            assert outline.root[0].title == "Chapter 2"
        mask = restored.pages[0].Resources.XObject["/Im0"].SMask
        np.testing.assert_array_equal(np.frombuffer(mask.read_bytes(), np.uint8), (255 - RAMP).ravel())


def test_a_picture_on_many_pages_and_one_in_a_form_are_restored_once(tmp_path):
    calls = []

    def restore(picture: Picture) -> Picture:
        calls.append(picture.pixels.shape)
        return inverted(picture)

    document = Document()
    shared, nested = document.image(RAMP), document.image(COLOURS)
    entries = {"Type": Name.XObject, "Subtype": Name.Form, "BBox": [0, 0, 100, 100]}
    form = document.stream(CONTENT, **entries, Resources=Dictionary(XObject=Dictionary(Im0=nested)))
    document.page(shared, form)
    document.page(shared, form)
    pages: list[tuple[int, int]] = []
    target = made(document, tmp_path, restore, on_page=lambda done, total: pages.append((done, total)))
    assert calls == [RAMP.shape, COLOURS.shape]
    assert pages == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(shown(target, page=1), 255 - RAMP)
    with pikepdf.open(target) as restored:
        inner = restored.pages[0].Resources.XObject["/Im1"].Resources.XObject["/Im0"]
        np.testing.assert_array_equal(np.array(pikepdf.PdfImage(inner).as_pil_image()), 255 - COLOURS)


def test_a_picture_that_comes_back_unchanged_keeps_its_bytes(tmp_path):
    data = encoded(RAMP, "JPEG", quality=40)
    document = Document()
    document.page(document.image(RAMP, data, Filter=Name.DCTDecode))
    with pikepdf.open(made(document, tmp_path, lambda picture: picture)) as restored:
        assert restored.pages[0].Resources.XObject["/Im0"].read_raw_bytes() == data


def left_alone(document: Document, tmp_path: Path) -> bytes:
    """The stored bytes of the first picture, after a run in which the second one was restored."""
    document.page(document.image(RAMP))
    target = made(document, tmp_path)
    np.testing.assert_array_equal(shown(target, page=1), 255 - RAMP)
    with pikepdf.open(target) as restored:
        return restored.pages[0].Resources.XObject["/Im0"].read_raw_bytes()


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


def test_entries_that_lead_nowhere_are_passed_over(tmp_path):
    document = Document()
    document.page(document.image(RAMP))
    things = document.pdf.pages[0].Resources.XObject
    things.Im1 = document.stream(b"")
    things.Im2 = 7
    document.page()
    document.pdf.pages[1].Resources.XObject = Array([1])
    source = document.save(tmp_path / "cut.pdf")
    source.write_bytes(re.sub(rb"/Im1 \d+ 0 R", b"/Im1 99 0 R", source.read_bytes()))
    pdf.restore_pdf(source, tmp_path / "out.pdf", inverted)
    np.testing.assert_array_equal(shown(tmp_path / "out.pdf"), 255 - RAMP)


def test_a_picture_in_a_pattern_is_restored(tmp_path):
    document = Document()
    document.page()
    resources = Dictionary(XObject=Dictionary(Im0=document.image(RAMP)))
    document.pdf.pages[0].Resources.Pattern = Dictionary(P0=document.stream(CONTENT, PatternType=1, Resources=resources))
    with pikepdf.open(made(document, tmp_path)) as restored:
        image = restored.pages[0].Resources.Pattern.P0.Resources.XObject.Im0
        np.testing.assert_array_equal(np.array(pikepdf.PdfImage(image).as_pil_image()), 255 - RAMP)


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


@pytest.mark.parametrize(
    ("content", "unit", "dpi"),
    [
        (b"q 0 1 -1 0 120 0 cm 96 0 0 80 0 0 cm /Im0 Do Q", 1, (36, 36)),  # turned by 90 degrees
        (b"q 48 0 0 40 0 0 cm /Im0 Do Q q 4.8 0 0 4 0 0 cm /Im0 Do Q", 1, (72, 72)),  # and as a thumbnail
        (b"48 0 0 40 0 0 cm /Im0 Do", 2, (36, 36)),
        (b"Q Q /Im0 Do Do", 1, None),
        (b"\xff /Im0 Tj Do", 1, None),
    ],
)
def test_dpi_is_that_of_the_place_on_the_page(content, unit, dpi, tmp_path):
    document = Document()
    document.page(document.image(RAMP))
    page = document.pdf.pages[0]
    page.Contents, page.UserUnit = document.stream(content), unit
    ((_, picture),) = pdf.pictures(document.save(tmp_path / "book.pdf"))
    assert picture.header.dpi == (dpi and pytest.approx(dpi))


def test_no_picture_at_all_is_told(tmp_path):
    document = Document()
    document.page()
    with pytest.warns(PictureLeftWarning, match="No picture"):
        assert made(document, tmp_path).exists()


@pytest.mark.parametrize("owner_only", [True, False])
def test_encrypted_documents_are_refused(owner_only, tmp_path):
    document = Document()
    document.page(document.image(RAMP))
    source = document.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(owner="secret", user="" if owner_only else "word"))
    with pytest.raises(errors.UnsupportedImageError, match="qpdf --decrypt"):
        pdf.restore_pdf(source, tmp_path / "out.pdf", inverted)
    assert not (tmp_path / "out.pdf").exists()


def test_damage_and_missing_files_are_named(tmp_path):
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.5\nnothing of use")
    for name, reason in (("torn.pdf", "damaged"), ("none.pdf", "cannot be read")):
        with pytest.raises(errors.ImageReadError, match=f"{name}.*{reason}"):
            pdf.restore_pdf(tmp_path / name, tmp_path / "out.pdf", inverted)
    assert not (tmp_path / "out.pdf").exists()


def test_nothing_is_replaced_without_leave_and_nothing_left_by_a_failure(tmp_path):
    document = Document()
    document.page(document.image(RAMP))
    target = made(document, tmp_path)
    before = target.read_bytes()
    with pytest.raises(errors.ImageWriteError, match="exists already"):
        pdf.restore_pdf(tmp_path / "book.pdf", target, inverted)

    def fail(picture: Picture) -> Picture:
        raise errors.InferenceError("out of memory")

    with pytest.raises(errors.InferenceError):
        pdf.restore_pdf(tmp_path / "book.pdf", target, fail, overwrite=True)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.pdf", "restored.pdf"]


def test_pdf_becomes_pdf_only(tmp_path):
    document = Document()
    document.page(document.image(RAMP))
    source = document.save(tmp_path / "book.pdf")
    restorer = sdk.InverseHalftoner("auto")
    with pytest.raises(errors.ImageWriteError, match="a PDF is restored into a PDF"):
        restorer.run_file(source, tmp_path / "book.tif")
    with pytest.raises(errors.ImageWriteError, match="only made by restoring a PDF"):
        restorer.run_file("docs/samples/kodim23_floyd-steinberg.png", tmp_path / "out.pdf")
    for picture in (source, source.read_bytes()):
        with pytest.raises(errors.UnsupportedImageError, match="is a PDF"):
            restorer.run(picture)


@pytest.fixture
def book(tmp_path) -> Path:
    """A page of dots, one of text-like strokes, one in ink colours."""
    photo = np.array(Image.open("docs/samples/kodim23_floyd-steinberg.png"))[:160, :192]
    document = Document()
    dots = photo > 0
    document.page(
        document.image(dots, zlib.compress(np.packbits(dots, axis=1).tobytes()), BitsPerComponent=1, Filter=Name.FlateDecode),
    )
    strokes = np.full((160, 192), 255, np.uint8)
    strokes[20:140:12, 10:180] = 0
    document.page(document.image(strokes))
    document.page(document.image(RAMP, RAMP.tobytes() * 4, ColorSpace=Name.DeviceCMYK))
    (tmp_path / "scans").mkdir()
    return document.save(tmp_path / "scans" / "book.pdf")


def test_restore_does_books_in_folders(book, tmp_path, capsys):
    output = tmp_path / "restored"
    assert cli.main(["restore", str(book.parent), "-o", str(output), "-v"]) == 0
    said = capsys.readouterr()
    assert "page 1: " in said.out
    assert "floyd-steinberg" in said.out
    assert "page 3: A picture is left as it is" in said.err
    dots, restored = shown(book), shown(output / "book.pdf")
    np.testing.assert_array_equal(restored, sdk.InverseHalftoner("auto").run(dots))
    np.testing.assert_array_equal(shown(book, 1), shown(output / "book.pdf", 1))


def test_expand_tells_what_it_leaves_and_where(book, tmp_path, capsys):
    assert cli.main(["expand", str(book), "-o", str(tmp_path / "out.pdf")]) == 0
    assert f"warning: {book}: page 3: A picture is left as it is" in capsys.readouterr().err


def test_scale_changes_the_picture_and_not_the_page(book, tmp_path):
    target = tmp_path / "half.pdf"
    with pytest.warns(sdk.InputWarning):
        sdk.InverseHalftoner("auto", scale=0.5).run_file(book, target)
    assert shown(target).shape == (80, 96)
    with pikepdf.open(target) as restored:
        assert restored.pages[0].Contents.read_bytes() == CONTENT


def test_analyze_says_what_each_picture_is_and_at_which_resolution(book, capsys):
    assert cli.main(["analyze", str(book.parent)]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert f"warning: {book}: A picture is left as it is" in said.err
    assert [line.partition("book.pdf: ")[2][:7] for line in lines] == ["page 1:", "page 2:"]
    assert "floyd-steinberg" in lines[0]
    assert cli.main(["analyze", "--json", str(book)]) == 0
    assert [json.loads(line)["page"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    with pytest.warns(PictureLeftWarning):
        found = list(pdf.pictures(book))
    assert [page for page, _ in found] == [1, 2]
    assert found[0][1].header.dpi == pytest.approx((192, 192))  # 192x160 px on an inch and 60 points


def test_other_commands_pass_books_over(book, tmp_path, capsys):
    Image.fromarray(COLOURS).save(book.parent / "photo.png")
    assert cli.main(["halftone", str(book.parent), "-o", str(tmp_path / "dots"), "--method", "bayer"]) == 0
    assert "1 .pdf" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "dots").iterdir()] == ["photo.png"]
