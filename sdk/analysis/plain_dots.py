"""Halftones as networks know them, one pixel a dot, in black and white: of dots that were enlarged or are of two other levels, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sdk.images import MIN_SIDE, white_of
from sdk.resizing import resize

MOST_ENLARGED = 8
"""Edges that all lie so many px apart, or more, are those of a drawing."""
LUMA = (0.299, 0.587, 0.114)
SAMPLED = 64
"""Rows and columns by which most pictures show that they are not plain dots in disguise."""


@dataclass(frozen=True)
class Repetition:
    """Every pixel stands ``times`` x ``times`` times; the first whole ones begin at row ``top``, column ``left``."""

    times: int
    top: int
    left: int

    def undo(self, pixels: np.ndarray) -> np.ndarray:
        """Each pixel once."""
        rows, columns = (self._starts(extent, first) for extent, first in zip(pixels.shape, (self.top, self.left)))
        return np.ascontiguousarray(pixels[rows][:, columns])

    def _starts(self, extent: int, first: int) -> np.ndarray:
        return np.r_[[0] * (first > 0), first : extent : self.times].astype(int)

    def enlarge(self, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        """A picture of the size that ``undo`` gives, smoothly enlarged to the size and place of what it was given."""
        large = resize(pixels, pixels.shape[0] * self.times, pixels.shape[1] * self.times)
        top, left = -self.top % self.times, -self.left % self.times
        return np.ascontiguousarray(large[top : top + height, left : left + width])


def find_repetition(pixels: np.ndarray) -> Repetition | None:
    """How HxW or HxWx3 was enlarged by repeating pixels, if it was."""
    down, top = _spacing(pixels)
    across, left = _spacing(pixels.swapaxes(0, 1)) if down != 1 else (1, 0)
    times = math.gcd(down, across)
    if not 2 <= times <= MOST_ENLARGED or min(pixels.shape[:2]) < times * MIN_SIDE:
        return None
    return Repetition(times, top % times, left % times)


def _spacing(pixels: np.ndarray) -> tuple[int, int]:
    """What divides all distances between rows that are unlike the one before, at most; and the first of these. 0: all are alike."""
    spacing, first = 0, 0
    for seen in (pixels[:, :: max(1, pixels.shape[1] // SAMPLED)], pixels):
        differs = (seen[1:] != seen[:-1]).reshape(len(seen) - 1, -1).any(axis=1)
        rows = np.flatnonzero(differs) + 1
        spacing, first = int(np.gcd.reduce(np.diff(rows))) if rows.size > 1 else 0, int(rows[0]) if rows.size else 0
        if spacing == 1:
            break
    return spacing, first


@dataclass(frozen=True)
class TwoLevels:
    """What takes the place of black and of white in each channel, (C,)."""

    black: np.ndarray
    """Of the pictures' dtype, or float."""
    white: np.ndarray
    two_colours: bool = False
    """Whether the dots of all channels are the same: then one plane tells them."""

    def spread(self, pixels: np.ndarray) -> np.ndarray:
        """Black and white in their places, of the same dtype; HxW of two colours. What lies between goes to the nearer one."""
        if self.two_colours:
            channel = int(np.argmax(self.black != self.white))
            dots = pixels[..., channel] == self.white[channel]
        else:
            dots = pixels > self.black + (self.white - self.black) / 2
        return np.where(dots, white_of(pixels.dtype), 0).astype(pixels.dtype)

    def between(self, pixels: np.ndarray) -> np.ndarray:
        """Tones from black to white -> tones between the two levels, or colours between the two."""
        if self.two_colours:
            pixels = pixels[..., None]
        black, white = (level.astype(np.float32) for level in (self.black, self.white))
        tones = black + pixels * ((white - black) / np.float32(white_of(pixels.dtype)))
        return tones.astype(np.float32) if pixels.dtype == np.float32 else np.rint(tones).astype(pixels.dtype)


def find_two_levels(pixels: np.ndarray) -> TwoLevels | None:
    """The two values of each channel of HxW or HxWx3, where it has no more and they are not black and white already."""
    if pixels.dtype == np.bool_ or (levels := exact_levels(pixels)) is None:
        return None
    low, high = levels
    # A channel of one level has no dots, and stays what it is.
    if (low == high).all() or ((low == 0) & (high == white_of(pixels.dtype)))[low < high].all():
        return None
    return _two_colours(pixels, low, high) or TwoLevels(low, high)


def exact_levels(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The lower and the higher level of each channel of HxW or HxWx3, (C,), where it has no others."""
    return _levels(pixels) if _levels(pixels[:: max(1, len(pixels) // SAMPLED)]) else None


def _levels(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    planes = pixels.reshape(*pixels.shape[:2], -1)
    low, high = planes.min(axis=(0, 1)), planes.max(axis=(0, 1))
    return (low, high) if ((planes == low) | (planes == high)).all() else None


def is_of_two_colours(pixels: np.ndarray) -> bool:
    """Whether HxWx3 has no more."""
    levels = find_two_levels(pixels)
    return levels is not None and levels.two_colours


def _two_colours(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> TwoLevels | None:
    """The darker and the lighter of the only two colours of HxWx3, if it has no more."""
    if pixels.ndim == 2:
        return None
    dots = [pixels[..., channel] == high[channel] for channel in np.flatnonzero(low < high)]
    alike = np.array([np.array_equal(each, dots[0]) for each in dots])
    if not all(same or np.array_equal(each, ~dots[0]) for same, each in zip(alike, dots)):
        return None
    first, second = low.copy(), high.copy()
    turned = np.flatnonzero(low < high)[~alike]
    first[turned], second[turned] = high[turned], low[turned]
    first, second = sorted((first, second), key=lambda colour: float(colour.astype(np.float64) @ LUMA))
    return TwoLevels(first, second, two_colours=True)
