"""``sdk.halftoning.thresholds``: matrices, screens and noise by their definitions, on flat tones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.halftoning import halftone, thresholds
from tests.sdk.pictures import flat

# ---- mean tone of flat areas


@pytest.mark.parametrize(
    ("name", "size"),
    [("bayer", 2), ("bayer", 4), ("bayer", 8), ("bayer", 16), ("clustered-dot", 4), ("clustered-dot", 8), ("blue-noise", 32)],
)
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_ordered_dither_keeps_tone_within_one_level(name: str, size: int, grey: int) -> None:
    assert abs(halftone(flat(grey), name, size=size).mean() - grey / 255) <= 1 / size**2


@pytest.mark.parametrize("dot", thresholds.DOTS)
@pytest.mark.parametrize(("angle", "tolerance"), [(20, 0.005), (45, 0.04)])  # at 45 degrees few heights of the dot fall on pixels
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_am_screen_keeps_tone(dot: str, angle: float, tolerance: float, grey: int) -> None:
    assert abs(halftone(flat(grey, 256), "am-screen", dot=dot, angle=angle).mean() - grey / 255) <= tolerance


@pytest.mark.parametrize(("period", "mean_error"), [(3, 0.1), (4, 0.06), (8, 0.03), (12, 0.02)])
def test_screens_of_whole_periods_keep_tone_nearly(period: int, mean_error: float) -> None:
    """Pixels meet few phases of them: by where a screen begins, tones are off by half of what they were else."""
    screens = ({"lpi": 600 / period, "angle": 0, "dot": dot} for dot in thresholds.DOTS)
    errors = [abs(halftone(flat(grey, 96), "am-screen", **screen).mean() - grey / 255) for screen in screens for grey in range(5, 251, 7)]
    assert np.mean(errors) < mean_error


@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255), seed=st.integers(0, 2**32))
def test_white_noise_keeps_tone(grey: int, seed: int) -> None:
    sigmas = 6
    assert abs(halftone(flat(grey, 256), "white-noise", seed=seed).mean() - grey / 255) <= sigmas * 0.5 / 256


# ---- ordered dither and screens


def ranks(threshold: np.ndarray) -> np.ndarray:
    """Thresholds as 0 .. size-1, checking that they are evenly spaced and each occurs once."""
    values = threshold.astype(np.float64) * threshold.size - 0.5
    np.testing.assert_allclose(np.sort(values.ravel()), np.arange(threshold.size), atol=1e-2)
    return values.round().astype(int)


def test_bayer_matrices() -> None:
    assert ranks(thresholds.bayer(2)).tolist() == [[0, 2], [3, 1]]
    assert ranks(thresholds.bayer(4)).tolist() == [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_bayer_is_a_permutation(size: int) -> None:
    assert ranks(thresholds.bayer(size)).shape == (size, size)


@pytest.mark.parametrize("size", range(2, 17))
def test_clustered_dot_is_a_permutation(size: int) -> None:
    assert ranks(thresholds.clustered_dot(size)).shape == (size, size)


@pytest.mark.parametrize("size", range(2, 17))
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_clustered_dot_is_one_connected_dot(size: int, share: float) -> None:
    """A white dot at 25 %, a black one at 75 % (it lies on the corners, so the periodic tile is shifted to its middle)."""
    dot = (
        (thresholds.clustered_dot(size) < 0.25)
        if share == 0.25
        else np.roll(thresholds.clustered_dot(size) > 0.75, (size // 2,) * 2, (0, 1))
    )
    count, _ = cv2.connectedComponents(dot.astype(np.uint8), connectivity=4)
    assert count == 2  # the background and the dot


@pytest.mark.parametrize("dot", ["round", "diamond", "line"])
@pytest.mark.parametrize(("lpi", "dpi", "angle"), [(85, 600, 45), (60, 300, 15), (133, 1200, 75), (100, 600, 0), (75, 600, 108)])
def test_am_screen_has_its_period_and_angle(lpi: float, dpi: float, angle: float, dot: str) -> None:
    """The strongest frequency is lpi/dpi; it lies along the screen's second axis, or its first for dots."""
    size = 512
    white = halftone(flat(110, size), "am-screen", lpi=lpi, dpi=dpi, angle=angle, dot=dot).astype(np.float64)
    window = np.hanning(size)
    spectrum = np.abs(np.fft.fft2((white - white.mean()) * window[:, None] * window[None, :]))
    fy, fx = (np.fft.fftfreq(size)[i] for i in np.unravel_index(spectrum.argmax(), spectrum.shape))
    assert np.hypot(fx, fy) == pytest.approx(lpi / dpi, abs=1 / size)
    found = np.degrees(np.arctan2(-fy, fx))  # y runs down, angles count anticlockwise
    turn = 180 if dot == "line" else 90  # lines lie along the angle, so they repeat at right angles to it
    off = (found - angle - 90 + turn / 2) % turn - turn / 2
    assert abs(off) < np.degrees(dpi / lpi / size)


# ---- noise


def test_blue_noise_is_a_permutation() -> None:
    assert ranks(thresholds.blue_noise(32, 1)).shape == (32, 32)


@pytest.mark.parametrize("level", [0.03, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_blue_noise_has_little_energy_at_low_frequencies(level: float) -> None:
    """Below half its principal frequency (Ulichney), the share that white noise of the same tone would have."""
    size = 64
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    low = (frequency > 0) & (frequency < min(0.25, 0.5 * np.sqrt(min(level, 1 - level))))

    def share(white: np.ndarray) -> float:
        return float(np.mean(np.abs(np.fft.fft2(white)[low]) ** 2) / (size**2 * level * (1 - level)))

    assert share(thresholds.white_noise(size, size, 0) < level) > 0.7
    assert share(thresholds.blue_noise(size, 0) < level) < 0.15


def test_blue_noise_depends_on_its_seed_only() -> None:
    make = thresholds.blue_noise.__wrapped__  # not the cached one
    np.testing.assert_array_equal(make(16, 3), make(16, 3))
    assert (make(16, 3) != make(16, 4)).any()


def test_blue_noise_is_made_once() -> None:
    assert thresholds.blue_noise(16, 5) is thresholds.blue_noise(16, 5)


def test_white_noise_depends_on_its_seed_only() -> None:
    first, again, other = (halftone(flat(128), "white-noise", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
