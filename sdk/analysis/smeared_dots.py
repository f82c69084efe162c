"""Dots that JPEG coding, noise or a little smoothing changed, but hardly one of them so much that it may have been either: cut to two
levels, they are what they were."""

from __future__ import annotations

import cv2
import numpy as np

from sdk.analysis.plain_dots import SAMPLED, TwoLevels
from sdk.images import to_unit, white_of

BETWEEN, MOST_BETWEEN = (0.3, 0.7), 0.08
"""The middle between two smeared levels, and the largest share of the dots in it. JPEG of quality 20 leaves a twentieth there; where dots
were smoothed by 0.5 px or moved by half a pixel it is more, and which side they were on cannot be told any more."""
LEAST_SPREAD = 0.25
"""Of the range: how far the levels are apart, at least."""
EXACT = 0.95
"""Share of the dots that have one of two values where nothing smeared them, and something else has the others: a mat, a caption."""
STILL, AT_THE_ENDS, OTHERS = 0.05, 0.06, 0.005
"""Of the spread: what 3x3 px of one tone differ by, and how near black or white they are; the largest share of the picture that is of
another tone, and would be lost."""
TONE, LEAST_SHARE = 16, 0.05
"""px over which tones are measured, and how much their shares of white must differ to tell black from white."""
CLIPPED, AT_THE_END = 0.2, 0.01
"""Share of the black dots that are 0 where black was: what smeared them would have gone beyond. Or how near it is by their mean."""


def find_smeared_levels(pixels: np.ndarray) -> TwoLevels | None:
    """What the two levels of each channel of HxW or HxWx3 were, where they were smeared. Photographs and text have two such, too."""
    if pixels.dtype == np.bool_:
        return None
    top = white_of(pixels.dtype)
    rows = pixels[:: len(pixels) // SAMPLED | 1]
    if ((rows == 0) | (rows == top)).all():
        return None
    ends = []
    for plane in np.moveaxis(np.atleast_3d(pixels), -1, 0):
        if (found := _ends(plane)) is None:
            return None
        ends.append(found)
    black, white = (np.array(levels) * top for levels in zip(*ends))
    return TwoLevels(black, white)


def _ends(plane: np.ndarray) -> tuple[float, float] | None:
    """What black and white of HxW were, in [0, 1]."""
    rows = to_unit(plane[:: len(plane) // SAMPLED | 1])
    low, high = (float(level) for level in np.percentile(rows, (1, 99)))
    spread = high - low
    if spread < LEAST_SPREAD or _between(rows, low, spread) > MOST_BETWEEN:
        return None
    plane = to_unit(plane)
    square = np.ones((3, 3), np.uint8)
    around = cv2.dilate(plane, square) - cv2.erode(plane, square)
    dots = plane[around > spread / 2]
    if not dots.size or _between(dots, low, spread) > MOST_BETWEEN or _is_exact(dots, low + spread / 2):
        return None
    place = (plane - low) / spread
    others = (around < STILL * spread) & (place > AT_THE_ENDS) & (place < 1 - AT_THE_ENDS)
    return None if others.mean() > OTHERS else _fitted(plane, low, high)


def _between(values: np.ndarray, low: float, spread: float) -> float:
    """Share of values that may have been either."""
    place = (values - low) / spread
    return float(np.mean((place > BETWEEN[0]) & (place < BETWEEN[1])))


def _is_exact(dots: np.ndarray, middle: float) -> bool:
    """Whether nearly all have one of two values."""
    common = 0
    for side in (dots[dots <= middle], dots[dots > middle]):
        common += np.unique(side, return_counts=True)[1].max(initial=0)
    return common >= EXACT * dots.size


def _fitted(plane: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Black and white under which the dots have the tones of the picture, since what smears dots keeps the mean of tones."""
    dots = plane > (low + high) / 2
    black, white = low, high
    size = [max(1, extent // TONE) for extent in plane.shape[::-1]]
    share, tone = (cv2.resize(each.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel() for each in (dots, plane))
    away = share - share.mean()
    if away.std() > LEAST_SHARE:  # else the picture is of one tone
        slope = float(away @ tone / (away @ away))
        black = float(tone.mean() - slope * share.mean())
        white = black + slope
    if black < AT_THE_END or np.mean(plane[~dots] <= 0) > CLIPPED:
        black = 0.0
    if white > 1 - AT_THE_END or np.mean(plane[dots] >= 1) > CLIPPED:
        white = 1.0
    return black, white
