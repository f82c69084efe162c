"""Pictures on disk: pages, frames, and the metadata that most restoration tools lose (DPI, ICC profile, EXIF, XMP, IPTC).

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

import cv2
import numpy as np
from PIL import Image, ImageSequence, PngImagePlugin, features

from sdk.captions import plain_xmp, png_xmp, with_captions
from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, UnsupportedImageError
from sdk.files import heif, jpeg2000, video
from sdk.files.deep_colour import encode_png, is_deep_colour, read_deep_colour
from sdk.files.few_colors import with_palette
from sdk.files.formats import PNM, format_for, is_deep, why_not
from sdk.files.tiff import ENCODER_ERRORS, TiffPages, decode_page, is_reduced, lacks_directory, write_deep_pages, write_pages
from sdk.files.whole_files import whole_file
from sdk.headers import header_of, orientation_of
from sdk.images import (
    Picture,
    check_size,
    from_unit,
    of_one_kind,
    picture_from_pil,
    picture_to_array,
    picture_to_pil,
    plain_frames,
    to_unit,
    upright,
)

AVIF = ("AVIF",) if "avif" in features.get_supported() else ()  # Pillow 11.3
DECODERS = ("PNG", "TIFF", "JPEG", "JPEG2000", "WEBP", *AVIF, "BMP", "GIF", "PPM")
"""What Pillow may try, whatever a file is called: its other decoders start programs (EPS) or are little used and tested."""

TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**26)  # profiles of printers have megabytes; 1 MiB are allowed before


@dataclass(frozen=True)
class ImageFile:
    """The pages of a file, each with what its header says of it."""

    pages: Sequence[Picture]
    outlines: Sequence[Picture]
    """Shape and kind of each (``Picture.outline``): pages of TIFF are decoded anew whenever they are asked for."""
    format: str = "PNG"
    loop: int | None = None
    """How often an animation is shown; 0 = for ever, None = once."""

    def take_pages(self) -> Iterator[Picture]:
        """One after the other, for the last time: what is in memory whole, as an animation is, lets each go when the next is asked for."""
        if not isinstance(self.pages, list):
            yield from self.pages
            return
        self.pages.reverse()
        while self.pages:
            yield self.pages.pop()


def read(source: str | os.PathLike | bytes, first_page_only: bool = False) -> ImageFile:
    """Decode a file or its bytes, all pages or the first; an ``ImageReadError`` or ``UnsupportedImageError`` says what is wrong with it."""
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
            raise unreadable(name, error) from error
    if data.startswith(b"%PDF-"):
        raise UnsupportedImageError(
            f"{name} is a PDF, which is no picture: `run_file`, and the commands `restore` and `expand`, restore the pictures within, from "
            "PDF to PDF. `pdfimages -all` takes them out."
        )
    if not data:
        raise ImageReadError(f"{name} is empty (0 bytes); copy or download it again.")
    decoders = decoders_for(data)
    try:
        with Image.open(io.BytesIO(data), formats=decoders) as image:
            check_size(image.height, image.width)
            return _read_pages(data, image, first_page_only)
    except (Image.UnidentifiedImageError, SyntaxError) as error:  # of the first page, and of later ones
        if data[:4] in TIFF_BEGINNINGS and not lacks_directory(data):
            raise UnsupportedImageError(
                f"{name} is a TIFF of a kind that is not read, or has a page of one, such as colour in floats, more than four channels, "
                "16-bit grey with alpha, or with white at 0 in big-endian order. Accepted: 1 bit, 8 and 16 bits grey and RGB, RGBA, "
                "palettes. Convert it to one of these."
            ) from error
        if data[:4] in TIFF_BEGINNINGS or isinstance(error, SyntaxError) or heif.brands(data):
            raise ImageReadError(f"{name} is damaged or cut short ({error}); copy or download it again.") from error
        raise ImageReadError(
            f"{name} is not a picture in a known format. Accepted: {', '.join(sorted({*DECODERS, heif.FORMAT}))}."
        ) from error
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
        raise ImageReadError(f"{name} is damaged or cut short ({type(error).__name__}: {error}); copy or download it again.") from error


def decoders_for(data: bytes) -> tuple[str, ...]:
    """What Pillow may try on a file that begins with these bytes; of HEIF the decoder that is added to it for this."""
    if not heif.is_heif(data):
        return DECODERS
    heif.add_decoder()
    return (heif.FORMAT,)


def unreadable(name: str, error: Exception) -> ImageReadError:
    """What to raise for a file that the system does not hand out."""
    return ImageReadError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}. Check the path and the permissions.")


def _read_pages(data: bytes, image: Image.Image, first_page_only: bool) -> ImageFile:
    deep = is_deep_colour(data, image)  # asked before anything loads the pixels: afterwards the depth can no longer be told
    # the further frames of MPO and HEIF are other views or thumbnails of the same photograph
    several = not first_page_only and image.format not in ("MPO", heif.FORMAT)
    if image.format == "TIFF" and not deep:
        pages: Sequence[Picture] = TiffPages(data) if several and image.n_frames > 1 else [decode_page(image)]  # type: ignore[attr-defined]
    elif image.format == "BMP" and image.mode == "1" and data[28:30] != b"\1\0":
        # Two colours in bytes, which Pillow takes for bits.
        grey = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
        pages = [Picture(grey > 127, header=header_of(image))]
    else:
        pages = _decode_frames(ImageSequence.Iterator(image) if several else [image], read_deep_colour(data, image) if deep else None)
        if len(pages) > 1 and not deep:  # frames that tell no duration have none; what has pages is TIFF
            pages = [replace(page, duration=page.duration or 0.0) for page in pages]
        if len(pages) == 1 and image.format in AVIF:  # which tells a duration all the same
            pages = [replace(page, duration=None) for page in pages]
        if image.format == "JPEG2000":
            packet = jpeg2000.xmp(data)
            told = {"icc_profile": jpeg2000.icc_profile(data), "xmp": packet and plain_xmp(packet)}
            pages = [replace(page, header=replace(page.header, **told)) for page in pages]
        if image.format == "GIF":
            pages = plain_frames(pages)  # Pillow gives the later frames of a grey GIF as RGB, and of an opaque one as RGBA
    outlines = [page.outline() for page in pages]  # so that damage of any is told now, not in the midst of the work
    loop = image.info.get("loop")
    if loop and image.format == "GIF":  # which says how often it is shown again
        loop += 1
    return ImageFile(pages, outlines, "JPEG" if image.format == "MPO" else image.format or "PNG", loop)


def _decode_frames(frames: Iterable[Image.Image], deep: Sequence[Picture] | None) -> list[Picture]:
    """``deep``: their pixels, where Pillow does not read them; those of TIFF are already upright."""
    pages = []
    for number, frame in enumerate(frames):
        is_tiff = frame.format == "TIFF"
        if is_tiff and is_reduced(frame):
            continue
        if not is_tiff:
            frame.load()  # asking a PNG for EXIF would load it, too, and hide its damage
        orientation = orientation_of(frame)
        picture = deep[number] if deep else picture_from_pil(frame)
        pages.append(replace(picture if is_tiff else upright(picture, orientation), header=header_of(frame, orientation)))
    return pages


def check_target(path: str | os.PathLike, overwrite: bool) -> None:
    """Fail before hours of work, not after: unknown suffix, a file that exists and must not be replaced, a folder that takes none."""
    format_for(path)
    check_place(path, overwrite)


def check_place(path: str | os.PathLike, overwrite: bool) -> None:
    """``check_target`` of any suffix."""
    if os.path.exists(path) and not overwrite:
        raise ImageWriteError(f"{path} exists already; choose another name, or allow overwriting (overwrite=True, --overwrite).")
    folder = next(folder for folder in Path(path).absolute().parents if os.path.exists(folder))
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        why = "is no folder" if not os.path.isdir(folder) else "may not be written to"
        raise ImageWriteError(f"{path} cannot be written: {folder} {why}. Choose another place, or check the permissions.")


def write(path: str | os.PathLike, pages: Iterable[Picture], loop: int | None = None, overwrite: bool = False) -> None:
    """Encode the pages by the suffix of ``path``, whole or not at all; folders on the way are made.

    TIFF takes them as they come: of pages that are made when they are asked for, one at a time is in memory.
    """
    check_target(path, overwrite)
    target, format = Path(path), format_for(path)
    faults: list[OSError] = []  # of what makes the pages, which are none of writing
    write_to = _tiff_writer(_noting(pages, faults)) if format == "TIFF" else _bytes_writer(encode(pages, format, loop))
    write_by(write_to, target, overwrite, faults)


def write_by(write_to: Callable[[BinaryIO], None], target: Path, overwrite: bool, faults: Sequence[OSError] = ()) -> None:
    """Have ``write_to`` fill a ``whole_file``; what goes wrong is an ``ImageWriteError``, but for ``faults``, which are none of writing."""
    try:
        with whole_file(target, replace=overwrite) as stream:
            write_to(stream)
    except FileExistsError as error:
        check_place(target, overwrite)
        raise ImageWriteError(f"{target} cannot be written: {error.strerror}.") from error
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
    """The bytes of a file in ``format``; what of the pixels it cannot hold is an ``ImageWriteError``, never dropped in silence.

    BMP holds no ICC profile, EXIF or XMP, PGM and PPM not even the resolution; only JPEG and TIFF hold IPTC. ``loop``: as of ``ImageFile``.
    """
    stream = io.BytesIO()
    if format == "TIFF":
        _tiff_writer(pages)(stream)
        return stream.getvalue()
    pages = list(pages)
    if reason := why_not(pages, format):
        raise ImageWriteError(reason)
    if is_deep(pages[0]):
        return encode_png(picture_to_array(pages[0]), pages[0].header)
    if format == "MP4":
        return video.encode_mp4([from_unit(to_unit(page.pixels), np.uint8) for page in pages], [page.duration or 0 for page in pages])
    images = [picture_to_pil(page) for page in of_one_kind(pages)]
    if format == "GIF" and images[0].mode == "RGB":
        images = [with_palette(image) for image in images]
    try:
        images[0].save(stream, format="PPM" if format in PNM else format, **_save_options(pages, format, loop, images))
    except ENCODER_ERRORS as error:
        size = f"{images[0].width}x{images[0].height} px, mode {images[0].mode}, {len(pages)} page(s)"
        raise ImageWriteError(f"{format} cannot hold this picture of {size} ({error}); write .png or .tif instead.") from error
    if format == "JPEG":
        return with_captions(stream.getvalue(), pages[0].header.xmp_for(*images[0].size), pages[0].header.iptc)
    return stream.getvalue()


def _tiff_writer(pages: Iterable[Picture]) -> Callable[[BinaryIO], None]:
    """What writes the pages to a stream; the first is asked for and checked now, before there is any file."""
    fitting = _fitting_tiff(pages)
    first = next(fitting)
    return partial(write_deep_pages if is_deep(first) else write_pages, pages=itertools.chain([first], fitting))


def _fitting_tiff(pages: Iterable[Picture]) -> Iterator[Picture]:
    first = None
    for page in pages:
        first = first or page.outline()
        if reason := why_not([first, page.outline()], "TIFF"):
            raise ImageWriteError(reason)
        yield page


def _save_options(pages: Sequence[Picture], format: str, loop: int | None, images: list[Image.Image]) -> dict[str, Any]:
    """Of all formats but TIFF, which hold one header."""
    options: dict[str, Any] = {}
    header = pages[0].header
    if header.dpi and format in ("PNG", "JPEG", "BMP"):
        options["dpi"] = header.dpi
    if header.icc_profile and format in ("PNG", "JPEG", "WEBP"):
        options["icc_profile"] = header.icc_profile
    exif = header.exif_for(*images[0].size, with_dpi=format == "WEBP")
    if exif and format in ("PNG", "JPEG", "WEBP"):
        options["exif"] = exif.tobytes()
    xmp = header.xmp_for(*images[0].size)
    if xmp and format == "WEBP":
        options["xmp"] = xmp
    elif xmp and format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add(b"iTXt", png_xmp(xmp))
    if format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif format == "WEBP":
        options |= {"lossless": True, "exact": True}
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
        options["duration"] = [page.duration for page in pages]
        if format != "GIF":
            options["loop"] = 1 if loop is None else loop
        elif loop not in (None, 1):  # GIF says how often it is shown again, or nothing
            options["loop"] = max(0, loop - 1)
    return options
