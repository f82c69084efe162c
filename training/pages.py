"""Pages of letters, tables and pictures, drawn at random: what the analysis must not take for a halftone, or find one on."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.lettering import LETTERS


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """uint8 after JPEG coding."""
    bgr = np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
    decoded = np.asarray(cv2.imdecode(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED))
    return np.ascontiguousarray(decoded[..., ::-1]) if pixels.ndim == 3 else decoded


def text_page(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 height x width: lines of letters, antialiased, black on white."""
    sheet = Image.new("L", (width, height), 255)
    draw, size = ImageDraw.Draw(sheet), int(rng.integers(10, 41))
    for top in range(size // 2, height, round(size * rng.uniform(1.1, 1.5))):
        words = "".join(" " if rng.random() < 0.17 else LETTERS[rng.integers(len(LETTERS))] for _ in range(3 * width // size))
        draw.text((size, top), words, fill=0, font=ImageFont.load_default(size))
    return np.array(sheet)


def table_page(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 height x width: a ruled table of numbers, black on white."""
    sheet = Image.new("L", (width, height), 255)
    draw, row, margin = ImageDraw.Draw(sheet), int(rng.integers(18, 52)), int(rng.integers(20, 60))
    rows, columns = range(margin, height - margin, row), [margin]
    while columns[-1] < width - margin - 40:
        columns.append(columns[-1] + int(rng.integers(50, 180)))
    for y in rows:
        draw.line((columns[0], y, columns[-1], y), fill=0)
    for x in columns:
        draw.line((x, rows[0], x, rows[-1]), fill=0)
    font, filled = ImageFont.load_default(max(9, round(row * rng.uniform(0.45, 0.7)))), rng.uniform(0.3, 1)
    for y in rows[:-1]:
        for x in columns[:-1]:
            if rng.random() < filled:
                draw.text((x + 5, y + row // 6), str(rng.integers(10_000)), fill=0, font=font)
    return np.array(sheet)


def beside_text(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A page of text, 2.7 times the sides of the HxW picture that stands somewhere on it: bool if that is, else uint8 and scanned."""
    height, width = picture.shape
    page = text_page(round(2.7 * height), round(2.7 * width), rng)
    page = page > 127 if picture.dtype == bool else scanned(page, rng)
    top, left = (int(rng.integers(outer - inner)) for outer, inner in zip(page.shape, picture.shape))
    page[max(0, top - 8) : top + height + 8, max(0, left - 8) : left + width + 8] = np.median(page)
    page[top : top + height, left : left + width] = picture
    return page


def with_caption(white: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8: a bool HxW halftone with a small line of antialiased letters in it."""
    sheet = Image.fromarray(white.astype(np.uint8) * np.uint8(255))
    ImageDraw.Draw(sheet).text((12, int(rng.integers(12, white.shape[0] - 30))), "12 May 1913", fill=128, font=ImageFont.load_default(14))
    return np.array(sheet)


def scanned(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8, as a scanner sees a printed page: slightly turned, soft, grey and noisy."""
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), rng.uniform(-1, 1), 1)
    turned = cv2.warpAffine(page, turn, page.shape[1::-1], flags=cv2.INTER_CUBIC, borderValue=255)
    scan = cv2.GaussianBlur(turned, (0, 0), rng.uniform(0.5, 1.2)) * 0.7 + rng.uniform(20, 60) + rng.normal(0, 3, page.shape)
    return np.clip(scan, 0, 255).astype(np.uint8)
