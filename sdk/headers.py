"""What a file says of a page beside its pixels, and most restoration tools lose: resolution, ICC profile, EXIF, XMP, IPTC."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import ExifTags, Image

from sdk.captions import fitting_xmp, iptc_of, upright_xmp, xmp_of

BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION, EXTRA_SAMPLES = 258, 262, 284, 338
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, ICC_PROFILE = 274, 282, 283, 296, 34675
INCH, CENTIMETRE = 2, 3
EXIF_WIDTH, EXIF_HEIGHT = 40962, 40963
"""In the Exif folder: the size of the picture, px."""
TIFF_WIDTH, TIFF_HEIGHT = 256, 257
"""In the main directory of EXIF: the same."""
FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
KEPT_TIFF_TAGS = (269, 270, 271, 272, 285, 305, 306, 315, 33432, *FOLDERS)
"""DocumentName, ImageDescription, Make, Model, PageName, Software, DateTime, Artist, Copyright, Exif, GPS: the rest of a TIFF directory is
of the old pixels."""


@dataclass(frozen=True)
class Header:
    """Of one page. ``exif``: as JPEG holds it; the orientation is already applied to the pixels, and its tag removed."""

    dpi: tuple[float, float] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None

    def scaled(self, scale: float) -> Header:
        """Of the page at ``scale`` times as many px: the printed size stays."""
        return replace(self, dpi=(self.dpi[0] * scale, self.dpi[1] * scale) if self.dpi else None)

    def xmp_for(self, width: int, height: int) -> bytes | None:
        """XMP of the page at this size, px."""
        return fitting_xmp(self.xmp, width, height, self.dpi) if self.xmp else None

    def exif_for(self, width: int, height: int, with_dpi: bool = False) -> Image.Exif | None:
        """EXIF of the page at this size, px: what EXIF says twice (size, resolution) says the same.

        with_dpi: for formats that keep the resolution nowhere else.
        """
        if not self.exif and not (with_dpi and self.dpi):
            return None
        exif = Image.Exif()
        exif.load(self.exif or b"")
        if (with_dpi or X_RESOLUTION in exif) and self.dpi:
            exif[X_RESOLUTION], exif[Y_RESOLUTION] = self.dpi
            exif[RESOLUTION_UNIT] = INCH
        for folder in FOLDERS:
            if folder in exif:
                exif[folder] = _folder(exif, folder)
        for directory, (across, down) in (
            (exif, (TIFF_WIDTH, TIFF_HEIGHT)),
            (exif.get(ExifTags.IFD.Exif, {}), (EXIF_WIDTH, EXIF_HEIGHT)),
        ):
            for tag, extent in ((across, width), (down, height)):
                if tag in directory:
                    directory[tag] = extent
        for tag, value in list(exif.items()):
            exif[tag] = as_bytes(value)
        return exif


def resolution(found: Any) -> tuple[float, float] | None:
    """What Pillow calls ``dpi``, where it is one: files that know none may say 0, and programs anything."""
    try:
        x, y = (float(value) for value in found)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
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
        if not dpi:  # WebP says it in EXIF alone, others may
            with contextlib.suppress(Exception):  # values are parsed when they are asked for
                dpi = _tiff_resolution(exif_of(image))
    if dpi and orientation in (5, 6, 7, 8):
        dpi = (dpi[1], dpi[0])
    xmp = xmp_of(image)
    return Header(dpi, icc_profile, _kept(exif_of(image), kept), upright_xmp(xmp) if xmp else None, iptc_of(image))


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
            alone[tag] = _folder(exif, tag) if tag in FOLDERS else as_bytes(exif[tag])
            alone.tobytes()
        except Exception:  # a value of a type that no tag of that name has, or that points out of the file
            continue
        kept[tag] = alone[tag]
    return kept.tobytes() if len(kept) else None


def as_bytes(value: Any) -> Any:
    """Text as bytes: Pillow reads it as Latin-1 but writes it as ASCII, with ? for every accent; bytes it leaves alone."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


class _Latin1(str):
    """Text of a folder, which stays text there: in bytes, its type would be another one."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        return str.encode(self, "latin-1", "replace")


def _folder(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """Its tags, without those of the folder of interoperability, which points into the old file."""
    values = {key: value for key, value in exif.get_ifd(tag).items() if key != ExifTags.IFD.Interop}
    return {key: _Latin1(value) if isinstance(value, str) else value for key, value in values.items()}
