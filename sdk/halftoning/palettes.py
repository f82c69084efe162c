"""Fewer colours and fewer bits: GIF palettes and bit-depth quantisation."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sdk.errors import OptionError

PALETTES = ("median-cut", "octree", "web")


def reduce_palette(rgb: np.ndarray, colors: int = 256, palette: str = "median-cut", dither: bool = True) -> np.ndarray:
    """uint8 HxWx3 -> uint8 HxWx3 with at most ``colors`` colours, error-diffused as GIF writers do (Pillow's quantiser).

    ``web`` is the fixed 6x6x6 cube and ignores ``colors``.
    """
    if not 2 <= colors <= 256:
        raise OptionError(f"A palette of {colors} colours was asked for; it must have 2..256.")
    if palette not in PALETTES:
        raise OptionError(f"Palette {palette!r} is unknown; it must be one of {', '.join(PALETTES)}.")
    diffusion = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    image = Image.fromarray(rgb)
    if palette == "web":
        reduced = image.convert("P", palette=Image.Palette.WEB, dither=diffusion)
    else:
        method = Image.Quantize.MEDIANCUT if palette == "median-cut" else Image.Quantize.FASTOCTREE
        # Pillow dithers only onto a palette it is given, so the palette is found first and applied second.
        reduced = image.quantize(palette=image.quantize(colors, method=method), dither=diffusion)
    return np.asarray(reduced.convert("RGB"))


def quantise_bits(image: np.ndarray, bits: int = 3) -> np.ndarray:
    """Keep the ``bits`` highest bits of uint8 or uint16 values: floor(x / step) * step, no rescaling (Hou & Qiu 2017, eq. 2)."""
    depth = 8 * image.dtype.itemsize
    if not 1 <= bits <= depth:
        raise OptionError(f"{bits} bits were asked for; a {depth}-bit picture can keep 1..{depth}.")
    shift = depth - bits
    return (image >> shift) << shift
