"""Pictures at other sizes."""

from __future__ import annotations

import cv2
import numpy as np

from sdk.images import widened


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """To height x width: means of areas where that is smaller, cubic where it is larger; bool becomes uint8."""
    if pixels.shape[:2] == (height, width):
        return pixels
    pixels = widened(pixels)
    smaller = height <= pixels.shape[0] and width <= pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.clip(resized, 0, 1) if pixels.dtype == np.float32 else resized
