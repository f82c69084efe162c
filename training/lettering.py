"""Text, rules and line art at random, solid ink beside or over a screened picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = "etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLCUMWFGYPBVKJXQZàéèêçôùëïöü0123456789.,;:!?'-()&"
FREQUENCIES = np.array([1 / (3 + i) for i in range(26)] + [1 / (12 + i) for i in range(26)] + [0.006] * (len(LETTERS) - 52))
HERSHEY = (cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)


@dataclass(frozen=True)
class Lettering:
    """Two float32 masks on the fine grid, all in [0, 1]."""

    ink: np.ndarray
    """1 where solid ink lies."""
    picture: np.ndarray
    """1 where the screened picture is printed, 0 on bare paper and in letters left white."""


def draw_lettering(height: int, width: int, oversampling: int, rng: np.random.Generator) -> Lettering:
    """A page with a picture beside it, a caption over it, letters left white in it, or rules and drawing, at random."""
    shape = (height * oversampling, width * oversampling)
    ink, picture = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    layout = rng.random()
    if layout < 0.35:  # a page of text only
        picture[:] = 0
    elif layout < 0.75:  # a picture with a straight edge, text on the paper beside it
        across = int(rng.integers(2))
        edge = int(rng.uniform(0.2, 0.8) * shape[across])
        beside = slice(edge, None) if rng.random() < 0.5 else slice(None, edge)
        picture[(slice(None), beside) if across else beside] = 0
        if rng.random() < 0.4:
            start, end = ((edge, 0), (edge, shape[0])) if across else ((0, edge), (shape[1], edge))
            cv2.line(ink, start, end, 255, max(1, int(rng.uniform(0.5, 2.5) * oversampling)))
    white = layout >= 0.75 and rng.random() < 0.4
    text = _text(shape, oversampling, rng) if rng.random() < 0.85 else _drawing(shape, oversampling, rng)
    if 0.35 <= layout < 0.75:
        text[picture > 0] = 0
    if white:
        picture[text > 127] = 0
    else:
        ink = np.maximum(ink, text)
    return Lettering(ink.astype(np.float32) / 255, picture.astype(np.float32) / 255)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _words(rng: np.random.Generator) -> str:
    letters = rng.choice(list(LETTERS), size=40, p=FREQUENCIES / FREQUENCIES.sum())
    letters[np.cumsum(rng.integers(2, 9, size=6)) % 40] = " "
    return "".join(letters)


def _text(shape: tuple[int, int], oversampling: int, rng: np.random.Generator) -> np.ndarray:
    """Lines of one face and size; 9..70 px a line in the scan."""
    size = float(np.exp(rng.uniform(np.log(9), np.log(70)))) * oversampling
    step = size * rng.uniform(1.05, 1.5)
    x, y = rng.uniform(-size, 0.3 * shape[1]), rng.uniform(-0.5, 1) * size
    if rng.random() < 0.5:
        sheet = Image.new("L", (shape[1], shape[0]))
        draw = ImageDraw.Draw(sheet)
        bold = int(rng.uniform(0, 0.05) * size)
        while y < shape[0]:
            draw.text((x, y), _words(rng), fill=255, font=_font(max(4, int(size))), stroke_width=bold)
            y += step
        return np.array(sheet)
    mask = np.zeros(shape, np.uint8)
    face, scale = HERSHEY[rng.integers(len(HERSHEY))], size / 33
    thickness = max(1, round(size * rng.uniform(0.04, 0.11)))
    while y < shape[0]:
        plain = _words(rng).encode("ascii", "ignore").decode()
        cv2.putText(mask, plain, (int(x), int(y + size)), face, scale, 255, thickness, cv2.LINE_AA)
        y += step
    return mask


def _drawing(shape: tuple[int, int], oversampling: int, rng: np.random.Generator) -> np.ndarray:
    """Strokes, hatching and rules of a pen drawing or an engraving."""
    mask = np.zeros(shape, np.uint8)
    point = lambda: (int(rng.uniform(-0.2, 1.2) * shape[1]), int(rng.uniform(-0.2, 1.2) * shape[0]))  # noqa: E731
    width = max(1, round(rng.uniform(0.6, 3) * oversampling))
    for _ in range(int(rng.integers(2, 7))):
        kind = rng.integers(3)
        if kind == 0:
            cv2.line(mask, point(), point(), 255, width, cv2.LINE_AA)
        elif kind == 1:
            axes = (int(rng.uniform(0.05, 0.5) * shape[1]), int(rng.uniform(0.05, 0.5) * shape[0]))
            cv2.ellipse(mask, point(), axes, rng.uniform(0, 180), 0, rng.uniform(90, 360), 255, width, cv2.LINE_AA)
        else:
            (x, y), gap, slant = point(), width * rng.uniform(2, 4), rng.uniform(-1, 1)
            length = rng.uniform(0.1, 0.5) * shape[0]
            for i in range(int(rng.integers(4, 14))):
                start = (int(x + i * gap), y)
                cv2.line(mask, start, (int(start[0] + slant * length), int(y + length)), 255, width, cv2.LINE_AA)
    return mask
