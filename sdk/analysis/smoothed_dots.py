"""Dots of two levels that were smoothly enlarged, as viewers and web pages do, or blurred: found, and brought back, one pixel each.

They are the two levels that, smoothed again, come nearest to the picture: no other picture is explained by two levels. What enlarged
it shows the old size: between old pixels an interpolation is smoother than on them, so its second differences rise and fall with
their period (Gallagher, "Detection of linear and cubic interpolation in JPEG compressed images", CRV 2005), and a whole picture holds
a whole number of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import cv2
import numpy as np

from sdk.images import MIN_SIDE, from_unit, is_grey, to_unit

FACTORS = (1.2, 4.5)
"""By which pictures are found to be enlarged. Integers of 2 and more are met as repeated pixels, too: ``sdk.analysis.plain_dots``."""
BLUR = 0.8
"""px; it undoes Gaussian blurs from 0.5 to 0.75 px, which is about where dots can no longer be told apart."""
LINES = 512
"""Rows, or columns, in which a period is looked for."""
TREND = 15
"""px; second differences that vary more slowly do so with what is shown."""
CLEAR, PERIODS = 8.0, 3
"""Times the median of all periods: of one to look at; photographs have none but the 8 px of JPEG. And how many are looked at."""
PART, AROUND = 160, 64
"""px at the old size: the side of the part that refuses most pictures, and where it may begin, so that its edges are those of pixels."""
STEPS, STEP = 20, 1.7
"""Of the iteration that undoes a smoothing: each adds so many times what is missing."""
BETWEEN, MOST_BETWEEN = (0.2, 0.8), 0.06
"""The middle between two levels, and the largest share of the dots in it. Photographs have half of theirs there."""
LEAST_CHANGES = 0.1
"""Share of neighbours that differ in dots; letters have less, and would be looked at for nothing."""
WHOLE, MOST_SHARP = 0.9, 0.7
"""Of the range: neighbours that differ by so much are as sharp as can be; and their share among those that differ by a tenth, at most."""
LEAST_SPREAD = 0.25
"""Of the range: how far the levels are apart, at least."""
INSIDE = 0.1
"""Of the range: where hardly a pixel is nearer to an end of it, the levels may be others than black and white."""
AT_AN_END = 0.02
"""Of the range: levels so near an end of it were there before they were coded."""


def find_smoothed_dots(pixels: np.ndarray) -> np.ndarray | None:
    """The dots that HxW or HxWx3 was smoothed or enlarged from, in the same dtype and of two levels in each channel; else None."""
    if pixels.dtype == np.bool_ or min(pixels.shape[:2]) < FACTORS[0] * MIN_SIDE:
        return None
    if pixels.ndim == 3 and is_grey(pixels):
        dots = find_smoothed_dots(np.ascontiguousarray(pixels[..., 0]))
        return None if dots is None else np.repeat(dots[..., None], 3, axis=2)
    planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)
    if any(_is_sharp(plane) for plane in planes):
        return None
    for height, width in _sizes(planes[len(planes) // 2]):
        if all(_has_dots(*_part(plane, height, width)) for plane in planes):
            dots = [found for plane in planes if (found := _dots(to_unit(plane), height, width)) is not None]
            if len(dots) == len(planes):
                return from_unit(np.stack(dots, axis=-1), pixels.dtype).reshape(height, width, *pixels.shape[2:])
    return None


def _is_sharp(plane: np.ndarray) -> bool:
    """Whether most neighbours that differ much do so by the whole range, as beside a caption in dots that nothing smoothed."""
    rows = to_unit(np.ascontiguousarray(plane[:: max(1, len(plane) // LINES)]))
    change = np.abs(np.diff(rows, axis=1)) / max(float(np.ptp(rows)), 1e-6)
    return bool(np.mean(change > WHOLE) > MOST_SHARP * np.mean(change > 1 - WHOLE))


def _sizes(plane: np.ndarray) -> Iterator[tuple[int, int]]:
    """The heights and widths that it may have had. Half: all new pixels lie alike between old ones, and show no period. Its own: it may be
    blurred; last, since doubled dots are blurred squares."""
    extents = plane.shape
    if all(extent % 2 == 0 for extent in extents):
        yield extents[0] // 2, extents[1] // 2
    for height, width in product(_extents(plane.T), _extents(plane)):
        if abs(extents[0] / height * width / extents[1] - 1) <= 0.5 / height + 0.5 / width:  # sizes are rounded
            yield height, width
    yield extents


def _extents(plane: np.ndarray) -> list[int]:
    """What the width may have been."""
    width = plane.shape[1]
    rows = to_unit(np.ascontiguousarray(plane[:: max(1, len(plane) // LINES)]))
    bends = np.abs(rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).mean(axis=0, keepdims=True)
    bends = (bends - cv2.blur(bends, (TREND, 1)))[0] * np.hanning(width - 2)
    strength = np.abs(np.fft.rfft(bends, width))
    strength[: int(width / FACTORS[1] / 2)] = 0
    highest = strength >= cv2.dilate(strength[:, None], np.ones((5, 1), np.uint8))[:, 0]
    clear = np.flatnonzero(highest & (strength > CLEAR * np.median(strength)))
    found = clear[np.argsort(-strength[clear])][:PERIODS]
    # More old pixels than half of the new ones make the same wave as the rest of the new ones.
    return [int(n) for period in found for n in (period, width - period) if FACTORS[0] <= width / n <= FACTORS[1]]


def _part(plane: np.ndarray, height: int, width: int) -> tuple[np.ndarray, int, int]:
    """A part of the middle, float32, and its height and width before: edges of old pixels are there edges of new ones."""
    (top, bottom, old_height), (left, right, old_width) = (_span(new, old) for new, old in zip(plane.shape, (height, width)))
    return to_unit(np.ascontiguousarray(plane[top:bottom, left:right])), old_height, old_width


def _span(new: int, old: int) -> tuple[int, int, int]:
    """Where the part begins and ends along one axis, px, and how many old pixels that is."""
    if old < PART + 3 * AROUND:
        return 0, new, old
    factor = new / old

    def near(edge: int) -> int:
        edges = np.arange(edge, edge + AROUND)
        return int(edges[np.abs(edges * factor - np.round(edges * factor)).argmin()])

    first = near((old - PART) // 2)
    last = near(first + PART)
    return round(first * factor), round(last * factor), last - first


def _has_dots(part: np.ndarray, height: int, width: int) -> bool:
    dots = _dots(part, height, width)
    return dots is not None and float(np.mean(dots[:, 1:] != dots[:, :-1])) > LEAST_CHANGES


def _dots(plane: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """The two levels, float32 height x width, that explain float32 HxW best; None if that is too little."""
    low, high = (float(level) for level in np.percentile(plane[::3, ::5], (1, 99)))
    if high - low < LEAST_SPREAD:
        return None
    dots = _dots_between(plane, 0, 1, height, width)
    return _dots_between(plane, low, high, height, width) if dots is None and (low > INSIDE or high < 1 - INSIDE) else dots


def _dots_between(plane: np.ndarray, low: float, high: float, height: int, width: int) -> np.ndarray | None:
    """The same, where black and white were about ``low`` and ``high``. Smoothed dots need not reach them."""
    share = np.clip((plane - low) / (high - low), 0, 1)
    dots = cv2.resize(share, (width, height), interpolation=cv2.INTER_AREA)
    for _ in range(STEPS):
        missing = cv2.resize(share - _smoothed(dots, share.shape), (width, height), interpolation=cv2.INTER_AREA)
        dots = np.clip(dots + STEP * missing, 0, 1)
    if np.mean((dots > BETWEEN[0]) & (dots < BETWEEN[1])) > MOST_BETWEEN:
        return None
    dots = np.rint(dots)
    return _levels(plane, _smoothed(dots, plane.shape))[dots.astype(np.uint8)]


def _smoothed(dots: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """At the size of the picture."""
    if dots.shape == shape:
        return cv2.GaussianBlur(dots, (0, 0), BLUR)
    return cv2.resize(dots, shape[::-1], interpolation=cv2.INTER_LINEAR)


def _levels(plane: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(2,) float32: black and white, of which the share of white in each pixel explains the plane best."""
    away = share - share.mean()
    slope = float((away * plane).sum() / max(float((away * away).sum()), 1e-6))
    black = float(plane.mean()) - slope * float(share.mean())
    levels = np.clip([black, black + slope], 0, 1)
    return np.where(levels < AT_AN_END, 0, np.where(levels > 1 - AT_AN_END, 1, levels)).astype(np.float32)
