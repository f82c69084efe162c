"""PDF: pictures are restored in their places, and everything else stays what it was."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk import cli, errors
from sdk.files import pdf
from sdk.images import Picture
from sdk.input_warnings import PictureLeftWarning
from tests.sdk.documents import COLOURS, CONTENT, RAMP, Array, Dictionary, Document, Name, inverted, made, pikepdf, shown


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
