"""Parts of a large page to judge it by, at full resolution: those that look most like halftone."""

from __future__ import annotations

import cv2
import numpy as np

from sdk.images import from_unit, to_unit

MOST_PIXELS = 2_100_000
"""A larger picture is judged by windows."""
WINDOW, CELL, WINDOWS = 512, 64, 8
"""Side of a window and of the cells it is placed by, px; how many there are."""
NOISE = 4
"""Levels (of 255); smaller ups and downs are noise."""
QUARTER = 4
"""How far it is reduced: soft dots of 12 px and more rise and fall too slowly to be seen from pixel to pixel, but not then."""


def choose_windows(pixels: np.ndarray, count: int = WINDOWS, extent: int = WINDOW) -> list[np.ndarray]:
    """Those windows of a picture, of ``extent`` px, that look most like halftone, which may be a small part of a page of text.

    The lesser half of them look so in a copy of a quarter of the size.
    """
    height, width = pixels.shape[:2]
    cells = (max(1, height // CELL), max(1, width // CELL))
    side = (min(extent // CELL, cells[0]), min(extent // CELL, cells[1]))
    taken = np.zeros((cells[0] - side[0] + 1, cells[1] - side[1] + 1), bool)
    windows = []
    for sample, share in ((_rows, count - count // 2), (_quarter, count // 2)):
        if share == 0:
            break
        density = cv2.resize(_extrema(sample(pixels)), cells[::-1], interpolation=cv2.INTER_AREA)
        sums = cv2.boxFilter(density, -1, side[::-1], anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
        sums = sums[: taken.shape[0], : taken.shape[1]]
        for _ in range(share):
            if taken.all():
                return windows
            row, column = (int(i) for i in np.unravel_index(int(np.where(taken, -1, sums).argmax()), sums.shape))
            top, left = min(row * CELL, max(0, height - extent)), min(column * CELL, max(0, width - extent))
            windows.append(np.ascontiguousarray(pixels[top : top + extent, left : left + extent]))
            taken[max(0, row - side[0] + 1) : row + side[0], max(0, column - side[1] + 1) : column + side[1]] = True
    return windows


def _extrema(grey: np.ndarray) -> np.ndarray:
    """float32 HxW: 1 where uint8 rows turn up or down. Dots make them do so many times more often than letters and photographs do."""
    if grey.shape[1] < 3:
        return np.zeros(grey.shape, np.float32)
    slope = np.diff(grey.astype(np.int16), axis=1)
    turns = ((slope[:, 1:] > NOISE) & (slope[:, :-1] < -NOISE)) | ((slope[:, 1:] < -NOISE) & (slope[:, :-1] > NOISE))
    return turns.astype(np.float32)


def _rows(pixels: np.ndarray) -> np.ndarray:
    """uint8: some rows of it, as they are."""
    step = max(4, pixels.shape[0] * pixels.shape[1] // MOST_PIXELS)
    return from_unit(to_unit(_green(pixels[step // 2 :: step])), np.uint8)


def _quarter(pixels: np.ndarray) -> np.ndarray:
    """uint8: the whole of it, smaller."""
    plane = _green(pixels)
    if plane.dtype == bool:
        plane = plane.view(np.uint8) * np.uint8(255)
    small = cv2.resize(plane, None, fx=1 / QUARTER, fy=1 / QUARTER, interpolation=cv2.INTER_AREA)
    return from_unit(to_unit(small), np.uint8)


def _green(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., 1]) if pixels.ndim == 3 else pixels
