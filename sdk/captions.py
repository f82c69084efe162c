"""XMP and IPTC: what archives write into a file about its picture, such as captions, names and rights."""

from __future__ import annotations

import contextlib
import json
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
TIFF, EXIF, NOTES = b"http://ns.adobe.com/tiff/1.0/", b"http://ns.adobe.com/exif/1.0/", b"http://ns.adobe.com/xmp/note/"
"""Namespaces of XMP."""
APP0, APP1, APP13 = b"\xff\xe0", b"\xff\xe1", b"\xff\xed"
MAX_SEGMENT = 65533
"""Bytes of a segment of JPEG, without its length."""


def xmp_of(image: Image.Image) -> bytes | None:
    """The packet of the page that the image is at, as ``plain_xmp``."""
    found = image.tag_v2.get(XMP) if image.format == "TIFF" else image.info.get("xmp")  # type: ignore[attr-defined]
    if isinstance(found, tuple) and len(found) == 1:
        found = found[0]
    if isinstance(found, str):
        found = found.encode()
    return plain_xmp(found) if isinstance(found, bytes) and found else None


def plain_xmp(xmp: bytes) -> bytes:
    """The packet in UTF-8, which all formats take, without its reference to an extension, which only JPEG has and Pillow does not read."""
    with contextlib.suppress(UnicodeError):
        xmp = xmp.decode(json.detect_encoding(xmp)).encode()
    for prefix in _prefixes(xmp, NOTES):
        xmp = re.sub(rb"\s%s:HasExtendedXMP\s*=\s*(\"[^\"]*\"|'[^']*')" % prefix, b"", xmp)
        xmp = re.sub(rb"<%s:HasExtendedXMP[^>]*>[^<]*</%s:HasExtendedXMP>" % (prefix, prefix), b"", xmp)
    return xmp


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
    return _telling(xmp, TIFF, Orientation=1)


def fitting_xmp(xmp: bytes, width: int, height: int, dpi: tuple[float, float] | None) -> bytes:
    """XMP of a picture of this size, px: what it says of size and resolution is made to say this."""
    xmp = _telling(xmp, TIFF, ImageWidth=width, ImageLength=height)
    xmp = _telling(xmp, EXIF, PixelXDimension=width, PixelYDimension=height)
    if dpi:
        across, down = (f"{round(100 * value)}/100" for value in dpi)
        xmp = _telling(xmp, TIFF, XResolution=across, YResolution=down, ResolutionUnit=2)
    return xmp


def _telling(xmp: bytes, namespace: bytes, **properties: int | str) -> bytes:
    """With other values of properties, where it has them; XMP writes them as attributes or as elements."""
    for prefix in _prefixes(xmp, namespace):
        for key, value in properties.items():
            name, told = prefix + b":" + key.encode(), rb"\g<1>" + str(value).encode()
            xmp = re.sub(rb"(\s%s\s*=\s*[\"'])[^\"'<]*" % name, told, xmp)
            xmp = re.sub(rb"(<%s(?:\s[^<>]*)?>)[^<]*" % name, told, xmp)
    return xmp


def _prefixes(xmp: bytes, namespace: bytes) -> set[bytes]:
    """What a packet calls a namespace."""
    return set(re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']%s[\"']" % re.escape(namespace), xmp))


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
