"""Dithers of a few tones that are no even greys, such as the four greens of a handheld console: made even, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdk.analysis.levels import distinct_colors, distinct_levels
from sdk.files.few_colors import color_codes
from sdk.images import as_8_bits, from_unit

MOST = 16
"""Tones; networks for palettes know dithers of so many even levels."""
FALLS = 0.2
"""How much of what channels rise from tone to tone others may fall: blue falls between the two middle greens of a console by a tenth."""
MOST_JUMPS = 0.05
"""Share of the changes between neighbours that leave out a tone, at edges; of dithers to the colours of a photograph 0.07 to 0.8."""


@dataclass(frozen=True)
class Ramp:
    """The tones, N x 1 or N x 3 uint8, from dark to light."""

    colors: np.ndarray

    def spread(self, pixels: np.ndarray) -> np.ndarray:
        """A picture of these tones -> uint8 HxW, the k-th tone as k / (N - 1) of white."""
        levels = as_8_bits(pixels)
        assert levels is not None, "a ramp is found in pictures of 8 bits"
        return np.rint(np.linspace(0, 255, len(self.colors))).astype(np.uint8)[_places(levels, self.colors)]

    def between(self, greys: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """float32 HxW in [0, 1], what ``spread`` gave restored -> the tones between, of the given dtype."""
        places = np.linspace(0, 1, len(self.colors))
        planes = [np.interp(greys, places, channel / 255) for channel in self.colors.T]
        tones = planes[0] if len(planes) == 1 else np.dstack(planes)
        return from_unit(tones.astype(np.float32), dtype)


def find_ramp(pixels: np.ndarray) -> Ramp | None:
    """The tones of HxW or HxWx3, if they are 3 to ``MOST`` on a ramp, and no even greys already."""
    levels = as_8_bits(pixels)
    if levels is None:
        return None
    colors = distinct_levels([levels])[:, None] if levels.ndim == 2 else distinct_colors([levels])
    if colors is None or not 3 <= len(colors) <= MOST:
        return None
    colors = colors[np.argsort(colors.sum(axis=1, dtype=int), kind="stable")]
    steps = np.diff(colors.astype(int), axis=0)
    even = np.rint(np.linspace(0, 255, len(colors)))[:, None]
    if -steps[steps < 0].sum() > FALLS * steps[steps > 0].sum() or np.abs(colors - even).max() <= 1:
        return None
    return Ramp(colors.astype(np.uint8)) if _steps_along(_places(levels, colors)) else None


def _places(levels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Which of the colours each pixel has, HxW."""
    codes, own = (color_codes(levels), color_codes(colors)) if levels.ndim == 3 else (levels, colors[:, 0])
    order = np.argsort(own)
    return order[np.searchsorted(own[order], codes)]


def _steps_along(places: np.ndarray) -> bool:
    """Whether neighbours that differ are nearly always of tones that follow each other; colours of a palette are mixed as they come."""
    steps = [np.abs(np.diff(places, axis=axis)) for axis in (0, 1)]
    jumps, changes = (sum(int(np.count_nonzero(step > least)) for step in steps) for least in (1, 0))
    return jumps < MOST_JUMPS * changes
