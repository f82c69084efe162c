"""XMP and IPTC: what archives write into a file about its picture, such as captions, names and rights."""

from __future__ import annotations

import contextlib
import re
import struct
from typing import Any

from PIL import Image

XMP, IPTC = 700, 33723
"""Tags of TIFF."""
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
IPTC_SEGMENT = b"Photoshop 3.0\0"
"""What the segments of JPEG begin with."""
IPTC_RESOURCE = 0x0404
"""Of Photoshop's blocks the one with IPTC."""
APP0, APP1, APP13 = b"\xff\xe0", b"\xff\xe1", b"\xff\xed"
MAX_SEGMENT = 65533
"""Bytes of a segment of JPEG, without its length."""


def xmp_of(image: Image.Image) -> bytes | None:
    """The packet of the page that the image is at; of JPEG without its extension."""
    found = image.tag_v2.get(XMP) if image.format == "TIFF" else image.info.get("xmp")  # type: ignore[attr-defined]
    if isinstance(found, tuple) and len(found) == 1:
        found = found[0]
    return found.encode() if isinstance(found, str) else found if isinstance(found, bytes) and found else None


def iptc_of(image: Image.Image) -> bytes | None:
    """The records of IPTC's information interchange model, as TIFF and JPEG hold them."""
    found: Any = None
    with contextlib.suppress(Exception):  # blocks are parsed when they are asked for
        if image.format == "TIFF":
            # Many programs call the bytes integers of 32 bits; then Pillow gives the first alone, but keeps what the file holds.
            found = image.tag_v2._tagdata.get(IPTC)  # type: ignore[attr-defined]
            found = found or image.get_photoshop_blocks().get(IPTC_RESOURCE, {}).get("data")  # type: ignore[attr-defined]
        else:
            found = image.info.get("photoshop", {}).get(IPTC_RESOURCE)
    return found if isinstance(found, bytes) and found else None


def upright_xmp(xmp: bytes) -> bytes:
    """With the orientation of pixels that were turned."""
    return _telling(xmp, b"tiff:Orientation", b"1")


def fitting_xmp(xmp: bytes, width: int, height: int, dpi: tuple[float, float] | None) -> bytes:
    """XMP of a picture of this size, px: what it says of size and resolution is made to say this."""
    for name, value in ((b"tiff:ImageWidth", width), (b"tiff:ImageLength", height)):
        xmp = _telling(xmp, name, b"%d" % value)
    for name, value in ((b"exif:PixelXDimension", width), (b"exif:PixelYDimension", height)):
        xmp = _telling(xmp, name, b"%d" % value)
    if dpi:
        for name, value in ((b"tiff:XResolution", dpi[0]), (b"tiff:YResolution", dpi[1])):
            xmp = _telling(xmp, name, b"%d/100" % round(value * 100))
        xmp = _telling(xmp, b"tiff:ResolutionUnit", b"2")
    return xmp


def _telling(xmp: bytes, name: bytes, value: bytes) -> bytes:
    """With another value of a property, where it has that; XMP writes properties as attributes or as elements."""
    return re.sub(rb"((?<![/\w])%s\s*(?:=\s*[\"']|>))[^<\"']*" % name, rb"\g<1>%s" % value, xmp)


def png_xmp(xmp: bytes) -> bytes:
    """The content of PNG's chunk iTXt with it: keyword, no compression, no language, no other keyword."""
    return b"XML:com.adobe.xmp" + bytes(5) + xmp


def with_captions(jpeg: bytes, xmp: bytes | None, iptc: bytes | None) -> bytes:
    """A JPEG with the segments of these behind those of JFIF and EXIF; what is too long for a segment is left out."""
    segments = []
    if xmp:
        segments.append((APP1, XMP_SEGMENT + xmp))
    if iptc:
        block = b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
        segments.append((APP13, IPTC_SEGMENT + block))
    place = 2
    while jpeg[place : place + 2] in (APP0, APP1):
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    inserted = b"".join(
        marker + struct.pack(">H", len(content) + 2) + content for marker, content in segments if len(content) <= MAX_SEGMENT
    )
    return jpeg[:place] + inserted + jpeg[place:]
