"""Pictures of so few colours that a palette holds them as they are."""

from __future__ import annotations

import numpy as np
from PIL import Image

MOST = 256


def has_few_colours(pixels: np.ndarray) -> bool:
    """Whether HxW or HxWx3 of at most 8 bits has no more than ``MOST``. Of an outline, which has no values, only dots are known to."""
    if pixels.ndim == 2 or pixels.dtype == np.bool_:
        return True
    is_outline = not any(pixels.strides[:2])
    return not is_outline and Image.fromarray(np.ascontiguousarray(pixels)).getcolors(MOST) is not None


def with_palette(image: Image.Image) -> Image.Image:
    """RGB of few colours -> P, exactly; Pillow's quantisers keep them only nearly."""
    codes = np.asarray(image).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, places = np.unique(codes, return_inverse=True)
    indexed = Image.fromarray(places.reshape(codes.shape).astype(np.uint8), "P")
    indexed.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    return indexed
