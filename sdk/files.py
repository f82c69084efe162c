"""Pictures on disk: pages, frames, 16-bit colour, and the metadata that most restoration tools lose (DPI, ICC, EXIF).

``read`` and ``write`` go through Pillow. Two things Pillow cannot do are done otherwise: 16-bit colour PNG by OpenCV,
16-bit colour TIFF by tifffile (extra ``tiff``). A file is written beside its target and renamed, so a failure leaves nothing.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, ImageSequence

from sdk.errors import ImageReadError, ImageWriteError, InverseHalftonerError, MissingDependencyError, UnsupportedImageError
from sdk.images import Picture, check_size, grey_if_all_grey, picture_from_pil, picture_to_array, picture_to_pil

ORIENTATION = 0x0112  # the EXIF tag

FORMATS = {
    ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF",
    ".pgm": "PPM", ".ppm": "PPM", ".pbm": "PPM",
}  # fmt: skip
"""Suffix -> format, for reading folders and for writing."""

MULTI_PAGE = ("TIFF", "PNG", "WEBP", "GIF")


@dataclass(frozen=True)
class ImageFile:
    """The pages of a file and what is kept from its header."""

    pages: Sequence[Picture]
    format: str = "PNG"
    dpi: tuple[float, float] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """With the orientation already applied to the pixels, and its tag removed."""
    loop: int | None = None
    """Repeats of an animation; 0 = for ever."""

    def with_pages(self, pages: Sequence[Picture]) -> ImageFile:
        return replace(self, pages=pages)


def read(source: str | os.PathLike | bytes) -> ImageFile:
    """Decode a file or its bytes, all pages; an ``ImageReadError`` or ``UnsupportedImageError`` says what is wrong with it."""
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise ImageReadError(f"{name} cannot be read: {error.strerror or error}. Check the path and the permissions.") from error
    if not data:
        raise ImageReadError(f"{name} is empty (0 bytes); copy or download it again.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_size(image.height, image.width)
            if _is_16_bit_colour(image):
                return _read_16_bit_colour(data, image)
            return _read_pages(image)
    except Image.UnidentifiedImageError as error:
        raise ImageReadError(f"{name} is not a picture in a known format. Accepted: {', '.join(sorted(set(FORMATS.values())))}.") from error
    except Image.DecompressionBombError as error:
        raise ImageReadError(
            f"{name} declares more pixels than Pillow's limit ({error}). "
            "If you trust it, raise PIL.Image.MAX_IMAGE_PIXELS; else cut it up first."
        ) from error
    except UnsupportedImageError as error:
        raise UnsupportedImageError(f"{name}: {error}") from error
    except InverseHalftonerError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged data: OSError, SyntaxError, struct.error, ...
        raise ImageReadError(f"{name} is damaged or cut short ({error}); copy or download it again.") from error


def _read_pages(image: Image.Image) -> ImageFile:
    pages = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        pages.append(picture_from_pil(ImageOps.exif_transpose(frame)))
    if len(pages) > 1:
        image.seek(0)
        pages = grey_if_all_grey(pages)  # Pillow gives the later frames of a grey GIF as RGB or RGBA
    return ImageFile(pages, image.format or "PNG", **_header(image))


def _header(image: Image.Image) -> dict[str, Any]:
    exif = image.getexif()
    exif.pop(ORIENTATION, None)
    is_tiff = image.format == "TIFF"  # there "EXIF" is the whole directory, strip offsets and all
    dpi = image.info.get("dpi")
    return {
        "dpi": tuple(float(value) for value in dpi) if dpi else None,
        "icc_profile": image.info.get("icc_profile"),
        "exif": exif.tobytes() if len(exif) and not is_tiff else None,
        "loop": image.info.get("loop"),
    }


def _is_16_bit_colour(image: Image.Image) -> bool:
    """Pillow would cut these to 8 bits without a word."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return len(bits) >= 3 and min(bits[:3]) == 16
    return image.format == "PNG" and "16" in str(getattr(image, "tile", "")) and image.mode in ("RGB", "RGBA", "LA")


def _read_16_bit_colour(data: bytes, image: Image.Image) -> ImageFile:
    if image.format == "TIFF":
        with _tifffile().TiffFile(io.BytesIO(data)) as tiff:
            arrays = [page.asarray() for page in tiff.pages]
        if any(array.ndim != 3 or array.shape[2] not in (3, 4) or image.mode == "CMYK" for array in arrays):
            raise UnsupportedImageError(
                f"Found 16-bit TIFF pages of shape {arrays[0].shape}, mode {image.mode}; accepted: RGB and RGBA, interleaved."
            )
    else:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if bgr is None:
            raise ImageReadError("the 16-bit PNG is damaged; copy or download it again.")
        arrays = [cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB if bgr.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)]
    pages = [Picture(array[..., :3], array[..., 3] if array.shape[2] == 4 else None) for array in arrays]
    return ImageFile(pages, image.format or "PNG", **_header(image))


def format_for(path: str | os.PathLike) -> str:
    """The format a suffix stands for."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ImageWriteError(f"{path}: no format is known for the suffix {suffix!r}; use one of {', '.join(sorted(FORMATS))}.")
    return FORMATS[suffix]


def check_target(path: str | os.PathLike, overwrite: bool) -> None:
    """Fail before hours of work, not after: unknown suffix, existing file, missing folder."""
    format_for(path)
    target = Path(path)
    if target.exists() and not overwrite:
        raise ImageWriteError(f"{target} exists already; choose another name, or allow overwriting (overwrite=True, --overwrite).")
    if not target.parent.is_dir():
        raise ImageWriteError(f"The folder {target.parent} does not exist; make it first.")


def write(path: str | os.PathLike, file: ImageFile, overwrite: bool = False) -> None:
    """Encode ``file`` by the suffix of ``path``, whole or not at all."""
    check_target(path, overwrite)
    data = encode(file.with_pages(file.pages), format_for(path))
    target = Path(path)
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(partial, 0o666 & ~umask)  # mkstemp's files are private; a result should look like any other new file
        os.replace(partial, target)
    except OSError as error:
        Path(partial).unlink(missing_ok=True)
        raise ImageWriteError(f"{target} cannot be written: {error.strerror or error}.") from error


def encode(file: ImageFile, format: str) -> bytes:
    """The bytes of ``file`` in ``format``; what the format cannot hold is an ``ImageWriteError``, never dropped in silence."""
    pages = file.pages
    if len(pages) > 1 and format not in MULTI_PAGE:
        raise ImageWriteError(f"{format} holds one picture, but there are {len(pages)} pages; write .tif or .png instead.")
    depth = {page.pixels.dtype for page in pages}
    if depth != {np.dtype(np.uint8)} and depth != {np.dtype(bool)} and format not in ("PNG", "TIFF"):
        raise ImageWriteError(f"{format} holds 8 bits a channel, but the picture has {depth.pop()}; write .png or .tif instead.")
    if format in ("JPEG", "BMP", "PPM", "GIF") and any(page.alpha is not None for page in pages):
        raise ImageWriteError(f"{format} holds no alpha channel (or only on and off); write .png, .webp or .tif instead.")
    if format == "GIF" and any(page.pixels.ndim == 3 for page in pages):
        raise ImageWriteError("GIF holds 256 colours, so restored colour would be dithered again; write .png (animated) or .webp instead.")
    if np.dtype(bool) in depth and format == "JPEG":
        raise ImageWriteError("JPEG would blur the dots of a halftone; write .png or .tif instead.")
    if np.dtype(np.float32) in depth:
        raise ImageWriteError("float32 pictures have no file format here; convert to uint16 first.")
    if any(page.pixels.dtype == np.uint16 and (page.pixels.ndim == 3 or page.alpha is not None) for page in pages):
        return _encode_16_bit_colour(file, format)
    images = [picture_to_pil(page) for page in pages]
    stream = io.BytesIO()
    images[0].save(stream, format=format, **_save_options(file, format, images))
    return stream.getvalue()


def _save_options(file: ImageFile, format: str, images: list[Image.Image]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if file.dpi and format in ("PNG", "TIFF", "JPEG", "BMP"):
        options["dpi"] = file.dpi
    if file.icc_profile and format in ("PNG", "TIFF", "JPEG", "WEBP"):
        options["icc_profile"] = file.icc_profile
    if file.exif and format in ("PNG", "JPEG", "WEBP"):
        options["exif"] = file.exif
    if format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif format == "WEBP":
        options |= {"lossless": True, "exact": True}
    elif format == "TIFF":
        options["compression"] = "group4" if images[0].mode == "1" else "tiff_adobe_deflate"
    if len(images) > 1:
        options |= {"save_all": True, "append_images": images[1:]}
        durations = [page.duration for page in file.pages]
        if format != "TIFF" and all(duration is not None for duration in durations):
            options |= {"duration": durations, "loop": 0 if file.loop is None else file.loop}
    return options


def _encode_16_bit_colour(file: ImageFile, format: str) -> bytes:
    arrays = [picture_to_array(page) for page in file.pages]
    if format == "TIFF":
        stream = io.BytesIO()
        with _tifffile().TiffWriter(stream) as tiff:
            for array in arrays:
                tiff.write(
                    array,
                    photometric="rgb",
                    compression="zlib",
                    metadata=None,
                    iccprofile=file.icc_profile,
                    extrasamples=["unassalpha"] if array.shape[2] == 4 else None,
                    **({"resolution": file.dpi, "resolutionunit": "INCH"} if file.dpi else {}),
                )
        return stream.getvalue()
    if len(arrays) > 1:
        raise ImageWriteError("Several 16-bit colour pages fit only TIFF; write .tif instead.")
    bgr = cv2.cvtColor(arrays[0], cv2.COLOR_RGB2BGR if arrays[0].shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    encoded = cv2.imencode(".png", bgr)[1].tobytes()
    return _with_png_chunks(encoded, _png_chunks(file))


def _png_chunks(file: ImageFile) -> list[tuple[bytes, bytes]]:
    chunks = []
    if file.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(file.icc_profile)))
    if file.dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in file.dpi), 1)))
    if file.exif:
        chunks.append((b"eXIf", file.exif.removeprefix(b"Exif\0\0")))
    return chunks


def _with_png_chunks(png: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Insert chunks right after IHDR (8 bytes of signature, then 25 of IHDR)."""
    inserted = b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return png[:33] + inserted + png[33:]


def _tifffile():
    try:
        import tifffile
    except ImportError as error:
        raise MissingDependencyError("16-bit colour TIFF needs tifffile: pip install 'inverse-halftoner[tiff]'.") from error
    return tifffile


def restored_suffix(source: Path) -> str:
    """The suffix of a restored file: the source's own, but .png where that format cannot hold restored tone (GIF, PBM)."""
    suffix = source.suffix.lower()
    return source.suffix if suffix in FORMATS and suffix not in (".gif", ".pbm") else ".png"


def halftone_suffix(source: Path) -> str:
    """The suffix of a halftoned file: TIFF stays TIFF, all else becomes .png, since lossy formats would ruin the dots."""
    return source.suffix if source.suffix.lower() in (".tif", ".tiff") else ".png"
