"""Pictures on disk: pages, frames, and the metadata that most restoration tools lose (DPI, ICC profile, EXIF).

A file is written beside its target and renamed, so a failure leaves nothing behind and nothing half done.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from sdk.deep_colour import encode_png, is_deep_colour, read_deep_colour
from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, UnsupportedImageError
from sdk.headers import Header, header_of, orientation_of
from sdk.images import (
    Picture,
    check_size,
    from_unit,
    picture_from_pil,
    picture_to_array,
    picture_to_pil,
    plain_frames,
    to_unit,
    upright,
)
from sdk.tiff import ENCODER_ERRORS, TiffPages, decode_page, write_deep_pages, write_pages
from sdk.video import encode_mp4
from sdk.whole_files import whole_file

FORMATS = {
    ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF",
    ".pgm": "PPM", ".ppm": "PPM", ".pbm": "PPM", ".mp4": "MP4",
}  # fmt: skip
"""Suffix -> format, for reading folders and for writing."""

READ_SUFFIXES = {*FORMATS, ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".jpf", ".jpx"} - {".mp4"}
"""What is taken from folders. JPEG 2000 and MPO are read only, MP4 is written only."""

DECODERS = ("PNG", "TIFF", "JPEG", "JPEG2000", "WEBP", "BMP", "GIF", "PPM")
"""What Pillow may try, whatever a file is called: its other decoders start programs (EPS) or are little used and tested."""

MULTI_PAGE = ("TIFF", "PNG", "WEBP", "GIF", "MP4")


@dataclass(frozen=True)
class ImageFile:
    """The pages of a file, each with what its header says of it."""

    pages: Sequence[Picture]
    outlines: Sequence[Picture]
    """Shape and kind of each (``Picture.outline``): pages of TIFF are decoded anew whenever they are asked for."""
    format: str = "PNG"
    loop: int | None = None
    """Repeats of an animation; 0 = for ever, None = it is shown once."""

    @property
    def header(self) -> Header:
        """Of the first page."""
        return self.pages[0].header


def read(source: str | os.PathLike | bytes, first_page_only: bool = False) -> ImageFile:
    """Decode a file or its bytes, all pages or the first; an ``ImageReadError`` or ``UnsupportedImageError`` says what is wrong with it."""
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
            reason = getattr(error, "strerror", None) or error
            raise ImageReadError(f"{name} cannot be read: {reason}. Check the path and the permissions.") from error
    if not data:
        raise ImageReadError(f"{name} is empty (0 bytes); copy or download it again.")
    try:
        with Image.open(io.BytesIO(data), formats=DECODERS) as image:
            check_size(image.height, image.width)
            return _read_pages(data, image, first_page_only)
    except Image.UnidentifiedImageError as error:
        raise ImageReadError(f"{name} is not a picture in a known format. Accepted: {', '.join(sorted(DECODERS))}.") from error
    except Image.DecompressionBombError as error:
        raise ImageReadError(
            f"{name} declares more pixels than Pillow's limit ({error}). "
            "If you trust it, raise PIL.Image.MAX_IMAGE_PIXELS (--max-megapixels); else cut it up first."
        ) from error
    except (ImageReadError, UnsupportedImageError) as error:
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise ImageReadError(f"{name} does not fit into memory; close other programs, or cut it up first.") from error
    except Exception as error:  # decoders raise whatever they like on damaged data: OSError, SyntaxError, struct.error, ...
        raise ImageReadError(f"{name} is damaged or cut short ({error}); copy or download it again.") from error


def _read_pages(data: bytes, image: Image.Image, first_page_only: bool) -> ImageFile:
    deep = is_deep_colour(data, image)  # asked before anything loads the pixels: afterwards the depth can no longer be told
    # the further frames of an MPO are other views or thumbnails of the same photograph
    several = not first_page_only and image.format != "MPO"
    if image.format == "TIFF" and not deep:
        pages: Sequence[Picture] = TiffPages(data) if several and image.n_frames > 1 else [decode_page(image)]  # type: ignore[attr-defined]
    else:
        pages = _decode_frames(ImageSequence.Iterator(image) if several else [image], read_deep_colour(data, image) if deep else None)
        if len(pages) > 1 and not deep:  # frames that tell no duration have none; what has pages is TIFF
            pages = [replace(page, duration=page.duration or 0.0) for page in pages]
        if image.format == "GIF":
            pages = plain_frames(pages)  # Pillow gives the later frames of a grey GIF as RGB, and of an opaque one as RGBA
    outlines = [page.outline() for page in pages]  # so that damage of any is told now, not in the midst of the work
    return ImageFile(pages, outlines, "JPEG" if image.format == "MPO" else image.format or "PNG", image.info.get("loop"))


def _decode_frames(frames: Iterable[Image.Image], deep: Sequence[Picture] | None) -> list[Picture]:
    """``deep``: their pixels, where Pillow does not read them; those of TIFF are already upright."""
    pages = []
    for number, frame in enumerate(frames):
        is_tiff = frame.format == "TIFF"
        if not is_tiff:
            frame.load()  # asking a PNG for EXIF would load it, too, and hide its damage
        orientation = orientation_of(frame)
        picture = deep[number] if deep else picture_from_pil(frame)
        pages.append(replace(picture if is_tiff else upright(picture, orientation), header=header_of(frame, orientation)))
    return pages


def format_for(path: str | os.PathLike) -> str:
    """The format a suffix stands for."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ImageWriteError(f"{path}: no format is known for the suffix {suffix!r}; use one of {', '.join(sorted(FORMATS))}.")
    return FORMATS[suffix]


def check_target(path: str | os.PathLike, overwrite: bool) -> None:
    """Fail before hours of work, not after: unknown suffix, or a file that exists and must not be replaced."""
    format_for(path)
    if os.path.exists(path) and not overwrite:
        raise ImageWriteError(f"{path} exists already; choose another name, or allow overwriting (overwrite=True, --overwrite).")


def write(path: str | os.PathLike, pages: Iterable[Picture], loop: int | None = None, overwrite: bool = False) -> None:
    """Encode the pages by the suffix of ``path``, whole or not at all; folders on the way are made.

    TIFF takes them as they come: of pages that are made when they are asked for, one at a time is in memory.
    """
    check_target(path, overwrite)
    target, format = Path(path), format_for(path)
    faults: list[OSError] = []  # of what makes the pages, which are none of writing
    write_to = _tiff_writer(_noting(pages, faults)) if format == "TIFF" else _bytes_writer(encode(pages, format, loop))
    try:
        with whole_file(target) as stream:
            write_to(stream)
    except OSError as error:
        if isinstance(error, InverseHalftonerError) or error in faults:
            raise
        raise ImageWriteError(f"{target} cannot be written: {error.strerror or error}. Check the folder and its permissions.") from error


def _bytes_writer(data: bytes) -> Callable[[BinaryIO], None]:
    def write_to(stream: BinaryIO) -> None:
        stream.write(data)

    return write_to


def _noting(pages: Iterable[Picture], faults: list[OSError]) -> Iterator[Picture]:
    try:
        yield from pages
    except OSError as error:
        faults.append(error)
        raise


def encode(pages: Iterable[Picture], format: str, loop: int | None = None) -> bytes:
    """The bytes of a file in ``format``; what the format cannot hold is an ``ImageWriteError``, never dropped in silence.

    ``loop``: as of ``ImageFile``.
    """
    stream = io.BytesIO()
    if format == "TIFF":
        _tiff_writer(pages)(stream)
        return stream.getvalue()
    pages = list(pages)
    if reason := why_not(pages, format):
        raise ImageWriteError(reason)
    if _is_deep(pages[0]):
        return encode_png(picture_to_array(pages[0]), pages[0].header)
    if format == "MP4":
        return encode_mp4([from_unit(to_unit(page.pixels), np.uint8) for page in pages], [page.duration or 0 for page in pages])
    images = [picture_to_pil(page) for page in pages]
    try:
        images[0].save(stream, format=format, **_save_options(pages, format, loop, images))
    except ENCODER_ERRORS as error:
        size = f"{images[0].width}x{images[0].height} px, mode {images[0].mode}, {len(pages)} page(s)"
        raise ImageWriteError(f"{format} cannot hold this picture of {size} ({error}); write .png or .tif instead.") from error
    return stream.getvalue()


def _tiff_writer(pages: Iterable[Picture]) -> Callable[[BinaryIO], None]:
    """What writes the pages to a stream; the first is asked for and checked now, before there is any file."""
    fitting = _fitting_tiff(pages)
    first = next(fitting)
    return partial(write_deep_pages if _is_deep(first) else write_pages, pages=itertools.chain([first], fitting))


def _fitting_tiff(pages: Iterable[Picture]) -> Iterator[Picture]:
    first = None
    for page in pages:
        first = first or page.outline()
        if reason := why_not([first, page.outline()], "TIFF"):
            raise ImageWriteError(reason)
        yield page


def why_not(pages: Sequence[Picture], format: str) -> str | None:
    """Why ``format`` cannot hold the pages without loss, and what to do; None if it can."""
    depths = {page.pixels.dtype for page in pages}
    colour, alpha = any(page.pixels.ndim == 3 for page in pages), any(page.alpha is not None for page in pages)
    if np.dtype(np.float32) in depths:
        return "float32 pictures have no file format here; convert to uint16 first."
    animated = all(page.duration is not None for page in pages)
    if len(pages) > 1 and format not in MULTI_PAGE:
        instead = ".png (animated) or .webp" if animated else ".tif"
        return f"{format} holds one picture, but there are {len(pages)} {'frames' if animated else 'pages'}; write {instead} instead."
    if len(pages) > 1 and format != "TIFF" and not animated:  # equal neighbours would become one frame
        return f"{format} holds animations, but these are {len(pages)} pages, which have no durations; write .tif instead."
    if len({page.pixels.shape[:2] for page in pages}) > 1 and format != "TIFF":
        return f"The {len(pages)} pages differ in size, which {format} cannot hold; write .tif instead."
    if np.dtype(np.uint16) in depths and format not in ("PNG", "TIFF") and (format != "PPM" or colour):
        return f"{format} holds 8 bits a channel, but the picture has uint16; write .png or .tif instead."
    if np.dtype(bool) in depths and format == "JPEG":
        return "JPEG would blur the dots of a halftone; write .png or .tif instead."
    if format == "MP4" and not animated:
        return "MP4 holds animations, but this picture is none; write .png or .tif instead."
    if alpha and format in ("JPEG", "BMP", "PPM", "GIF", "MP4"):
        return f"{format} holds no alpha channel (or only on and off); write .png, .webp or .tif instead."
    if colour and format == "GIF":
        return "GIF holds 256 colours, so colour would be dithered again; write .png (animated) or .webp instead."
    deep = [_is_deep(page) for page in pages]
    if any(deep) and not all(deep):
        return "16-bit colour pages and others do not fit into one file; write them to one file for each kind."
    if any(deep) and len(pages) > 1 and format != "TIFF":
        return "Several 16-bit colour pages fit only TIFF; write .tif instead."
    return None


def _is_deep(page: Picture) -> bool:
    return page.pixels.dtype == np.uint16 and (page.pixels.ndim == 3 or page.alpha is not None)


def _save_options(pages: Sequence[Picture], format: str, loop: int | None, images: list[Image.Image]) -> dict[str, Any]:
    """Of all formats but TIFF, which hold one header."""
    options: dict[str, Any] = {}
    header = pages[0].header
    if header.dpi and format in ("PNG", "JPEG", "BMP"):
        options["dpi"] = header.dpi
    if header.icc_profile and format in ("PNG", "JPEG", "WEBP"):
        options["icc_profile"] = header.icc_profile
    exif = header.exif_for(*images[0].size)
    if exif and format in ("PNG", "JPEG", "WEBP"):
        options["exif"] = exif.tobytes()
    if format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif format == "WEBP":
        options |= {"lossless": True, "exact": True}
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
        options["duration"] = [page.duration for page in pages]
        if loop is not None or format != "GIF":  # GIF says nothing where it is shown once
            options["loop"] = 1 if loop is None else loop
    return options


def restored_suffix(source: Path) -> str:
    """The suffix of a restored file: the source's own, but .png where that format cannot hold restored tone (GIF, PBM)."""
    suffix = source.suffix.lower()
    return source.suffix if suffix in FORMATS and suffix not in (".gif", ".pbm") else ".png"


def halftone_suffix(source: Path) -> str:
    """The suffix of a halftoned file: TIFF stays TIFF, all else becomes .png, since lossy formats would ruin the dots."""
    return source.suffix if source.suffix.lower() in (".tif", ".tiff") else ".png"
