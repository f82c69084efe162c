"""Pictures of so few colours that a palette holds them as they are."""

from __future__ import annotations

import numpy as np
from PIL import Image

MOST = 256


def has_few_colors(pixels: np.ndarray) -> bool:
    """Whether HxW or HxWx3 of at most 8 bits has no more than ``MOST``. Of an outline, which has no values, only dots are known to."""
    if pixels.ndim == 2 or pixels.dtype == np.bool_:
        return True
    is_outline = not any(pixels.strides[:2])
    return not is_outline and Image.fromarray(np.ascontiguousarray(pixels)).getcolors(MOST) is not None


def with_palette(image: Image.Image) -> Image.Image:
    """RGB of few colours -> P, exactly; Pillow's quantisers keep them only nearly."""
    codes = color_codes(np.asarray(image))
    distinct, places = np.unique(codes, return_inverse=True)
    indexed = Image.fromarray(places.reshape(codes.shape).astype(np.uint8), "P")
    indexed.putpalette(colors_of(distinct).astype(np.uint8).tobytes())
    return indexed


def color_codes(colors: np.ndarray) -> np.ndarray:
    """uint32 0xRRGGBB of colours 0..255, (..., 3)."""
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def colors_of(codes: np.ndarray) -> np.ndarray:
    """(N,) of ``color_codes`` -> (N, 3)."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
