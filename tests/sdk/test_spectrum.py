"""``sdk.analysis.spectrum``: peaks are where screens put them, to a fraction of a bin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.analysis.spectrum import background, level_at, peaks, power_spectrum
from sdk.halftoning.thresholds import am_screen


def wave(period: float, angle: float, height: int = 300, width: int = 340) -> np.ndarray:
    """A sine on a little noise; crests ``period`` px apart, at ``angle`` degrees."""
    y, x = np.mgrid[:height, :width]
    phase = 2 * np.pi * (x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))) / period
    return (128 + 20 * np.sin(phase) + np.random.default_rng(0).normal(0, 4, (height, width))).astype(np.float32)


@given(period=st.floats(2.4, 15.5), angle=st.floats(0, 179.9))
@settings(max_examples=40)
def test_a_wave_is_one_peak_at_its_frequency(period: float, angle: float) -> None:
    spectrum = power_spectrum(wave(period, angle))
    assert spectrum is not None
    (peak,) = peaks(spectrum, count=1)
    down, across = peak.frequency
    found = np.array([down, across]) * (1 if across > 0 or down > 0 else -1)
    expected = np.array([np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))]) / period
    assert min(np.abs(found - expected).max(), np.abs(found + expected).max()) < 0.3 / 256
    assert peak.prominence > 20
    assert level_at(spectrum, peak) == pytest.approx(peak.prominence, abs=0.6)


@pytest.mark.parametrize(("period", "angle"), [(3.3, 20), (5.0, 45), (7.7, 71)])
def test_a_screen_is_two_perpendicular_peaks_of_one_period(period: float, angle: float) -> None:
    dots = (am_screen(400, 400, period, angle) < 0.35).astype(np.float32) * 255
    spectrum = power_spectrum(dots)
    assert spectrum is not None
    first, second = peaks(spectrum, count=2)
    for peak in (first, second):
        assert peak.period == pytest.approx(period, rel=0.01)
    assert abs(np.dot(first.frequency, second.frequency)) < 0.02 / period**2


@pytest.mark.parametrize("cycles", [(0.3, 0.5), (0.5, 0.3), (0.2, 0.0), (0.0, 0.2)], ids=str)
def test_waves_on_the_edges_of_the_spectrum_are_one_peak(cycles: tuple[float, float]) -> None:
    """cycles: down and across, a px. At 0 and 0.5 across, a frequency and its negative stand in the same column."""
    y, x = np.mgrid[:300, :340]
    noise = np.random.default_rng(0).normal(0, 1, x.shape)
    spectrum = power_spectrum((128 + 40 * np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x) + 0.5) + noise).astype(np.float32))
    assert spectrum is not None
    first, second = peaks(spectrum, count=2, periods=(1.42, 16))
    assert first.frequency == pytest.approx(cycles, abs=0.3 / 256)
    assert second.prominence < first.prominence - 15


def test_flat_pictures_have_no_spectrum_and_small_ones_are_mirrored() -> None:
    assert power_spectrum(np.full((300, 300), 90, np.float32)) is None
    small = power_spectrum(wave(5, 30, 60, 80))
    assert small is not None
    assert small.shape == (256, 129)
    assert peaks(small, count=1)[0].period == pytest.approx(5, rel=0.03)


def test_background_is_the_median_around_a_place() -> None:
    spectrum = np.full((256, 129), 10, np.float32)
    spectrum[40, 50] = 60
    assert np.abs(background(spectrum) - 10).max() <= 0.5
    assert peaks(spectrum, count=1)[0].prominence == pytest.approx(50, abs=0.5)
