"""How near one picture is to another: the same code for every model, filter, table and demo.

Of values 0..255, HxW or HxWxC of any dtype, without a crop at the border. Restorations are rounded to uint8 before they are judged.
"""

from __future__ import annotations

import cv2
import numpy as np

REACH = 5
"""Of the window of SSIM, px: so far from the border it has no value."""
STRIP = 256
"""Rows of values at once, since SSIM takes eight pictures in double precision."""


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two pictures of one shape; infinite where they are equal."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window 11x11, sigma 1.5, K = 0.01 and 0.03, mean over pixels and channels.

    Only windows that lie wholly inside count, as in the authors' code; pictures are at least 11x11 px.
    """
    strips = (np.s_[top : top + STRIP + 2 * REACH] for top in range(0, a.shape[0] - 2 * REACH, STRIP))
    values = (_ssim_map(a[rows].astype(np.float64), b[rows].astype(np.float64)) for rows in strips)
    total, count = np.sum([(part.sum(), part.size) for part in values], axis=0)
    return float(total / count)


def _ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (2 * REACH + 1, 2 * REACH + 1), 1.5)[REACH:-REACH, REACH:-REACH]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    return (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
