"""Pictures for the browser, and how near one is to another."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sdk import files
from sdk.images import from_unit, picture_to_pil, to_unit


def previews(before: Path, after: Path, folder: Path) -> tuple[str, str]:
    """8-bit PNGs of the first pages of two files, both in the size of ``after``: what the slider shows, without loss."""
    restored = _preview(after)
    original = _preview(before)
    if original.size != restored.size:
        original = original.resize(restored.size, Image.Resampling.BOX)
    paths = folder / "before.png", folder / "after.png"
    for picture, path in zip((original, restored), paths):
        picture.save(path, compress_level=1)
    return str(paths[0]), str(paths[1])


def _preview(path: Path) -> Image.Image:
    page = files.read(path, first_page_only=True).pages[0]
    return picture_to_pil(page.with_pixels(from_unit(to_unit(page.pixels), np.uint8)))


def first_page(path: Path) -> np.ndarray:
    """float32 HxW or HxWx3, 0..255."""
    return to_unit(files.read(path, first_page_only=True).pages[0].pixels) * np.float32(255)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, of values 0..255; infinite where they are equal."""
    mean_square = np.mean((a - b) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Wang et al. 2004: 11x11 Gaussian window of sigma 1.5, the mean over pixels and channels; values 0..255.

    Strip by strip, since it takes eight pictures in double precision. None where a side is shorter than the window.
    """
    if min(a.shape[:2]) <= 2 * REACH:
        return None
    strips = [np.s_[top : top + STRIP + 2 * REACH] for top in range(0, a.shape[0] - 2 * REACH, STRIP)]
    values = (_ssim_map(a[rows].astype(np.float64), b[rows].astype(np.float64)) for rows in strips)
    total, count = np.sum([(part.sum(), part.size) for part in values], axis=0)
    return float(total / count)


REACH = 5
"""Of its window, px: so far from the border it has no value."""
STRIP = 256
"""Rows of values at once."""


def _ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)[REACH:-REACH, REACH:-REACH]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)
