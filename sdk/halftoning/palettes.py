"""Fewer colours and fewer bits: GIF palettes and bit-depth quantisation."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from sdk.errors import OptionError, nearest
from sdk.halftoning.thresholds import bayer, tile_over

PALETTES = ("median-cut", "octree", "web")
PALETTE_DITHERS = ("floyd-steinberg", "bayer", "none")
POOLED = 3
"""Levels by which Pillow may look a colour up too low: it keeps one answer for every four levels, that of the lowest."""


def reduce_palette(rgb: np.ndarray, colors: int = 256, palette: str = "median-cut", dither: str = "floyd-steinberg") -> np.ndarray:
    """uint8 HxWx3 -> uint8 HxWx3 with at most ``colors`` colours, as GIF writers do it (Pillow's quantisers).

    ``web`` is the fixed 6x6x6 cube and ignores ``colors``; so do colours of your own, as of the inks of an e-paper display, in hexadecimal:
    ``"#000000,#ffffff,#cc0000"``. ``dither``: ``floyd-steinberg``; ``bayer``, an 8x8 mask as wide as a cube of so many colours has its
    levels apart; or ``none``.
    """
    own = _own_colours(palette) if "#" in palette else None
    colors = len(own) if own is not None else colors
    if not 2 <= colors <= 256:
        raise OptionError(f"A palette of {colors} colours was asked for; it must have 2..256.")
    if own is None and palette not in PALETTES:
        raise OptionError(f"Palette {palette!r} is unknown; it must be one of {', '.join(PALETTES)}, or colours: #000000,#ffffff,#cc0000.")
    if dither not in PALETTE_DITHERS:
        raise OptionError(f"Palette dither {dither!r} is unknown.{nearest(dither, PALETTE_DITHERS)}")
    diffusion = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    image = chosen_from = Image.fromarray(rgb)
    if dither == "bayer":
        levels = 6 if palette == "web" else colors ** (1 / 3)
        offsets = (tile_over(bayer(8), *rgb.shape[:2]) - 0.5) * 255 / max(1, levels - 1) + POOLED / 2
        image = Image.fromarray(np.rint(np.clip(rgb + offsets[..., None], 0, 255)).astype(np.uint8))
    if palette == "web":
        reduced = image.convert("P", palette=Image.Palette.WEB, dither=diffusion)
    elif own is not None:
        fixed = Image.new("P", (1, 1))
        fixed.putpalette(np.resize(own, (256, 3)).tobytes())  # over and over, so that no black fills it up
        reduced = image.quantize(palette=fixed, dither=diffusion)
    else:
        method = Image.Quantize.MEDIANCUT if palette == "median-cut" else Image.Quantize.FASTOCTREE
        # Pillow dithers only onto a palette it is given, so the palette is found first and applied second.
        reduced = image.quantize(palette=chosen_from.quantize(colors, method=method), dither=diffusion)
    return np.array(reduced.convert("RGB"))


def _own_colours(text: str) -> np.ndarray:
    """uint8 (N, 3) of ``#rrggbb,#rrggbb``."""
    colours = [colour.strip() for colour in text.split(",")]
    if wrong := [colour for colour in colours if not re.fullmatch("#[0-9a-fA-F]{6}", colour)]:
        raise OptionError(f"Colour {wrong[0]!r} is none; write colours as #rrggbb, with commas between: #000000,#ffffff,#cc0000.")
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.uint8)


def quantise_bits(image: np.ndarray, bits: int = 3) -> np.ndarray:
    """Keep the ``bits`` highest bits of uint8 or uint16 values: floor(x / step) * step, no rescaling (Hou & Qiu 2017, eq. 2)."""
    depth = 8 * image.dtype.itemsize
    if not 1 <= bits <= depth:
        raise OptionError(f"{bits} bits were asked for; a {depth}-bit picture can keep 1..{depth}.")
    shift = depth - int(bits)  # numpy's integers would widen the picture's
    return (image >> shift) << shift
