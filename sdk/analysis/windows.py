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


def choose_windows(pixels: np.ndarray, count: int = WINDOWS) -> list[np.ndarray]:
    """Those windows of a picture that look most like halftone, which may be a small part of a page of text."""
    height, width = pixels.shape[:2]
    step = max(4, height * width // MOST_PIXELS)
    rows = pixels[step // 2 :: step]
    rows = from_unit(to_unit(rows[..., 1] if rows.ndim == 3 else rows), np.uint8)
    # Dots go up and down many times more often than letters and photographs do.
    slope = np.diff(rows.astype(np.int16), axis=1)
    turns = ((slope[:, 1:] > NOISE) & (slope[:, :-1] < -NOISE)) | ((slope[:, 1:] < -NOISE) & (slope[:, :-1] > NOISE))
    cells = (max(1, width // CELL), max(1, height // CELL))
    density = cv2.resize(turns.astype(np.float32), cells, interpolation=cv2.INTER_AREA)
    side = (min(WINDOW // CELL, cells[1]), min(WINDOW // CELL, cells[0]))
    sums = cv2.boxFilter(density, -1, side[::-1], anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
    sums = sums[: cells[1] - side[0] + 1, : cells[0] - side[1] + 1]
    windows = []
    for _ in range(count):
        if sums.max() < 0:
            break
        row, column = (int(i) for i in np.unravel_index(int(sums.argmax()), sums.shape))
        top, left = min(row * CELL, max(0, height - WINDOW)), min(column * CELL, max(0, width - WINDOW))
        windows.append(np.ascontiguousarray(pixels[top : top + WINDOW, left : left + WINDOW]))
        sums[max(0, row - side[0] + 1) : row + side[0], max(0, column - side[1] + 1) : column + side[1]] = -1
    return windows
