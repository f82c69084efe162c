"""Dots of the eight colours, coded by JPEG with colour at half size (4:2:0), as it mostly is: found, and brought back.

Brightness is kept at full size, and no two of the eight are equally bright: it tells nearly which colour a dot had. Then dots change colour
where that explains the picture better, one of each 2x2 at a time (iterated conditional modes; Besag, JRSS B 1986), until coding them
anew nearly makes it.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np

from sdk.images import from_unit, is_grey, to_unit

TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""JFIF 1.02: brightness Y and the two differences of colour, these about 0."""
TO_RGB = np.linalg.inv(TO_YCC).astype(np.float32)
COLOURS = np.array(list(product((0, 1), repeat=3)), np.float32)
COLOURS_YCC = COLOURS @ TO_YCC.T
FIRST, LATER = 0.03, 0.15
"""Weight of the differences of colour against brightness: at first, when they are those of several dots, and when those are known."""
SWEEPS = 3
MOST_LEFT = 0.06
"""Root mean square of what the dots leave unexplained, of 1: qualities of 95, 75, 60 leave 0.01, 0.045, 0.055, photographs 0.13 or more."""
LEAST_CHANGE = 0.12
"""Mean difference of neighbours in brightness: dots have 0.2 and more, photographs 0.1 at most."""
PART = 192
"""px; side of the middle part that refuses most pictures."""
REACH = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
"""How a colour at half size is spread over rows, or columns, when it is enlarged again."""
SPREAD = float((REACH**2).sum() ** 2) / 16
"""Sum of the squares of what the colour of one dot adds around it."""


def find_subsampled_dots(pixels: np.ndarray) -> np.ndarray | None:
    """The dots of HxWx3, each channel black or white, in the same dtype; None where there are no such dots."""
    if pixels.dtype == np.bool_ or pixels.ndim == 2 or min(pixels.shape[:2]) < 16:
        return None
    top, left = (max(0, extent - PART) // 4 * 2 for extent in pixels.shape[:2])
    part = to_unit(np.ascontiguousarray(pixels[top : top + PART, left : left + PART]))
    brightness = cv2.transform(part, TO_YCC[:1])
    if np.abs(np.diff(brightness, axis=1)).mean() < LEAST_CHANGE or is_grey(pixels) or _dots(part) is None:
        return None
    dots = _dots(to_unit(pixels))
    return None if dots is None else from_unit(dots, pixels.dtype)


def _dots(picture: np.ndarray) -> np.ndarray | None:
    """float32 HxWx3 in [0, 1] -> 0 or 1 in each channel, if that explains it."""
    chosen = _nearest(cv2.transform(picture, TO_YCC), np.array([1, FIRST, FIRST], np.float32))
    weights = np.array([1, LATER * SPREAD, LATER * SPREAD], np.float32)
    for _ in range(SWEEPS):
        for rows, columns in ((0, 0), (1, 1), (0, 1), (1, 0)):
            places = np.s_[rows::2, columns::2]
            left = cv2.transform(picture - _coded(COLOURS[chosen]), TO_YCC)
            left[..., 1:] = _gathered(left[..., 1:]) / SPREAD
            chosen[places] = _nearest(COLOURS_YCC[chosen[places]] + left[places], weights)
    dots = COLOURS[chosen]
    return dots if np.sqrt(np.square(picture - _coded(dots)).mean()) < MOST_LEFT else None


def _nearest(ycc: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """HxW: which of ``COLOURS`` differs least, by the weighted sum of squares."""
    weighted = COLOURS_YCC * weights
    return np.argmin((weighted * COLOURS_YCC).sum(axis=1) - 2 * ycc @ weighted.T, axis=-1)


def _gathered(left: np.ndarray) -> np.ndarray:
    """For each dot of HxWx2 the sum of what is left unexplained around it, weighted as the dot's own colour is spread there."""
    height, width = left.shape[:2]
    sums = cv2.sepFilter2D(left, -1, REACH, REACH, anchor=(1, 1), borderType=cv2.BORDER_REPLICATE)[::2, ::2] / 4
    return sums.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


def _coded(dots: np.ndarray) -> np.ndarray:
    """float32 HxWx3 after the colours were halved in size and enlarged again."""
    height, width = dots.shape[:2]
    ycc = cv2.copyMakeBorder(cv2.transform(dots, TO_YCC), 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    small = cv2.resize(ycc[..., 1:], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    ycc[..., 1:] = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    return np.clip(cv2.transform(ycc[:height, :width], TO_RGB), 0, 1)
