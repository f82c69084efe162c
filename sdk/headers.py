"""What a file says of a page beside its pixels, and most restoration tools lose: resolution, ICC profile, EXIF."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION = 258, 262, 284
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, ICC_PROFILE = 274, 282, 283, 296, 34675
INCH, CENTIMETRE = 2, 3
EXIF_WIDTH, EXIF_HEIGHT = 40962, 40963
"""In the Exif folder: the size of the picture, px."""
FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
KEPT_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 33432, *FOLDERS)
"""ImageDescription, Make, Model, Software, DateTime, Artist, Copyright, Exif, GPS: the rest of a TIFF directory is of the old pixels."""
ASCII, LONG = 2, 4
"""Types of TIFF values."""


@dataclass(frozen=True)
class Header:
    """Of one page. ``exif``: as JPEG holds it; the orientation is already applied to the pixels, and its tag removed."""

    dpi: tuple[float, float] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None

    def scaled(self, scale: float) -> Header:
        """Of the page at ``scale`` times as many px: the printed size stays."""
        return replace(self, dpi=(self.dpi[0] * scale, self.dpi[1] * scale) if self.dpi else None)

    def exif_for(self, width: int, height: int) -> Image.Exif | None:
        """EXIF of the page at this size, px: what EXIF says twice (size, resolution) says the same."""
        if not self.exif:
            return None
        exif = Image.Exif()
        exif.load(self.exif)
        if X_RESOLUTION in exif and self.dpi:
            exif[X_RESOLUTION], exif[Y_RESOLUTION] = self.dpi
            exif[RESOLUTION_UNIT] = INCH
        for folder in FOLDERS:
            if folder in exif:
                exif[folder] = _folder(exif, folder)
        size = exif.get(ExifTags.IFD.Exif, {})
        size |= {tag: value for tag, value in ((EXIF_WIDTH, width), (EXIF_HEIGHT, height)) if tag in size}
        for tag, value in list(exif.items()):
            exif[tag] = _as_bytes(value)
        return exif


def resolution(found: Any) -> tuple[float, float] | None:
    """What Pillow calls ``dpi``, where it is one: files that know none may say 0."""
    if not found:
        return None
    x, y = (float(value) for value in found)
    return (x, y) if 0 < x < math.inf and 0 < y < math.inf else None


def exif_of(image: Image.Image) -> Image.Exif:
    """The image's EXIF; empty where it cannot be read, which is no reason to refuse the pixels."""
    try:
        return image.getexif()
    except Exception:  # parsers raise whatever they like on damaged data
        return Image.Exif()


def orientation_of(image: Image.Image) -> int:
    """1..8, by EXIF; 1 is upright."""
    try:
        found = exif_of(image).get(ORIENTATION, 1)
    except Exception:  # values are parsed when they are asked for
        return 1
    return found if found in range(2, 9) else 1


def header_of(image: Image.Image, orientation: int = 1) -> Header:
    """Of the page that the image is at; ``orientation`` is that of the page before it was turned upright."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]  # the ``info`` is what is left of all pages seen so far
        dpi, icc_profile, kept = _tiff_resolution(tags), tags.get(ICC_PROFILE), KEPT_TIFF_TAGS
    else:
        dpi, icc_profile, kept = resolution(image.info.get("dpi")), image.info.get("icc_profile"), None
    if dpi and orientation in (5, 6, 7, 8):
        dpi = (dpi[1], dpi[0])
    return Header(dpi, icc_profile, _kept(exif_of(image), kept))


def _tiff_resolution(tags: Mapping[int, Any]) -> tuple[float, float] | None:
    """Dots an inch; where no unit is told it is taken for that, as Pillow does."""
    inches = {None: 1.0, INCH: 1.0, CENTIMETRE: 2.54}.get(tags.get(RESOLUTION_UNIT))
    if inches is None or X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return None
    return resolution((float(tags[X_RESOLUTION]) * inches, float(tags[Y_RESOLUTION]) * inches))


def _kept(exif: Image.Exif, tags: Sequence[int] | None) -> bytes | None:
    """EXIF of these tags (None: of all) without the orientation; what is damaged is left out."""
    kept = Image.Exif()
    for tag in exif:
        if tag == ORIENTATION or (tags is not None and tag not in tags):
            continue
        alone = Image.Exif()
        try:
            alone[tag] = _folder(exif, tag) if tag in FOLDERS else _as_bytes(exif[tag])
            alone.tobytes()
        except Exception:  # a value of a type that no tag of that name has, or that points out of the file
            continue
        kept[tag] = alone[tag]
    return kept.tobytes() if len(kept) else None


def _as_bytes(value: Any) -> Any:
    """Text as bytes: Pillow reads it as Latin-1 but writes it as ASCII, with ? for every accent; bytes it leaves alone."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def _folder(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """Its tags, without those of the folder of interoperability, which points into the old file."""
    return {key: value for key, value in exif.get_ifd(tag).items() if key != ExifTags.IFD.Interop}


def tiff_tags(exif: Image.Exif | None) -> dict[int, Any]:
    """What of EXIF goes into the directory of a TIFF page by itself: captions, camera, date; the folders come by ``with_folders``."""
    return {tag: value for tag, value in (exif or {}).items() if tag in KEPT_TIFF_TAGS and tag not in FOLDERS}


def with_folders(tiff: bytes, pages: Sequence[Image.Exif | None]) -> bytes:
    """Give each page of a TIFF the Exif and GPS folders of its EXIF.

    Neither of Pillow's and tifffile's writers of compressed TIFF takes them: a directory that needs them is written anew at the end.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or not any(exif and any(folder in exif for folder in FOLDERS) for exif in pages):
        return tiff  # BigTIFF keeps its captions, without folders
    data, pointer = bytearray(tiff), 4
    for exif in pages:
        (directory,) = struct.unpack_from(f"{order}I", data, pointer)
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        after = directory + 2 + 12 * count
        folders = {tag: exif[tag] for tag in FOLDERS if exif and exif.get(tag)}
        if not folders:
            pointer = after
            continue
        entries = [bytes(data[directory + 2 + 12 * i : directory + 14 + 12 * i]) for i in range(count)]
        data += bytes(len(data) % 2)  # directories begin at even offsets
        start = len(data)
        offset = start + 2 + 12 * (count + len(folders)) + 4
        blocks = b""
        for tag, values in folders.items():
            entries.append(struct.pack(f"{order}HHII", tag, LONG, 1, offset + len(blocks)))
            blocks += _directory(tiff[:4] + bytes(4), tag, values, offset + len(blocks))
            blocks += bytes(len(blocks) % 2)
        entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry))
        data += struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(data[after : after + 4]) + blocks
        struct.pack_into(f"{order}I", data, pointer, start)
        pointer = start + 2 + 12 * len(entries)
    return bytes(data)


def _directory(head: bytes, group: int, values: dict[int, Any], offset: int) -> bytes:
    directory = ImageFileDirectory_v2(head, group=group)
    for tag, value in values.items():
        if isinstance(value, str):
            directory.tagtype[tag] = ASCII
        directory[tag] = _as_bytes(value)
    return directory.tobytes(offset)
