"""Any kind of picture in, the same kind out: what all restorers do around their work on one ``Picture``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from sdk import files
from sdk.errors import ImageReadError, ImageWriteError, InferenceError, OptionError, UnsupportedImageError
from sdk.files import formats
from sdk.files.pdf import restore_pdf
from sdk.headers import resolution
from sdk.images import ImageLike, Picture, no_picture, picture_from_array, picture_from_pil, picture_to_array, picture_to_pil, widened

Restore: TypeAlias = Callable[[Picture], Picture]


def restore_image(image: ImageLike, restore: Restore, scale: float = 1.0) -> Any:
    """``restore`` one picture, which becomes ``scale`` times as large; the same kind comes back.

    ndarray -> ndarray: HxW or HxWx3/4, RGB; uint8, uint16 and float32 keep their dtype, bool becomes uint8.
    PIL image -> PIL image, with DPI and ICC profile in ``info``.  Encoded bytes -> bytes in the same format (PNG if
    that cannot hold the result), all pages and metadata kept.  Path -> ndarray (the first page).
    Raises ``ImageReadError`` or ``UnsupportedImageError``; ``ImageWriteError`` where no format holds the result; and what ``restore`` does.
    """
    if isinstance(image, np.ndarray):
        return picture_to_array(restore(picture_from_array(image)))
    if isinstance(image, Image.Image):
        picture = picture_from_pil(image)
        return picture_with_header_of(image, picture, restore(picture), scale)
    if isinstance(image, bytes):
        file = files.read(image)
        outlines = _as_restored(file.outlines)
        format = file.format if file.format in formats.FORMATS.values() and formats.why_not(outlines, file.format) is None else "PNG"
        formats.check_fits(outlines, format, "the given bytes")
        return files.encode(restored_pages(file, _keeping_1_bit(restore, format), scale), format, file.loop)
    if isinstance(image, (str, os.PathLike)):
        return picture_to_array(restore(files.read(image, first_page_only=True).pages[0]))
    raise no_picture(image)


def picture_with_header_of(image: Image.Image, picture: Picture, restored: Picture, scale: float = 1.0) -> Image.Image:
    """``restored`` with what ``image``, of which ``picture`` is, says in ``info``; but no profile of grey for colour, or the reverse."""
    result = picture_to_pil(restored)
    kept = ("exif", "xmp", "icc_profile") if restored.pixels.ndim == picture.pixels.ndim else ("exif", "xmp")
    result.info |= {key: image.info[key] for key in kept if key in image.info}
    if dpi := restored.header.dpi or resolution(image.info.get("dpi")):
        result.info["dpi"] = tuple(value * scale for value in dpi)
    return result


def restore_batch(images: Iterable[ImageLike], run: Callable[[ImageLike], Any]) -> list[Any]:
    """``run`` on each; the first bad picture raises, naming its place. Folders are the CLI's job, which goes on past them."""
    if isinstance(images, (str, bytes, os.PathLike)):
        raise OptionError(f"A batch is several pictures, not one {type(images).__name__}; put it into a list.")
    restored = []
    for i, image in enumerate(images):
        try:
            restored.append(run(image))
        except (ImageReadError, UnsupportedImageError, ImageWriteError, InferenceError) as error:
            raise type(error)(f"Picture {i} of the batch: {error}") from error
    return restored


def restore_file(
    source: str | os.PathLike,
    target: str | os.PathLike,
    restore: Restore,
    scale: float = 1.0,
    overwrite: bool = False,
    on_page: Callable[[int, int], None] | None = None,
) -> None:
    """``restore`` a file into another one: every page or frame, with DPI, ICC profile, EXIF, XMP and IPTC; nothing is written on failure.

    The suffix of ``target`` chooses the format; a PDF becomes a PDF (``restore_pdf``). ``on_page(done, total)`` reports progress.
    """
    if formats.is_pdf(source):
        restore_pdf(source, target, restore, overwrite, on_page)
        return
    files.check_target(target, overwrite)
    file, format = files.read(source), formats.format_for(target)
    formats.check_fits(_as_restored(file.outlines), format, target)
    files.write(target, restored_pages(file, _keeping_1_bit(restore, format), scale, on_page), file.loop, overwrite)


def _keeping_1_bit(restore: Restore, format: str) -> Restore:
    """``restore``, but a page of 1 bit, such as one of text, that comes back unchanged stays one."""

    def restore_or_keep(page: Picture) -> Picture:
        restored = restore(page)
        is_as_it_was = page.pixels.dtype == np.bool_ and np.array_equal(restored.pixels, widened(page.pixels))
        return page if is_as_it_was and formats.why_not([page], format) is None else restored

    return restore_or_keep


def restored_pages(
    file: files.ImageFile, restore: Restore, scale: float = 1.0, on_page: Callable[[int, int], None] | None = None
) -> Iterator[Picture]:
    """Takes the file's pages: each one's restoration when it is asked for, ``scale`` times as large in px; the printed size stays."""
    total = len(file.pages)
    for number, page in enumerate(file.take_pages(), 1):
        try:
            restored = restore(page)
        except UnsupportedImageError as error:
            if total == 1:
                raise
            raise UnsupportedImageError(f"Page {number} of {total}: {error}") from error
        yield replace(restored, header=restored.header.scaled(scale))
        if on_page:
            on_page(number, total)


def _as_restored(outlines: Iterable[Picture]) -> list[Picture]:
    """Outlines of the kind the restorations will be: 1 bit becomes 8."""
    return [replace(page, pixels=page.pixels.view(np.uint8)) if page.pixels.dtype == np.bool_ else page for page in outlines]
