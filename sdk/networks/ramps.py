"""Dithers of a few tones that are no even greys, such as the four greens of a handheld console: made even, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdk.images import from_unit
from sdk.networks.palette_room import find_palette

MOST = 16
"""Tones; networks for palettes know dithers of so many even levels."""
FALLS = 0.2
"""How much of what channels rise from tone to tone others may fall: blue falls between the two middle greens of a console by a tenth."""
MOST_JUMPS = 0.05
"""Share of the changes between neighbours that leave out a tone, at edges; of dithers to the colours of a photograph 0.07 to 0.8."""


@dataclass(frozen=True)
class Ramp:
    """A picture in a few tones."""

    colors: np.ndarray
    """N x 1 or N x 3 uint8, from dark to light."""
    greys: np.ndarray
    """uint8 HxW: the picture with k / (N - 1) of white for the k-th tone."""

    def between(self, greys: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """float32 HxW in [0, 1], what ``greys`` became restored -> the tones between, of the given dtype."""
        places = np.linspace(0, 1, len(self.colors))
        planes = [np.interp(greys, places, channel / 255) for channel in self.colors.T]
        tones = planes[0] if len(planes) == 1 else np.dstack(planes)
        return from_unit(tones.astype(np.float32), dtype)


def find_ramp(pixels: np.ndarray) -> Ramp | None:
    """HxW or HxWx3 in even greys, if its tones are 3 to ``MOST`` on a ramp, and no even greys already."""
    found = find_palette(pixels)
    if found is None or not 3 <= len(found[0]) <= MOST:
        return None
    colors = np.rint(found[0] * 255).astype(int)
    order = np.argsort(colors.sum(axis=1), kind="stable")
    colors, places = colors[order], np.argsort(order)[found[1]]
    steps, even = np.diff(colors, axis=0), np.rint(np.linspace(0, 255, len(colors)))
    falls = -steps[steps < 0].sum() > FALLS * steps[steps > 0].sum()
    if falls or np.abs(colors - even[:, None]).max() <= 1 or not _steps_along(places):
        return None
    return Ramp(colors.astype(np.uint8), even.astype(np.uint8)[places])


def _steps_along(places: np.ndarray) -> bool:
    """Whether neighbours that differ are nearly always of tones that follow each other; colours of a palette are mixed as they come."""
    steps = [np.abs(np.diff(places, axis=axis)) for axis in (0, 1)]
    jumps, changes = (sum(int(np.count_nonzero(step > least)) for step in steps) for least in (1, 0))
    return jumps < MOST_JUMPS * changes
