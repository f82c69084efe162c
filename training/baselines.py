"""What anyone can do without a network: a Gaussian blur, and non-local means over a light blur, tuned per method on val."""

from __future__ import annotations

import cv2
import numpy as np

from training.tuning import Filters


def gaussian(white: np.ndarray, sigma: float) -> np.ndarray:
    """Blur of a bool HxW halftone; uint8 HxW."""
    return cv2.GaussianBlur(white.astype(np.uint8) * 255, (0, 0), sigma)


def non_local_means(white: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """OpenCV's fast non-local means (7x7 patches in 21x21 px) of the blurred halftone; uint8 HxW.

    The blur comes first because patches of raw dots match by chance; without it the method is far worse.
    """
    return cv2.fastNlMeansDenoising(gaussian(white, sigma), None, strength, 7, 21)


FILTERS: Filters = {
    "Gaussian": (gaussian, {"sigma": (0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2)}),
    "non-local means": (non_local_means, {"sigma": (0.7, 1.0, 1.4, 2.0, 2.8), "strength": (5, 10, 20, 40)}),
}
