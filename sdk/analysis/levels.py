"""Few levels or few colours: palettes and bit depths."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sdk.files.few_colors import color_codes, colors_of

MOST_COLORS = 256
"""A picture of more colours has no palette."""
GREY_GAP = 4
"""Grey levels of a palette lie this far apart (of 255) or more; every 8-bit grey photograph has at most 256 levels, without gaps."""
MOSTLY = 0.98
"""Share of the pixels whose levels and colours say what a picture is; the rest may be a caption, a stamp, a stray pixel."""
SMEARED = 0.1
"""How far from the ends levels may lie that were black and white, as a share of the range."""
BLOCK = 32
"""px; what is measured block by block."""


def level_counts(planes: Sequence[np.ndarray]) -> np.ndarray:
    """How often each of the 256 values occurs in uint8 planes."""
    return np.sum([np.bincount(plane.ravel(), minlength=256) for plane in planes], axis=0)


def busy_level_counts(planes: Sequence[np.ndarray]) -> np.ndarray:
    """``level_counts`` of the pixels that lie in no 3 x 3 px of one value: of dots and edges; of all, where there is no such pixel."""
    square = np.ones((3, 3), np.uint8)
    flat = ((cv2.erode(plane, square) == cv2.dilate(plane, square)).astype(np.uint8) for plane in planes)
    busy = [plane[cv2.dilate(centres, square) == 0] for plane, centres in zip(planes, flat)]
    return level_counts(busy if any(part.size for part in busy) else planes)


def distinct_levels(planes: Sequence[np.ndarray]) -> np.ndarray:
    """The values that occur in uint8 planes, ascending."""
    return np.flatnonzero(level_counts(planes))


def distinct_colors(windows: Sequence[np.ndarray]) -> np.ndarray | None:
    """The colours of uint8 HxWx3 windows, N x 3 and ascending; None if they are more than ``MOST_COLORS``."""
    few = np.concatenate([color_codes(window.reshape(-1, 3)[::61]) for window in windows])  # suffices to tell most photographs
    if np.unique(few).size > MOST_COLORS:
        return None
    seen = np.zeros(1 << 24, bool)
    for window in windows:
        seen[color_codes(window.reshape(-1, 3))] = True
    codes = np.flatnonzero(seen)
    return colors_of(codes) if codes.size <= MOST_COLORS else None


def is_toned(colors: np.ndarray) -> bool:
    """Whether colours (N x 3) are those of a grey photograph that was toned: one channel tells the others, nearly, and they follow it."""
    distinct = [np.unique(channel).size for channel in colors.T]
    if max(distinct) < 0.5 * len(colors):
        return False
    ordered = colors[np.argsort(colors[:, int(np.argmax(distinct))], kind="stable")]
    steps = np.abs(np.diff(ordered, axis=0))
    steps[steps <= 2] = 0  # by rounding
    return bool((steps.sum(axis=0) <= 1.6 * np.ptp(ordered, axis=0)).all())


def are_two_smeared(levels: np.ndarray) -> bool:
    """Whether more than two levels (ascending) lie near the two ends, as JPEG coding of high quality leaves black and white."""
    first, last = levels[0], levels[-1]
    return levels.size > 2 and last > first and bool((np.minimum(levels - first, last - levels) <= SMEARED * (last - first)).all())


def regular_grid(levels: np.ndarray) -> int | None:
    """n, if the levels (ascending, of 255) lie on a regular grid of n = 3..32 or 64 from black: k 255 / (n - 1), or k 256 / n of kept bits.

    The smallest such n; None where they lie on none.
    """
    if not 3 <= levels.size <= 64:
        return None
    fine = (64,) if levels.size > 16 else ()  # so fine a grid holds a few levels by chance
    for count in (*range(3, 33), *fine):
        steps = [255 / (count - 1)]
        if count in (4, 8, 16, 32, 64) and levels[-1] < 254:
            steps += [256 / count, 255 / count]  # bits kept of 8, and of 16
        if any(np.abs(levels - step * np.round(levels / step)).max() <= 0.6 for step in steps):
            return count
    return None


def block_means(values: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Means of block x block px (of what there is, where the picture is smaller); float32."""
    down, across = max(1, values.shape[0] // block), max(1, values.shape[1] // block)
    cut = values[: max(down * block, 1) if values.shape[0] >= block else None, : across * block if values.shape[1] >= block else None]
    return cv2.resize(cut.astype(np.float32), (across, down), interpolation=cv2.INTER_AREA)
