"""Take away what a network left of a screen: faint waves at the frequencies where the input's screen had its peaks.

For each peak the picture is demodulated (the wave becomes a slowly varying amplitude), smoothed, and the wave is
subtracted: a narrow notch, local, and linear but for two limits. Edges and lettering hold such frequencies too, but much
more strongly than a residue: amplitudes far above the usual are left alone, and so is what lies near edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sdk.analysis.spectrum import Peak, peaks, power_spectrum

LEAST = 12.0
"""dB; a peak of the input that stands out less is no screen's."""
SPREAD = 18.0
"""dB; beside a clear screen, what stands out so much less than it are rows of text and the like."""
MOST_PEAKS = 6
PERIODS = (1.5, 16.0)
"""px; where screens that a network restores have their peaks."""
LEVELS = 3
"""The picture is halved so often before amplitudes are smoothed: their detail is about 2^LEVELS px."""
MIRRORED = 12 / 256
"""Cycles/px between a frequency and its negative, modulo 1: nearer ones (lines of 2 px) are one wave to the demodulation,
which would then take it away twice."""
LIMIT = 3 / 255
"""Amplitude that a residue may have; what is well above it is taken for picture."""

BLANK = 0.5 / 255
"""Deviation of the detail around a place, below which it holds nothing: what is usual is not told by blank paper."""
BUSY = 45 / 255
"""Deviation of the detail around a place, above which it holds lettering or hard edges: their ringing would be worse than a residue."""


def screen_frequencies(grey: np.ndarray) -> list[Peak]:
    """The strongest screen peaks of a picture (HxW, 0..255), at least three bins apart, and ``MIRRORED`` from their negatives."""
    spectrum = power_spectrum(grey)
    found = [] if spectrum is None else peaks(spectrum, 4 * MOST_PEAKS, PERIODS)
    least = max([LEAST, *(peak.prominence - SPREAD for peak in found[:1])])
    chosen: list[Peak] = []
    for peak in found:
        far = all(max(abs(peak.row - other.row), abs(peak.column - other.column)) >= 3 for other in chosen)
        if peak.prominence >= least and far and _to_negative(peak) >= MIRRORED and len(chosen) < MOST_PEAKS:
            chosen.append(peak)
    return chosen


def _to_negative(peak: Peak) -> float:
    """Cycles/px from a peak's frequency to its negative."""
    twice = 2 * np.array(peak.frequency)
    return float(np.hypot(*(twice - np.round(twice))))


def remove_residue(picture: np.ndarray, found: Sequence[Peak]) -> np.ndarray:
    """float32 HxW or HxWx3 in [0, 1]; the waves of all peaks are estimated in the picture as it is, then subtracted."""
    if not found or min(picture.shape[:2]) < 2 ** (LEVELS + 2):
        return picture
    cleaned = picture.copy()
    for plane in [cleaned] if picture.ndim == 2 else [cleaned[..., c] for c in range(3)]:
        detail = plane - cv2.GaussianBlur(plane, (0, 0), 3)
        energy = smooth(detail * detail)
        quiet, held = 1 / (1 + (energy / BUSY**2) ** 3), energy > BLANK**2
        if held.any():
            for peak in found:
                plane -= _wave(detail, quiet, held, *peak.frequency)
    return cleaned


def _wave(detail: np.ndarray, quiet: np.ndarray, held: np.ndarray, down: float, across: float) -> np.ndarray:
    """The part of a picture near one frequency (cycles/px), where its amplitude is a residue's, of what is usual where the picture holds
    something, and the picture is quiet."""
    cosine, sine = _carrier(detail.shape, down, across)
    real, imaginary = smooth(detail * cosine), -smooth(detail * sine)
    amplitude = 2 * np.hypot(real, imaginary)
    usual = min(3 * float(np.percentile(amplitude[held], 90)), LIMIT) + 1e-6
    share = 2 * quiet / (1 + (amplitude / usual) ** 4)
    return _enlarge(real * share, detail.shape) * cosine - _enlarge(imaginary * share, detail.shape) * sine


def _carrier(shape: tuple[int, ...], down: float, across: float) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of a frequency, cycles/px."""
    y, x = (np.exp(2j * np.pi * f * np.arange(n)).astype(np.complex64) for f, n in zip((down, across), shape))
    carrier = y[:, None] * x
    return carrier.real, carrier.imag


def amplitude_of(detail: np.ndarray, peak: Peak) -> np.ndarray:
    """Of the wave of a peak in a plane without its low frequencies; a pixel for 2^LEVELS x 2^LEVELS px."""
    cosine, sine = _carrier(detail.shape, *peak.frequency)
    return 2 * np.hypot(smooth(detail * cosine), smooth(detail * sine))


def smooth(plane: np.ndarray) -> np.ndarray:
    """Its means around every place; a pixel for 2^LEVELS x 2^LEVELS px."""
    for _ in range(LEVELS):
        plane = cv2.pyrDown(plane)
    return cv2.GaussianBlur(plane, (0, 0), 1)


def _enlarge(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixel i lies where ``smooth`` took it from, at 2^LEVELS i."""
    to_small = np.eye(2, 3, dtype=np.float32) / 2**LEVELS
    return cv2.warpAffine(plane, to_small, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
