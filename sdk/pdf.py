"""PDF documents: the pictures on their pages are restored where they are; needs pikepdf (`pip install 'inverse-halftoner[pdf]'`).

Only the streams of pictures are written anew. Layout, the text layer of OCR, bookmarks, links and metadata stay what they are.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from sdk import files
from sdk.errors import ImageReadError, ImageWriteError, MissingDependencyError, UnsupportedImageError
from sdk.formats import is_pdf
from sdk.headers import Header
from sdk.images import MIN_SIDE, Picture, from_unit, picture_from_pil, to_unit
from sdk.input_warnings import PictureLeftWarning, warn

LOSSY = ("/DCTDecode", "/JPXDecode")
"""JPEG and JPEG 2000: what was stored so becomes JPEG; all else stays without loss."""

OF_OLD_SAMPLES = ("/Decode", "/DecodeParms", "/Alternates", "/SMaskInData")
"""Entries of a picture that say how to read what its stream held."""

COMPONENTS = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3}
"""Of the colour spaces that a result may keep, beside ICC profiles, which say it themselves."""


def reader() -> ModuleType:
    """pikepdf; a ``MissingDependencyError`` where it is not installed."""
    try:
        import pikepdf
    except ImportError as error:
        raise MissingDependencyError("PDF needs pikepdf, which is not installed: pip install 'inverse-halftoner[pdf]'.") from error
    return pikepdf


def restore_pdf(
    source: str | os.PathLike,
    target: str | os.PathLike,
    restore: Callable[[Picture], Picture],
    overwrite: bool = False,
    on_page: Callable[[int, int], None] | None = None,
) -> None:
    """``restore`` each picture of a document once, and write the document with the results in their places.

    A picture of another size fills the place of the old one. JPEG and JPEG 2000 become JPEG (quality 95), all else stays without loss,
    and what ``restore`` gives back unchanged, such as text, keeps its bytes. What cannot be restored is left as it is, with a
    ``PictureLeftWarning``: CMYK, transparent colours, what no decoder reads. Stencils and pictures under 8 px are left without a word.
    ``on_page(done, total)`` reports progress. Raises ``ImageReadError``; ``UnsupportedImageError`` for encrypted documents;
    ``ImageWriteError``; ``MissingDependencyError``; and what ``restore`` does, but for kinds of pictures that it does not take.
    """
    files.check_place(target, overwrite)
    if not (is_pdf(source) and is_pdf(target)):
        raise ImageWriteError(
            f"{source} cannot become {target}: a PDF is restored into a PDF, and pictures into pictures. `pdfimages -all` takes the scans "
            "out of a PDF, img2pdf makes one of them."
        )
    with _opened(source) as document, _damage_told(source):
        _restore_pages(document, restore, on_page)
        files.write_by(partial(document.save, compress_streams=False), Path(target), overwrite)  # what is not restored keeps its bytes


def pictures(source: str | os.PathLike) -> Iterator[tuple[int, Picture]]:
    """The pictures that ``restore_pdf`` restores, each with the number of the first page that has it, from 1, and the dpi it is shown at.

    Raises as ``restore_pdf``; what is not read is left out with a ``PictureLeftWarning``.
    """
    with _opened(source) as document, _damage_told(source):
        seen: set[tuple[int, int]] = set()
        for number, page in enumerate(document.pages, 1):
            shown = _shown(page)
            for image in _pictures(page.resources, seen):
                if picture := _decoded(image):
                    dpi = shown.get(image.objgen)
                    yield number, replace(picture, header=Header(dpi=dpi)) if dpi else picture
        _warn_of_none(seen)


def _shown(page: Any) -> dict[tuple[int, int], tuple[float, float]]:
    """Dots an inch, across and down, at which the page shows each of its own pictures, where that can be told."""
    from pikepdf.models.ctm import get_objects_with_ctm

    named, shown = page.resources.get("/XObject", {}), {}
    with contextlib.suppress(reader().PdfError):  # of page descriptions that cannot be followed
        for name, at in get_objects_with_ctm(page):
            image = named.get(name)
            extent = math.hypot(at.a, at.b), math.hypot(at.c, at.d)
            if image is not None and image.get("/Subtype") == "/Image" and min(extent) > 0:
                shown[image.objgen] = (72 * int(image.Width) / extent[0], 72 * int(image.Height) / extent[1])
    return shown


@contextlib.contextmanager
def _damage_told(source: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except reader().PdfError as error:
        raise ImageReadError(f"{source} is damaged ({error}); copy or download it again, or mend it: qpdf in.pdf out.pdf.") from error


def _opened(source: str | os.PathLike) -> Any:
    encrypted = UnsupportedImageError(
        f"{source} is encrypted, and its result would not be; decrypt it first, if you may: qpdf --decrypt in.pdf out.pdf."
    )
    try:
        document = reader().open(source)
    except reader().PasswordError as error:
        raise encrypted from error
    except reader().PdfError as error:
        raise ImageReadError(f"{source} is no PDF, or is damaged ({error}); copy or download it again.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageReadError(f"{source} cannot be read: {reason}. Check the path and the permissions.") from error
    if document.is_encrypted:
        document.close()
        raise encrypted
    return document


def _restore_pages(document: Any, restore: Callable[[Picture], Picture], on_page: Callable[[int, int], None] | None) -> None:
    total, seen = len(document.pages), set()
    for number, page in enumerate(document.pages, 1):
        for image in _pictures(page.resources, seen):
            _restore_in_place(image, restore)
        if number == total:
            _warn_of_none(seen)
        if on_page:
            on_page(number, total)


def _pictures(resources: Any, seen: set[tuple[int, int]]) -> Iterator[Any]:
    """Each picture that a page names, or a form on it, unless an earlier page had it."""
    for thing in resources.get("/XObject", {}).values():
        if thing.objgen in seen:
            continue
        seen.add(thing.objgen)
        if thing.get("/Subtype") == "/Form":
            yield from _pictures(thing.get("/Resources", {}), seen)
        elif thing.get("/Subtype") == "/Image":
            yield thing


def _restore_in_place(image: Any, restore: Callable[[Picture], Picture]) -> None:
    picture = _decoded(image)
    if picture is None:
        return
    try:
        restored = restore(picture)
    except UnsupportedImageError as error:
        _warn(error)
        return
    before = picture.pixels if picture.pixels.dtype != np.bool_ else from_unit(to_unit(picture.pixels), np.uint8)
    if not np.array_equal(restored.pixels, before):
        _replace(image, restored.pixels)


def _decoded(image: Any) -> Picture | None:
    """Its samples, without the mask beside them; None for stencils, specks, and, with a warning, for what is not read."""
    width, height = int(image.Width), int(image.Height)
    if image.get("/ImageMask", False) or min(width, height) < MIN_SIDE:
        return None
    try:
        return _samples(image, width, height)
    except (ImageReadError, UnsupportedImageError) as error:
        _warn(error)
        return None


def _warn(error: Exception) -> None:
    warn(f"A picture is left as it is: {error}", PictureLeftWarning)


def _warn_of_none(seen: set[tuple[int, int]]) -> None:
    if not seen:
        warn("There is no picture on its pages.", PictureLeftWarning)


def _samples(image: Any, width: int, height: int) -> Picture:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > 2 * limit:
        raise ImageReadError(f"it declares {width}x{height} px, more than allowed. If you trust it, raise the limit (--max-megapixels).")
    if isinstance(image.get("/Mask"), reader().Array):
        raise UnsupportedImageError("one of its colours is called transparent, and would not be found again.")
    try:
        samples = reader().PdfImage(image).as_pil_image(apply_mask=False)
    except Exception as error:  # decoders raise whatever they like; JBIG2 needs a program, jbig2dec
        raise ImageReadError(f"it cannot be decoded ({type(error).__name__}: {error}).") from error
    if samples.mode in ("LA", "RGBA", "PA"):
        raise UnsupportedImageError("it holds an alpha channel within JPEG 2000.")
    return picture_from_pil(samples)


def _replace(image: Any, pixels: np.ndarray) -> None:
    """Put pixels, HxW or HxWx3 of uint8 or uint16, in the place of a picture's samples."""
    pikepdf = reader()
    planes, bits = (1 if pixels.ndim == 2 else 3), 8 * pixels.dtype.itemsize
    filters = image.get("/Filter", [])
    lossy = bits == 8 and str(filters[-1] if isinstance(filters, pikepdf.Array) and len(filters) else filters) in LOSSY
    image.ColorSpace = _colour_space(image, planes)
    for key in OF_OLD_SAMPLES:
        if key in image:
            del image[key]
    image.Height, image.Width, image.BitsPerComponent = *pixels.shape[:2], bits
    if lossy:
        image.write(files.encode([Picture(pixels)], "JPEG"), filter=pikepdf.Name.DCTDecode)
        return
    # What PNG holds is what PDF calls Flate with the predictors of PNG, 10 to 15.
    told = pikepdf.Dictionary(Predictor=15, Colors=planes, BitsPerComponent=bits, Columns=pixels.shape[1])
    image.write(_png_data(files.encode([Picture(pixels)], "PNG")), filter=pikepdf.Name.FlateDecode, decode_parms=told)


def _colour_space(image: Any, planes: int) -> Any:
    """The picture's own, or that of its palette, where it has as many components as the result."""
    pikepdf = reader()
    space = image.get("/ColorSpace")
    if isinstance(space, pikepdf.Array) and space[0] == "/Indexed":
        space = space[1]
    kind = space[0] if isinstance(space, pikepdf.Array) else space
    components = int(space[1].get("/N", 0)) if kind == "/ICCBased" else COMPONENTS.get(str(kind), 0)  # type: ignore[index]
    return space if components == planes else (pikepdf.Name.DeviceGray if planes == 1 else pikepdf.Name.DeviceRGB)


def _png_data(png: bytes) -> bytes:
    """The compressed rows of a PNG: its IDAT chunks, one after the other."""
    data, place = b"", 8
    while place < len(png):
        length, name = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        data += png[place + 8 : place + 8 + length] if name == b"IDAT" else b""
        place += 12 + length
    return data
