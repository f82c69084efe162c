"""16-bit colour, which Pillow would cut to 8 bits: read by OpenCV, as PNG written by it, too (as TIFF by ``sdk.files.tiff``)."""

from __future__ import annotations

import itertools
import re
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageSequence

from sdk.captions import png_xmp
from sdk.errors import ImageReadError, UnsupportedImageError
from sdk.files.tiff import is_reduced
from sdk.headers import BITS_PER_SAMPLE, EXTRA_SAMPLES, PHOTOMETRIC, PLANAR_CONFIGURATION, Header
from sdk.images import Picture

RGB, SEPARATE = 2, 2
"""Values of the TIFF tags PHOTOMETRIC and PLANAR_CONFIGURATION."""
PREMULTIPLIED, STRAIGHT = 1, 2
"""Alpha, as values of EXTRA_SAMPLES: colours are stored multiplied by it, or as they are."""
JPEG2000_SIZE = b"\xff\x4f\xff\x51"
"""What a JPEG 2000 codestream begins with; 42 bytes on stands the depth of its first channel."""


def is_deep_colour(data: bytes, image: Image.Image) -> bool:
    """True for 16-bit colour PNG, TIFF and PPM, judged by the header.

    What would lose its depth or be read wrong is refused: a TIFF that has such pages among others, its channels one after the other, or
    a fourth one that is no alpha, which is refused of 8 bits, too; colour of other depths above 8 in PPM and JPEG 2000.
    """
    if image.format == "PNG":
        deep = any("16" in str(entry[3]) for entry in getattr(image, "tile", ())) and image.mode in ("RGB", "RGBA", "LA")
        if deep and getattr(image, "n_frames", 1) > 1:
            raise UnsupportedImageError("Found an animated PNG of 16 bits; accepted: one picture of 16 bits, or an animation of 8.")
        return deep
    if image.format == "PPM" and data[:2] in (b"P3", b"P6"):
        white = int(re.sub(rb"#[^\n]*", b"", data[:4096]).split()[3])
        if 255 < white != 65535:
            raise UnsupportedImageError(f"Found a PPM in colour whose white is {white}; accepted: up to 255, or 65535. Scale it first.")
        if white == 65535 and data[:2] == b"P3":
            raise UnsupportedImageError(
                "Found a PPM of 16-bit colour in plain text (P3), of which 8 bits would be left; make it a P6, or a PNG."
            )
        return white == 65535
    if image.format == "JPEG2000" and image.mode not in ("L", "I;16"):
        at = data.find(JPEG2000_SIZE)
        depth = (data[at + 42] & 127) + 1 if 0 <= at < len(data) - 42 else 8
        if depth > 8:
            raise UnsupportedImageError(
                f"Found a JPEG 2000 in colour or with alpha of {depth} bits, of which 8 would be left; make it a 16-bit TIFF or PNG."
            )
    if image.format != "TIFF":
        return False
    kinds: list[bool] = []
    separate = False
    for page in ImageSequence.Iterator(image):
        if is_reduced(page):
            continue
        deep = _is_deep_page(page)
        kinds.append(deep)
        separate |= deep and page.tag_v2.get(PLANAR_CONFIGURATION) == SEPARATE  # type: ignore[attr-defined]
        if _has_unknown_channel(page):
            raise UnsupportedImageError(
                "Found a TIFF with a fourth channel that is not said to be alpha, such as the infrared one of a film scanner; "
                "save it without that channel."
            )
    image.seek(0)
    if any(kinds) and not all(kinds):
        raise UnsupportedImageError("Found a TIFF that mixes 16-bit colour pages with others; split it into one file for each kind.")
    if separate:  # OpenCV 5 takes them for interleaved, and gives noise
        raise UnsupportedImageError("Found a 16-bit TIFF with its channels stored one after the other; interleave them (tiffcp -p contig).")
    return any(kinds)


def _bits(page: Image.Image) -> tuple[int, ...]:
    """Of each channel of a page of TIFF."""
    return page.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]


def _is_deep_page(page: Image.Image) -> bool:
    return len(_bits(page)) >= 3 and min(_bits(page)[:3]) == 16


def _has_unknown_channel(page: Image.Image) -> bool:
    """Whether a page of RGB has more channels, of which the first is no alpha."""
    more = len(_bits(page)) > 3 and page.tag_v2.get(PHOTOMETRIC) == RGB  # type: ignore[attr-defined]
    return more and _fourth_channel(page) not in (PREMULTIPLIED, STRAIGHT)


def _fourth_channel(page: Image.Image) -> int:
    """What the TIFF says it is: 0 nothing, ``PREMULTIPLIED`` or ``STRAIGHT`` alpha."""
    return page.tag_v2.get(EXTRA_SAMPLES, (0,))[0]  # type: ignore[attr-defined]


def read_deep_colour(data: bytes, image: Image.Image) -> list[Picture]:
    """The pages as uint16 HxWx3 (HxW for grey with alpha), with or without alpha; those of TIFF turned upright."""
    if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) != RGB:  # type: ignore[attr-defined]
        raise UnsupportedImageError(f"Found a 16-bit TIFF in colour mode {image.mode}; accepted: RGB and RGBA. Convert it to RGB first.")
    encoded = np.frombuffer(data, np.uint8)
    premultiplied: list[bool] = []
    if image.format == "TIFF":
        premultiplied = [_fourth_channel(page) == PREMULTIPLIED for page in ImageSequence.Iterator(image)]
        image.seek(0)
        arrays = list(cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)[1])
    else:
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        arrays = [] if decoded is None else [decoded]
    if not arrays or any(array.ndim != 3 or array.dtype != np.uint16 for array in arrays):
        raise ImageReadError("its 16-bit colour cannot be decoded, so it is damaged or cut short; copy or download it again.")
    arrays = [cv2.cvtColor(array, _SWAPPED[array.shape[2]]) for array in arrays]
    for array in itertools.compress(arrays, premultiplied):
        alpha = np.maximum(array[..., 3:], 1) / np.float32(65535)
        array[..., :3] = np.rint(np.minimum(array[..., :3] / alpha, 65535))
    colours = 0 if image.mode == "LA" else slice(3)
    return [Picture(array[..., colours], array[..., 3] if array.shape[2] == 4 else None) for array in arrays]


_SWAPPED = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # the same swap in both directions


def encode_png(array: np.ndarray, header: Header) -> bytes:
    """uint16 HxWx3 or HxWx4 as PNG; OpenCV writes the pixels, the metadata goes in as chunks."""
    png = cv2.imencode(".png", cv2.cvtColor(array, _SWAPPED[array.shape[2]]))[1].tobytes()
    chunks = []
    if header.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(header.icc_profile)))
    if header.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in header.dpi), 1)))
    if exif := header.exif_for(array.shape[1], array.shape[0]):
        chunks.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    if xmp := header.xmp_for(array.shape[1], array.shape[0]):
        chunks.append((b"iTXt", png_xmp(xmp)))
    inserted = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return png[:33] + inserted + png[33:]  # after the signature (8 bytes) and IHDR (25)
