"""16-bit colour files, which Pillow would cut to 8 bits: read by OpenCV, written by OpenCV (PNG) and tifffile (TIFF, extra ``tiff``)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageSequence

from sdk.errors import ImageReadError, MissingDependencyError, UnsupportedImageError
from sdk.images import Picture

ORIENTATION = 0x0112  # the EXIF tag
BITS_PER_SAMPLE, PHOTOMETRIC, RGB = 258, 262, 2  # TIFF tags, and the value of the second for RGB
ASCII = 2  # the TIFF type of text


def is_deep_colour(image: Image.Image) -> bool:
    """True for 16-bit colour PNG and TIFF, judged by the header; a TIFF that has such pages among others is refused."""
    if image.format == "PNG":
        return any("16" in str(entry[3]) for entry in getattr(image, "tile", ())) and image.mode in ("RGB", "RGBA", "LA")
    if image.format != "TIFF":
        return False
    deep = [_is_deep_page(page) for page in ImageSequence.Iterator(image)]
    image.seek(0)
    if any(deep) and not all(deep):
        raise UnsupportedImageError("Found a TIFF that mixes 16-bit colour pages with others; split it into one file for each kind.")
    return any(deep)


def _is_deep_page(page: Image.Image) -> bool:
    bits = page.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
    return len(bits) >= 3 and min(bits[:3]) == 16


def read_deep_colour(data: bytes, image: Image.Image) -> list[Picture]:
    """The pages as uint16 HxWx3 (HxW for grey with alpha), turned upright, with or without alpha."""
    if image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) != RGB:  # type: ignore[attr-defined]
        raise UnsupportedImageError(f"Found a 16-bit TIFF in colour mode {image.mode}; accepted: RGB and RGBA. Convert it to RGB first.")
    encoded = np.frombuffer(data, np.uint8)
    if image.format == "TIFF":
        arrays = list(cv2.imdecodemulti(encoded, cv2.IMREAD_UNCHANGED)[1])
    else:
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        arrays = [] if decoded is None else [decoded]
    if not arrays or any(array.ndim != 3 or array.dtype != np.uint16 for array in arrays):
        raise ImageReadError("its 16-bit colour cannot be decoded, so it is damaged or cut short; copy or download it again.")
    arrays = [cv2.cvtColor(array, _SWAPPED[array.shape[2]]) for array in arrays]
    if image.format == "PNG":  # OpenCV has already turned TIFF pages
        arrays = [turn_upright(array, image.getexif().get(ORIENTATION, 1)) for array in arrays]
    colours = 0 if image.mode == "LA" else slice(3)
    return [Picture(array[..., colours], array[..., 3] if array.shape[2] == 4 else None) for array in arrays]


_SWAPPED = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}  # the same swap in both directions


def turn_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1..8: mirrored if 2, 4, 5 or 7, then turned."""
    if orientation in (2, 4, 5, 7):
        array = array[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)  # counter-clockwise
    return np.ascontiguousarray(np.rot90(array, quarter_turns))


def encode_tiff(
    arrays: Sequence[np.ndarray], dpi: tuple[float, float] | None, icc_profile: bytes | None, exif: bytes | None = None
) -> bytes:
    """Pages of HxW, HxWx3 or HxWx4 as one zlib-compressed TIFF; of ``exif``, the texts (caption, artist, copyright ...)."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError("Writing 16-bit colour TIFF needs tifffile: pip install 'inverse-halftoner[tiff]'.") from error
    stored = Image.Exif()
    stored.load(exif or b"")
    texts = {tag: text.encode("latin-1", "replace") + b"\0" for tag, text in stored.items() if isinstance(text, str)}
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as tiff:
        for array in arrays:
            tiff.write(
                array,
                photometric="minisblack" if array.ndim == 2 else "rgb",
                compression="zlib",
                metadata=None,
                software=False,
                extratags=[(tag, ASCII, None, text, True) for tag, text in texts.items()],
                iccprofile=icc_profile,
                extrasamples=["unassalpha"] if array.ndim == 3 and array.shape[2] == 4 else None,
                **({"resolution": dpi, "resolutionunit": "INCH"} if dpi else {}),
            )
    return stream.getvalue()


def encode_png(array: np.ndarray, dpi: tuple[float, float] | None, icc_profile: bytes | None, exif: bytes | None) -> bytes:
    """uint16 HxWx3 or HxWx4 as PNG; OpenCV writes the pixels, the metadata goes in as chunks."""
    png = cv2.imencode(".png", cv2.cvtColor(array, _SWAPPED[array.shape[2]]))[1].tobytes()
    chunks = []
    if icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile)))
    if dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    inserted = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return png[:33] + inserted + png[33:]  # after the signature (8 bytes) and IHDR (25)
