"""Whether there is dither between the levels of a picture that has more than two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sdk.analysis.levels import block_means, distinct_levels
from sdk.images import from_unit, to_unit

AROUND, WITHIN = 7, 3
"""px; clumps are looked for around each pixel, by the means of smaller squares."""
BOTH = 0.1
"""Share of either level, at least, where clumps are looked for; a tenth and nine tenths have a variance of 0.09."""
ENOUGH = 200
"""Pixels that tell."""
CLUMPED = 0.165
"""What was dithered has fewer clumps."""


@dataclass(frozen=True)
class Dither:
    """Signs of dither, and of colours cut without it; medians over the blocks that are not flat."""

    singles: float
    """Share of pixels that differ from both neighbours; dither 0.1..0.9, contours of a smooth tone below 0.05."""
    roughness: float
    """Second differences over first differences, squared: dither about 3, contours 2, blurred texture below; at the third quartile."""
    contours: float
    """Share of pixels that differ from a neighbour, median over all blocks: photographs of 8 colours 0.09 or more, drawings below 0.05."""


def find_dither(windows: Sequence[np.ndarray]) -> Dither:
    """Look for dither in uint8 HxW or HxWx3 windows."""
    singles: list[np.ndarray] = []
    roughness: list[np.ndarray] = []
    contours: list[np.ndarray] = []
    for window in windows:
        planes = window.astype(np.float32).reshape(*window.shape[:2], -1)
        across, down = np.diff(planes, axis=1), np.diff(planes, axis=0)
        first = (across[1:-1, 1:] ** 2 + down[1:, 1:-1] ** 2).sum(axis=-1)
        second = (np.diff(across, axis=1)[1:-1] ** 2 + np.diff(down, axis=0)[:, 1:-1] ** 2).sum(axis=-1)
        across_differs, down_differs = (across != 0).any(axis=-1), (down != 0).any(axis=-1)
        alone = (across_differs[1:-1, 1:] & across_differs[1:-1, :-1]).astype(np.float32)
        alone += down_differs[1:, 1:-1] & down_differs[:-1, 1:-1]
        differs = (across_differs[1:-1, 1:] | down_differs[1:, 1:-1]).astype(np.float32)
        first, second, alone, differs = (block_means(values) for values in (first, second, alone / 2, differs))
        changing = first > 0
        singles.append(alone[changing])
        roughness.append(second[changing] / first[changing])
        contours.append(differs.ravel())
    shares, ratios = np.concatenate(singles), np.concatenate(roughness)
    if not shares.size:
        return Dither(0.0, 0.0, 0.0)
    return Dither(float(np.median(shares)), float(np.percentile(ratios, 75)), float(np.median(np.concatenate(contours))))


def is_dithered(pixels: np.ndarray) -> bool:
    """Whether HxW or HxWx3 of any accepted dtype have a few levels a channel and, surely, dither between them."""
    clumps = find_clumps([from_unit(to_unit(pixels), np.uint8)])
    return clumps is not None and clumps < CLUMPED


def find_clumps(windows: Sequence[np.ndarray]) -> float | None:
    """How far equal levels of uint8 HxW or HxWx3 lie together: the variance of the means of 3 x 3 px over that of pixels, the median where
    7 x 7 px have two levels of a channel that follow each other.

    Dither of 4 to 16 levels 0.02 to 0.18, half below 0.08, since it keeps tones; white noise, which dithers what is cut, 0.1; cut
    photographs 0.15 to 0.6, half above 0.4: the grain of a photograph is coarser, and contours of a smooth tone are lines.
    None where there are too few such pixels.
    """
    square, found = np.ones((AROUND, AROUND), np.uint8), []
    for channel in range(1 if windows[0].ndim == 2 else 3):
        planes = [np.atleast_3d(window)[..., channel] for window in windows]
        rank = np.zeros(256, np.uint8)
        levels = distinct_levels(planes)
        rank[levels] = np.arange(levels.size)
        for plane in planes:
            place = rank[plane]
            two = cv2.dilate(place, square) - cv2.erode(place, square) == 1
            upper = (place & 1).astype(np.float32)
            variance, of_means = _variance(upper), _variance(cv2.blur(upper, (WITHIN, WITHIN)))
            two &= variance > BOTH * (1 - BOTH)
            inner = np.s_[AROUND:-AROUND, AROUND:-AROUND]
            found.append(of_means[inner][two[inner]] / variance[inner][two[inner]])
    ratios = np.concatenate(found)
    return float(np.median(ratios)) if ratios.size >= ENOUGH else None


def _variance(values: np.ndarray) -> np.ndarray:
    """Around each pixel."""
    mean = cv2.blur(values, (AROUND, AROUND))
    return cv2.blur(values * values, (AROUND, AROUND)) - mean * mean
