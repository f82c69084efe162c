"""Few levels or few colours: palettes, bit depths, and whether there is dither between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
"""px; dither is looked for block by block, since it shows where the photograph is smooth."""


@dataclass(frozen=True)
class Dither:
    """Signs of dither, and of colours cut without it; medians over the blocks that are not flat."""

    singles: float
    """Share of pixels that differ from both neighbours; dither 0.1..0.9, contours of a smooth tone below 0.05."""
    roughness: float
    """Second differences over first differences, squared: dither about 3, contours 2, blurred texture below; at the third quartile."""
    contours: float
    """Share of pixels that differ from a neighbour, median over all blocks: photographs of 8 colours 0.09 or more, drawings below 0.05."""


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


def block_means(values: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """Means of block x block px (of what there is, where the picture is smaller); float32."""
    down, across = max(1, values.shape[0] // block), max(1, values.shape[1] // block)
    cut = values[: max(down * block, 1) if values.shape[0] >= block else None, : across * block if values.shape[1] >= block else None]
    return cv2.resize(cut.astype(np.float32), (across, down), interpolation=cv2.INTER_AREA)
