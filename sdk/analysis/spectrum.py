"""The mean power spectrum of a picture, and the peaks that a periodic screen raises in it.

A screen of period P px puts peaks 1/P cycles/px from the centre, along its angle and across it; a photograph's own
spectrum falls smoothly. So a screen is found, and what a restoration left of it is measured, by how far peaks stand above
their surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

BLOCK = 256
FLAT = 4.0
"""Blocks whose standard deviation (of 0..255) is below this say nothing of a screen."""
PERIODS = (2.2, 16.0)
"""px; where screen peaks are looked for."""


@dataclass(frozen=True)
class Peak:
    """One peak: place in the spectrum (row, column, in bins) and dB above its surroundings."""

    row: float
    column: float
    prominence: float
    block: int

    @property
    def frequency(self) -> tuple[float, float]:
        """(down, across) in cycles/px; the half plane across >= 0."""
        down = (self.row + self.block / 2) % self.block - self.block / 2
        return down / self.block, self.column / self.block

    @property
    def period(self) -> float:
        """px."""
        return 1 / float(np.hypot(*self.frequency))


def power_spectrum(grey: np.ndarray, block: int = BLOCK, flat: float = FLAT, chosen_by: np.ndarray | None = None) -> np.ndarray | None:
    """Mean power of Hann-windowed, half-overlapping blocks, dB: float32 block x (block / 2 + 1), zero frequency at [0, 0].

    grey: HxW, 0..255. Blocks that are flatter than ``flat`` (in ``chosen_by``, another HxW picture, if there is one) are left
    out; None where that leaves nothing.
    """
    total, count = np.float32(0), 0
    for power in block_powers(grey, block, flat, chosen_by):
        total, count = total + power, count + 1
    return (10 * np.log10(total / count + 1e-3)).astype(np.float32) if count else None


def block_powers(grey: np.ndarray, block: int = BLOCK, flat: float = FLAT, chosen_by: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The power (not dB) of each block that ``power_spectrum`` takes the mean of.

    A picture smaller than ``block`` is windowed as it is, and padded with its mean: mirrored, it would show every peak a
    second time at the negative angle. Its peaks are as high as those of a whole block.
    """
    sides = [min(block, extent) for extent in grey.shape]
    down, across = (np.hanning(side + 1)[:-1] for side in sides)
    window = (down[:, None] * across * block**2 / (sides[0] * sides[1])).astype(np.float32)
    padded = np.zeros((block, block), np.float32)
    rows, columns = (_starts(extent, side) for extent, side in zip(grey.shape, sides))
    for top in rows:
        for left in columns:
            place = np.s_[top : top + sides[0], left : left + sides[1]]
            part = grey[place].astype(np.float32, copy=False)
            mean, deviation = cv2.meanStdDev(part)
            if chosen_by is not None:
                deviation = cv2.meanStdDev(chosen_by[place])[1]
            if deviation[0, 0] < flat:
                continue
            padded[: sides[0], : sides[1]] = (part - np.float32(mean[0, 0])) * window
            spectrum = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT)[:, : block // 2 + 1]  # an eighth of the time of np.fft
            yield spectrum[..., 0] ** 2 + spectrum[..., 1] ** 2


def _starts(extent: int, block: int) -> list[int]:
    """Half-overlapping blocks that reach both ends."""
    count = 1 + -(-(extent - block) // (block // 2))
    return np.linspace(0, extent - block, count).round().astype(int).tolist()


def background(spectrum: np.ndarray, size: int = 19) -> np.ndarray:
    """The local background of a spectrum in dB: its size x size median, to half a dB."""
    wrapped = np.pad(whole(spectrum), size, mode="wrap")
    low = float(wrapped.min())
    levels = np.clip((wrapped - low) * 2, 0, 255).round().astype(np.uint8)  # OpenCV's large medians take bytes
    median = cv2.medianBlur(levels, size)[size:-size, size:-size]
    return median[:, -spectrum.shape[1] :].astype(np.float32) / 2 + np.float32(low)


def whole(spectrum: np.ndarray) -> np.ndarray:
    """block x (block / 2 + 1) -> block x block, with the negative frequencies before it: columns 1 - block / 2 .. block / 2."""
    negative = np.roll(spectrum[:, 1:-1][::-1, ::-1], 1, axis=0)
    return np.concatenate([negative, spectrum], axis=1)


def peaks(spectrum: np.ndarray, count: int = 2, periods: tuple[float, float] = PERIODS) -> list[Peak]:
    """The ``count`` most prominent local maxima with periods in range, strongest first, placed to a fraction of a bin."""
    block = spectrum.shape[0]
    prominence = spectrum - background(spectrum)
    down = np.fft.fftfreq(block)[:, None]
    across = np.arange(block // 2 + 1)[None, :] / block
    frequency = np.hypot(down, across)
    inside = (frequency >= 1 / periods[1]) & (frequency <= 1 / periods[0])
    inside[block // 2 + 1 :, [0, -1]] = False  # the first column and the last hold every peak twice
    wrapped = np.pad(spectrum, ((2, 2), (0, 0)), mode="wrap")
    wrapped = np.pad(wrapped, ((0, 0), (2, 2)), mode="reflect")
    highest = cv2.dilate(wrapped, np.ones((5, 5), np.uint8))[2:-2, 2:-2]
    candidates = np.argwhere(inside & (spectrum >= highest))
    order = sorted(candidates.tolist(), key=lambda place: -prominence[place[0], place[1]])[:count]
    return [_refine(spectrum, row, column, float(prominence[row, column])) for row, column in order]


def _refine(spectrum: np.ndarray, row: int, column: int, prominence: float) -> Peak:
    """Parabola through the logarithms of three neighbours along each axis."""
    block, width = spectrum.shape
    here = spectrum[row, column]
    down = vertex_offset(spectrum[row - 1, column], here, spectrum[(row + 1) % block, column])
    beside = spectrum[row, column - 1] if column else spectrum[-row, 1]
    beyond = spectrum[row, column + 1] if column + 1 < width else spectrum[-row, column - 1]
    return Peak(row + down, column + vertex_offset(beside, here, beyond), prominence, block)


def vertex_offset(before: float, here: float, after: float) -> float:
    """Where the parabola through three neighbours has its top, -0.5..0.5 from the middle one; 0 where it has none."""
    curve = before - 2 * here + after
    return 0.0 if curve >= 0 else float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5))


def level_at(spectrum: np.ndarray, peak: Peak) -> float:
    """dB above the local background at a peak's place (the highest of 3x3 bins)."""
    prominence = spectrum - background(spectrum)
    row, column = round(peak.row) % peak.block, round(peak.column)
    rows = [(row + i) % peak.block for i in (-1, 0, 1)]
    columns = [c for c in (column - 1, column, column + 1) if 0 <= c < prominence.shape[1]]
    return float(prominence[np.ix_(rows, columns)].max())
