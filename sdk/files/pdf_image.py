"""One picture of a PDF: its samples as a ``Picture``, and others in their place."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from sdk import files
from sdk.errors import ImageReadError, MissingDependencyError, UnsupportedImageError
from sdk.files.deep_colour import is_deep_colour
from sdk.images import Picture, picture_from_pil

LOSSY = ("/DCTDecode", "/JPXDecode")
"""JPEG and JPEG 2000: what was stored so becomes JPEG; all else stays without loss."""

TWO_LEVELS = ("/CCITTFaxDecode", "/JBIG2Decode")

OF_OLD_SAMPLES = ("/Decode", "/DecodeParms", "/Alternates", "/SMaskInData")
"""Entries of a picture that say how to read what its stream held."""

COMPONENTS = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3}
"""Of the colour spaces that a result may keep, beside ICC profiles, which say it themselves."""


def pikepdf() -> ModuleType:
    """The reader and writer; a ``MissingDependencyError`` where it is not installed."""
    try:
        import pikepdf
    except ImportError as error:
        raise MissingDependencyError("PDF needs pikepdf, which is not installed: pip install 'inverse-halftoner[pdf]'.") from error
    return pikepdf


def decode(image: Any) -> Picture:
    """The samples of a picture, a stream of pikepdf, without the mask beside them.

    An ``UnsupportedImageError`` for what would be read wrong, or lose depth; an ``ImageReadError`` for what is damaged.
    """
    try:
        _check(image)
        samples = pikepdf().PdfImage(image).as_pil_image(apply_mask=False)
        if samples.format == "JPEG2000":
            is_deep_colour(image.read_raw_bytes(), samples)
    except (ImageReadError, UnsupportedImageError):
        raise
    except Exception as error:  # decoders raise whatever they like, on damaged entries, too; JBIG2 needs a program, jbig2dec
        raise ImageReadError(f"it cannot be decoded ({type(error).__name__}: {error}).") from error
    if samples.mode in ("LA", "RGBA", "PA"):
        raise UnsupportedImageError("it holds an alpha channel within JPEG 2000.")
    return picture_from_pil(samples)


def _check(image: Any) -> None:
    """Refuse what would not be read as a page shows it."""
    width, height, limit = int(image.Width), int(image.Height), Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > 2 * limit:
        raise ImageReadError(f"it declares {width}x{height} px, more than allowed. If you trust it, raise the limit (--max-megapixels).")
    if isinstance(image.get("/Mask"), pikepdf().Array):
        raise UnsupportedImageError("one of its colours is called transparent, and would not be found again.")
    filters, (space, components, indexed) = _filters(image), _space(image)
    bits, lossy = int(image.get("/BitsPerComponent", 8)), bool(filters) and filters[-1] in LOSSY
    if (lossy and space is not None and (indexed or components not in (1, 3))) or (indexed and filters and filters[-1] in TWO_LEVELS):
        named = "a palette" if indexed else f"the colour space {_kind(space)}"
        raise UnsupportedImageError(f"Found {filters[-1]} with {named}. Accepted: grey and RGB, of devices, calibrated or by ICC profile.")
    if bits == 16 and components != 1:
        raise UnsupportedImageError("Found colour of 16 bits, of which 8 would be left. Accepted: 8 bits a channel, and 16 bits of grey.")
    plain = [0.0, 2.0**bits - 1] if indexed else [0.0, 1.0] * max(1, components)
    if (lossy or indexed) and "/Decode" in image and [float(value) for value in image.Decode] != plain:
        raise UnsupportedImageError("Found levels that are turned over or stretched (/Decode) in JPEG or a palette.")


def _filters(image: Any) -> list[str]:
    found = image.get("/Filter", [])
    return [str(each) for each in found] if isinstance(found, pikepdf().Array) else [str(found)] if found else []


def _space(image: Any) -> tuple[Any, int, bool]:
    """Its colour space, or that of its palette; the components of that, 0 if no result may keep it; and whether there is a palette."""
    space = image.get("/ColorSpace")
    indexed = isinstance(space, pikepdf().Array) and space[0] == "/Indexed"
    base = space[1] if indexed else space
    return base, int(base[1].get("/N", 0)) if _kind(base) == "/ICCBased" else COMPONENTS.get(_kind(base), 0), indexed


def _kind(space: Any) -> str:
    return str(space[0] if isinstance(space, pikepdf().Array) else space)


def put(image: Any, pixels: np.ndarray) -> None:
    """Put pixels, HxW or HxWx3 of uint8 or uint16, in the place of a picture's samples."""
    planes, bits = (1 if pixels.ndim == 2 else 3), 8 * pixels.dtype.itemsize
    filters, (space, components, _), name = _filters(image), _space(image), pikepdf().Name
    image.ColorSpace = space if components == planes else name.DeviceGray if planes == 1 else name.DeviceRGB
    for key in OF_OLD_SAMPLES:
        if key in image:
            del image[key]
    image.Height, image.Width, image.BitsPerComponent = *pixels.shape[:2], bits
    if bits == 8 and filters and filters[-1] in LOSSY:
        image.write(files.encode([Picture(pixels)], "JPEG"), filter=name.DCTDecode)
        return
    # What PNG holds is what PDF calls Flate with the predictors of PNG, 10 to 15.
    told = pikepdf().Dictionary(Predictor=15, Colors=planes, BitsPerComponent=bits, Columns=pixels.shape[1])
    image.write(_png_data(files.encode([Picture(pixels)], "PNG")), filter=name.FlateDecode, decode_parms=told)


def _png_data(png: bytes) -> bytes:
    """The compressed rows of a PNG: its IDAT chunks, one after the other."""
    chunks, place = [], 8
    while place < len(png):
        length, name = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        chunks += [png[place + 8 : place + 8 + length]] if name == b"IDAT" else []
        place += 12 + length
    return b"".join(chunks)
