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
    """float64 HxW or HxWx3, 0..255."""
    return to_unit(files.read(path, first_page_only=True).pages[0].pixels).astype(np.float64) * 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, of values 0..255; infinite where they are equal."""
    mean_square = np.mean((a - b) ** 2)
    return float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004: 11x11 Gaussian window of sigma 1.5, the mean over pixels and channels; float64 values 0..255."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)))
