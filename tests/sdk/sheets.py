"""Pages and prints for the analysis to look at."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sdk.halftoning import halftone


def encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def jpeg(pixels: np.ndarray, quality: int, **options: int) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality, **options))))


def text_page(height: int, width: int, size: int = 18) -> np.ndarray:
    """uint8: black letters on white."""
    sheet = Image.new("L", (width, height), 255)
    for top in range(4, height, round(1.3 * size)):
        words = "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs. " * 4
        ImageDraw.Draw(sheet).text((6, top), words[top % 50 :], fill=0, font=ImageFont.load_default(size))
    return np.array(sheet)


def blurred_print(grey: np.ndarray, period: float, angle: float, seed: int = 0) -> np.ndarray:
    """uint8: a screen as a scanner sees it, soft, grey, noisy."""
    fine = cv2.resize(grey, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    dots = halftone(fine, "am-screen", lpi=600 / (3 * period), dpi=600.0, angle=angle).astype(np.float32)
    dots = cv2.resize(cv2.GaussianBlur(dots, (0, 0), 2.0), grey.shape[::-1], interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).normal(0, 5, grey.shape)
    return np.clip(40 + 190 * dots + noise, 0, 255).astype(np.uint8)
