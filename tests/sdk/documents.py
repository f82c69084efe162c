"""Small PDFs in the making, and what tests ask of them."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.files import pdf
from sdk.images import Picture

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


def left_alone(document: Document, tmp_path: Path) -> bytes:
    """The stored bytes of the first picture, after a run in which the second one was restored."""
    document.page(document.image(RAMP))
    target = made(document, tmp_path)
    np.testing.assert_array_equal(shown(target, page=1), 255 - RAMP)
    with pikepdf.open(target) as restored:
        return restored.pages[0].Resources.XObject["/Im0"].read_raw_bytes()
