"""What anyone can do without a network: a Gaussian blur, and non-local means over a light blur, tuned per method on val."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import cv2
import numpy as np

from training.metrics import psnr

Restore = Callable[[np.ndarray], np.ndarray]

GAUSSIAN_SIGMAS = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.1, 2.4, 2.8, 3.2)
NLM_SIGMAS = (0.5, 0.8, 1.0, 1.2, 1.5, 2.0)
NLM_STRENGTHS = (5, 10, 15, 20, 30, 45)


def gaussian(white: np.ndarray, sigma: float) -> np.ndarray:
    """Blur of a bool HxW halftone; uint8 HxW."""
    return cv2.GaussianBlur(white.astype(np.uint8) * 255, (0, 0), sigma)


def non_local_means(white: np.ndarray, sigma: float, strength: float) -> np.ndarray:
    """OpenCV's fast non-local means (7x7 patches in 21x21 px) of the blurred halftone; uint8 HxW.

    The blur comes first because patches of raw dots match by chance; without it the method is far worse.
    """
    return cv2.fastNlMeansDenoising(gaussian(white, sigma), None, strength, 7, 21)


def _best(candidates: Iterable[tuple[dict, Restore]], pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[dict, Restore]:
    return max(candidates, key=lambda candidate: np.mean([psnr(candidate[1](white), photo) for white, photo in pairs]))


def tune(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[dict, Restore]]:
    """Name -> (settings, function) of the best setting by mean PSNR on (halftone, photograph) pairs of val."""
    blurs = [{"sigma": sigma} for sigma in GAUSSIAN_SIGMAS]
    means = [{"sigma": sigma, "strength": strength} for sigma in NLM_SIGMAS for strength in NLM_STRENGTHS]
    return {
        "Gaussian": _best(((settings, partial(gaussian, **settings)) for settings in blurs), pairs),
        "non-local means": _best(((settings, partial(non_local_means, **settings)) for settings in means), pairs),
    }
