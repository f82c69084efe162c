"""TIFF page by page: of a book only the page at work is in memory, decoded, whatever the book's thickness."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, BinaryIO, Literal

from PIL import Image, ImageSequence
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from sdk.captions import IPTC, XMP
from sdk.errors import ImageWriteError, MissingDependencyError, UnsupportedImageError
from sdk.headers import FOLDERS, KEPT_TIFF_TAGS, Header, as_bytes, header_of, orientation_of
from sdk.images import Picture, picture_from_pil, picture_to_array, picture_to_pil

SUBFILE_TYPE = 254
BYTE, ASCII, LONG, UNDEFINED = 1, 2, 4, 7
"""Types of TIFF values."""
ENCODER_ERRORS = (OSError, ValueError, RuntimeError, SystemError, OverflowError, struct.error)
"""What encoders raise beyond their limits, such as WebP's 16383 px and TIFF's 4 GiB."""


class TiffPages(Sequence[Picture]):
    """The pages of a TIFF of several, each decoded anew when it is asked for."""

    def __init__(self, data: bytes):
        self._image = Image.open(io.BytesIO(data), formats=("TIFF",))
        self._frames = [number for number, frame in enumerate(ImageSequence.Iterator(self._image)) if not is_reduced(frame)]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        frame = self._frames[index]
        self._image.seek(0 if frame else 1)  # once it is decoded, Pillow no longer knows how a page lay: it must come to it anew
        self._image.seek(frame)
        try:
            return decode_page(self._image)
        except UnsupportedImageError as error:
            raise UnsupportedImageError(f"Page {index + 1} of {len(self)}: {error}") from error


def is_reduced(image: Image.Image) -> bool:
    """Whether the page that the image of a TIFF is at is a smaller copy of one before it: a thumbnail, or a level of a pyramid."""
    kind = image.tag_v2.get(SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
    return image.tell() > 0 and isinstance(kind, int) and kind & 1 == 1


def lacks_directory(data: bytes) -> bool:
    """Whether the first directory of a TIFF is missing. Most writers put it behind the pixels, so files that are cut short have none."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    place, count = (data[8:16], 8) if 43 in data[2:4] else (data[4:8], 2)  # BigTIFF, or TIFF
    start = int.from_bytes(place, order)
    return not any(data[start : start + count])


def decode_page(image: Image.Image) -> Picture:
    """The page that the image of a TIFF is at, upright, with its header."""
    orientation = orientation_of(image)  # pages are turned as they are decoded
    image.load()
    return replace(picture_from_pil(image), header=header_of(image, orientation))


def write_pages(stream: BinaryIO, pages: Iterable[Picture]) -> None:
    """Pages of at most 8 bits a channel, or 16 of grey, as they come, each with its own header.

    Pillow's ``save_all`` takes them all at once, and gives them the header of the first.
    """
    exifs = []
    with AppendingTiffWriter(stream) as writer:
        for number, page in enumerate(pages, 1):
            image, header = picture_to_pil(page), page.header
            exifs.append(header.exif_for(*image.size))
            captions = {tag: data for tag, _, data in _captions(header, *image.size)}
            tags = {"dpi": header.dpi, "icc_profile": header.icc_profile, "tiffinfo": _tags(exifs[-1]) | captions}
            with _limits_told(number):
                image.save(writer, format="TIFF", compression=_compression_of(image), **tags)
                writer.newFrame()
    with _limits_told(len(exifs)):
        add_folders(stream, exifs)


def _compression_of(image: Image.Image) -> str:
    """Of 1-bit pages the smaller one: Group 4 for text and coarse screens; dithers would be twice their raw size in it."""
    if image.mode == "1":
        with io.BytesIO() as in_group4:
            image.save(in_group4, format="TIFF", compression="group4")
            if len(in_group4.getvalue()) <= len(zlib.compress(image.tobytes())):
                return "group4"
    return "tiff_adobe_deflate"


def deep_writer() -> ModuleType:
    """tifffile; a ``MissingDependencyError`` where it is not installed."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError("Writing 16-bit colour TIFF needs tifffile: pip install 'inverse-halftoner[tiff]'.") from error
    return tifffile


def write_deep_pages(stream: BinaryIO, pages: Iterable[Picture]) -> None:
    """``write_pages`` of 16-bit pages in colour or with alpha, which Pillow cannot write."""
    exifs = []
    with deep_writer().TiffWriter(stream) as tiff:
        for number, page in enumerate(pages, 1):
            array, header = picture_to_array(page), page.header
            exifs.append(header.exif_for(array.shape[1], array.shape[0]))
            captions = _captions(header, array.shape[1], array.shape[0])
            texts = {tag: text + b"\0" for tag, text in _tags(exifs[-1]).items() if isinstance(text, bytes)}
            with _limits_told(number):
                tiff.write(
                    array,
                    photometric="minisblack" if array.ndim == 2 else "rgb",
                    compression="zlib",
                    metadata=None,
                    software=False,
                    extratags=[
                        *((tag, ASCII, None, text, True) for tag, text in texts.items()),
                        *((tag, kind, len(data), data, True) for tag, kind, data in captions),
                    ],
                    iccprofile=header.icc_profile,
                    extrasamples=["unassalpha"] if array.ndim == 3 and array.shape[2] == 4 else None,
                    **({"resolution": header.dpi, "resolutionunit": "INCH"} if header.dpi else {}),
                )
    with _limits_told(len(exifs)):
        add_folders(stream, exifs)


@contextlib.contextmanager
def _limits_told(page: int) -> Iterator[None]:
    """Errors of the encoder as an ``ImageWriteError``; those of the disk stay what they are."""
    try:
        yield
    except ENCODER_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageWriteError(
            f"TIFF cannot hold page {page} beside those before it ({error}). Its files end at 4 GiB: give a thick book as several files."
        ) from error


def _captions(header: Header, width: int, height: int) -> list[tuple[int, int, bytes]]:
    """Tag, type and bytes of XMP and IPTC, of a page of this size."""
    found = ((XMP, BYTE, header.xmp_for(width, height)), (IPTC, UNDEFINED, header.iptc))
    return [(tag, kind, data) for tag, kind, data in found if data]


def _tags(exif: Image.Exif | None) -> dict[int, Any]:
    """What of EXIF goes into the directory of a page by itself: captions, camera, date; the folders come by ``add_folders``."""
    return {tag: value for tag, value in (exif or {}).items() if tag in KEPT_TIFF_TAGS and tag not in FOLDERS}


def add_folders(stream: BinaryIO, pages: Sequence[Image.Exif | None]) -> None:
    """Give each page of a written TIFF the Exif and GPS folders of its EXIF.

    Neither of Pillow's and tifffile's writers of compressed TIFF takes them: a directory that needs them is written anew at the end.
    """
    stream.seek(0)
    head = stream.read(4)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head)
    if order is None or not any(exif and any(folder in exif for folder in FOLDERS) for exif in pages):
        return  # BigTIFF keeps its captions, without folders
    pointer = 4
    for exif in pages:
        stream.seek(pointer)
        stream.seek(*struct.unpack(f"{order}I", stream.read(4)))
        (count,) = struct.unpack(f"{order}H", stream.read(2))
        entries = [stream.read(12) for _ in range(count)]
        after, following = stream.tell(), stream.read(4)
        folders = {tag: exif[tag] for tag in FOLDERS if exif and exif.get(tag)}
        if not folders:
            pointer = after
            continue
        end = stream.seek(0, os.SEEK_END)
        start = end + end % 2  # directories begin at even offsets
        offset = start + 2 + 12 * (count + len(folders)) + 4
        blocks = b""
        for tag, values in folders.items():
            entries.append(struct.pack(f"{order}HHII", tag, LONG, 1, offset + len(blocks)))
            blocks += _directory(head + bytes(4), tag, values, offset + len(blocks))
            blocks += bytes(len(blocks) % 2)
        entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry))
        stream.write(bytes(end % 2) + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + following + blocks)
        stream.seek(pointer)
        stream.write(struct.pack(f"{order}I", start))
        pointer = start + 2 + 12 * len(entries)


def _directory(head: bytes, group: int, values: dict[int, Any], offset: int) -> bytes:
    directory = ImageFileDirectory_v2(head, group=group)
    for tag, value in values.items():
        if isinstance(value, str):
            directory.tagtype[tag] = ASCII
        directory[tag] = as_bytes(value)
    return directory.tobytes(offset)
