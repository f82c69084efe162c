"""Where on a page of two levels the dots of a screen stand: only there a network has something to restore.

A network for scans of print greys the white paper of such a page around its letters, and softens these. But how much of the local variance
the two waves of the lattice hold tells dots from letters: in even tones 0.35 and more, in letters, whatever their rows, below 0.05.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sdk.analysis.levels import MOSTLY
from sdk.analysis.spectrum import Peak, level_at, power_spectrum
from sdk.images import to_unit, white_of, widened
from sdk.networks.screen_residue import LEAST, amplitude_of, smooth
from sdk.resizing import resize

DOTS, FAINT_DOTS = 0.15, 0.05
"""Squared amplitude of the weaker wave over the variance around: of dots for certain, and of what beside such belongs to them."""
BLANK = 1e-3
"""Variance; a tenth of a per cent of black on white has less, and no share of it is large."""
GAPS, AROUND = 11, 5
"""Pixels of 2^LEVELS px: what parts of a picture lie apart by, at most, such as at a black sleeve; and what is taken in around them."""
CROSSED, ALIKE = 0.3, 0.1
"""Cosine, and share of the period: how exactly the two waves of a lattice are at right angles, and as long as they should be."""


def keep_what_has_no_dots(restored: np.ndarray, given: np.ndarray, screen: Sequence[Peak], period: float | None) -> np.ndarray:
    """The restoration where the picture (HxW or HxWx3, of the same size) has the screen's dots, with a soft border; else its own pixels.

    ``screen``: the picture's peaks, of which those of about ``period`` (px) count. Pictures of more than two levels, and those without
    clear dots of that screen anywhere, or with some of its dots left outside, are restored as a whole.
    """
    pixels = widened(given)
    lattice = _lattice([peak for peak in screen if period and abs(peak.period - period) < ALIKE * period])
    if not lattice or not has_two_levels(pixels):
        return restored
    plane = to_unit(pixels) if pixels.ndim == 2 else to_unit(pixels).mean(axis=2)
    parts = _screened_parts(plane, lattice)
    if parts is None:
        return restored
    weight = resize(cv2.GaussianBlur(parts, (0, 0), 1), *pixels.shape[:2])
    if _has_screen(np.where(weight > 0, 1, plane), lattice):
        return restored
    weight = weight if pixels.ndim == 2 else weight[..., None]
    mixed = pixels + weight * (restored.astype(np.float32) - pixels)
    return mixed.astype(np.float32) if pixels.dtype == np.float32 else np.rint(mixed).astype(pixels.dtype)


def has_two_levels(pixels: np.ndarray) -> bool:
    """Whether nearly all values are black or white, exactly."""
    return pixels.dtype == np.bool_ or float(np.mean((pixels == 0) | (pixels == white_of(pixels.dtype)))) >= MOSTLY


def _has_screen(plane: np.ndarray, lattice: Sequence[Peak]) -> bool:
    spectrum = power_spectrum(plane * np.float32(255))
    return spectrum is not None and max(level_at(spectrum, peak) for peak in lattice) > LEAST


def _screened_parts(plane: np.ndarray, lattice: Sequence[Peak]) -> np.ndarray | None:
    """float32, 1 where there are dots, a pixel for 2^LEVELS x 2^LEVELS px; None where there are none for certain."""
    detail = plane - cv2.GaussianBlur(plane, (0, 0), 3)
    weaker = np.min([amplitude_of(detail, peak) for peak in lattice], axis=0)
    share = weaker**2 / (smooth(detail * detail) + BLANK)
    faint = cv2.morphologyEx((share > FAINT_DOTS).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((GAPS, GAPS), np.uint8))
    labels = np.asarray(cv2.connectedComponents(faint)[1])
    certain = np.setdiff1d(labels[share > DOTS], [0])
    if not certain.size:
        return None
    parts = np.isin(labels, certain).astype(np.uint8)
    outlines, _ = cv2.findContours(parts, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    parts = cv2.drawContours(parts, outlines, -1, 1, cv2.FILLED)
    return cv2.dilate(parts, np.ones((AROUND, AROUND), np.uint8)).astype(np.float32)


def _lattice(peaks: Sequence[Peak]) -> list[Peak]:
    """The strongest peak, and the strongest of those at right angles to it; of lines there is none."""
    crossed = [peak for peak in peaks[1:] if abs(np.dot(peak.frequency, peaks[0].frequency)) * peak.period * peaks[0].period < CROSSED]
    return [*peaks[:1], *crossed[:1]]
