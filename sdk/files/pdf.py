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
from typing import Any

import numpy as np

from sdk import files
from sdk.errors import ImageReadError, ImageWriteError, UnsupportedImageError
from sdk.files.formats import is_pdf
from sdk.files.pdf_image import decode, pikepdf, put
from sdk.headers import Header
from sdk.images import MIN_SIDE, Picture, widened
from sdk.input_warnings import PictureLeftWarning, warn

MIN_STENCIL = 100
"""px; smaller stencils (masks of 1 bit that a page's colour is painted through) are letters and ornaments."""


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
    ``PictureLeftWarning``: stencils, CMYK, transparent colours, 16-bit colour, what no decoder reads. ``on_page(done, total)`` reports
    progress. Raises ``ImageReadError``; ``UnsupportedImageError`` for encrypted documents; ``ImageWriteError``;
    ``MissingDependencyError``; and what ``restore`` does, but for kinds of pictures that it does not take.
    """
    files.check_place(target, overwrite)
    if not (is_pdf(source) and is_pdf(target)):
        raise ImageWriteError(
            f"{source} cannot become {target}: a PDF is restored into a PDF, and pictures into pictures. `pdfimages -all` takes the scans "
            "out of a PDF, img2pdf makes one of them."
        )
    with _opened(source) as document, _damage_told(source):
        seen: set[tuple[int, int]] = set()
        for number, page in enumerate(document.pages, 1):
            for image in _pictures(page.resources, seen):
                _restore_in_place(image, restore)
            if on_page:
                on_page(number, len(document.pages))
        _warn_of_none(seen)
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


@contextlib.contextmanager
def _damage_told(source: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except pikepdf().PdfError as error:
        raise ImageReadError(f"{source} is damaged ({error}); copy or download it again, or mend it: qpdf in.pdf out.pdf.") from error


def _opened(source: str | os.PathLike) -> Any:
    encrypted = UnsupportedImageError(
        f"{source} is encrypted, and its result would not be; decrypt it first, if you may: qpdf --decrypt in.pdf out.pdf."
    )
    try:
        document = pikepdf().open(source)
    except pikepdf().PasswordError as error:
        raise encrypted from error
    except pikepdf().PdfError as error:
        raise ImageReadError(f"{source} is no PDF, or is damaged ({error}); copy or download it again.") from error
    except (OSError, ValueError) as error:
        raise files.unreadable(str(source), error) from error
    if document.is_encrypted:
        document.close()
        raise encrypted
    return document


def _pictures(resources: Any, seen: set[tuple[int, int]]) -> Iterator[Any]:
    """Each picture that a page names, or a form or a pattern on it, unless an earlier page had it."""
    for thing in (*_streams(resources, "/XObject"), *_streams(resources, "/Pattern")):
        if thing.objgen in seen:
            continue
        seen.add(thing.objgen)
        if thing.get("/Subtype") == "/Image":
            yield thing
        else:
            yield from _pictures(thing.get("/Resources"), seen)


def _streams(resources: Any, kind: str) -> list[Any]:
    """What resources name of a kind; entries that lead nowhere, as in documents cut short, are left out."""
    named: Any = resources.get(kind) if isinstance(resources, pikepdf().Dictionary) else None
    things = named.values() if isinstance(named, pikepdf().Dictionary) else ()
    return [thing for thing in things if isinstance(thing, pikepdf().Stream)]


def _shown(page: Any) -> dict[tuple[int, int], tuple[float, float]]:
    """Dots an inch, across and down, at which the page shows each of its own pictures, at the largest of their places; without what it
    does not tell."""
    named, shown = page.resources.get("/XObject", {}), {}
    matrix = pikepdf().Matrix
    at, kept = matrix(), []
    with contextlib.suppress(Exception):  # a page description may hold anything, and all it costs is the dpi
        inches = float(page.obj.get("/UserUnit", 1)) / 72
        for operands, operator in pikepdf().parse_content_stream(page, "q Q cm Do"):
            what = str(operator)
            if what == "q":
                kept.append(at)
            elif what == "Q":
                at = kept.pop()
            elif what == "cm":
                at = matrix(*map(float, operands)) @ at
            elif named[operands[0]].get("/Subtype") == "/Image":
                image = named[operands[0]]
                dpi = int(image.Width) / (math.hypot(at.a, at.b) * inches), int(image.Height) / (math.hypot(at.c, at.d) * inches)
                shown[image.objgen] = min(dpi, shown.get(image.objgen, dpi))
    return shown


def _restore_in_place(image: Any, restore: Callable[[Picture], Picture]) -> None:
    picture = _decoded(image)
    if picture is None:
        return
    try:
        restored = restore(picture)
    except UnsupportedImageError as error:
        _warn(error)
        return
    if not np.array_equal(restored.pixels, widened(picture.pixels)):
        put(image, restored.pixels)


def _decoded(image: Any) -> Picture | None:
    """None for specks, and, with a warning, for what is not read."""
    try:
        side = min(int(image.get("/Width", 0)), int(image.get("/Height", 0)))
        if image.get("/ImageMask", False):
            if side >= MIN_STENCIL:
                raise UnsupportedImageError("it is a stencil, through which the page is painted, and has no tones of its own.")
            return None
        return decode(image) if side >= MIN_SIDE else None
    except (ImageReadError, UnsupportedImageError, TypeError, ValueError) as error:
        _warn(error)
        return None


def _warn(error: Exception) -> None:
    warn(f"A picture is left as it is: {error}", PictureLeftWarning)


def _warn_of_none(seen: set[tuple[int, int]]) -> None:
    if not seen:
        warn("No picture was found on its pages.", PictureLeftWarning)
