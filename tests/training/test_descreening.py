"""Measures without a truth: they must rise and fall with what they claim to measure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sdk.analysis.spectrum import power_spectrum
from sdk.halftoning.thresholds import am_screen
from training.descreening import acutance, notch, residual, screen_peaks


@pytest.fixture(scope="module")
def scan(photo: np.ndarray) -> np.ndarray:
    """A soft screen of 3.4 px at 37 degrees over a photograph."""
    screen = am_screen(*photo.shape, 3.4, 37)
    dots = np.clip((photo / 255 - screen) / 0.5 + 0.5, 0, 1).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 2, photo.shape)
    return np.rint(np.clip(cv2.GaussianBlur(dots, (0, 0), 0.7) * 255 + noise, 0, 255)).astype(np.uint8)


def test_photographs_have_no_screen(photo: np.ndarray, scan: np.ndarray) -> None:
    assert screen_peaks(photo) == []
    assert [peak.period for peak in screen_peaks(scan)] == pytest.approx([3.4, 3.4], rel=0.02)


def test_residual_of_the_scan_is_its_peak_and_a_blur_does_not_lower_it(scan: np.ndarray) -> None:
    found = screen_peaks(scan)
    before = residual(scan, scan, found)
    assert before == pytest.approx(max(peak.prominence for peak in found), abs=0.5)
    assert residual(scan, cv2.GaussianBlur(scan, (0, 0), 0.6), found) > before - 8


def test_residual_of_the_photograph_is_small(photo: np.ndarray, scan: np.ndarray) -> None:
    assert residual(scan, photo, screen_peaks(scan)) < 8


def test_notch_removes_the_peaks_and_keeps_edges(photo: np.ndarray, scan: np.ndarray) -> None:
    found = screen_peaks(scan)
    notched = notch(scan)
    assert notched.shape == scan.shape
    assert notched.dtype == np.uint8
    assert residual(scan, notched, found) < 8
    assert acutance(scan, notched, found) > 1.2
    assert np.abs(notched.astype(int) - photo).mean() < np.abs(scan.astype(int) - photo).mean()


def test_notch_takes_colour_and_flat_pictures(scan: np.ndarray) -> None:
    colour = notch(np.repeat(scan[..., None], 3, axis=2))
    assert np.array_equal(colour[..., 0], notch(scan))
    flat = np.full((64, 64), 100, np.uint8)
    assert np.array_equal(notch(flat), flat)


def test_flat_parts_of_the_restored_picture_count(photo: np.ndarray, scan: np.ndarray) -> None:
    """What is left of a screen shows nowhere better than where nothing else is left."""
    left = photo.copy()
    left[:, :400] = np.rint(140 + 0.03 * (scan[:, :400].astype(np.float32) - 140))
    assert power_spectrum(left[:, :400]) is None, "blocks there are flat"
    found = screen_peaks(scan)
    assert residual(scan, left, found) > residual(left, left, found) + 1


def test_notches_leave_alone_what_is_protected() -> None:
    x = np.arange(400)
    waves = [40 * np.sin(2 * np.pi * x / period) for period in (12, 24)]
    scan = np.rint(128 + waves[0] + waves[1]).astype(np.uint8)[None].repeat(300, 0)
    kept = notch(scan, width=8, protect=1 / 18)[100:200, 50:-50].mean(axis=0) - 128
    for wave, amplitude in zip(waves, (0, 1)):
        part = wave[50:-50]
        assert kept @ part / (part @ part) == pytest.approx(amplitude, abs=0.06)


def test_notches_near_the_limit_of_the_grid_leave_the_mean_alone() -> None:
    y, x = np.mgrid[:300, :300]
    waves = 100 + 60 * np.sin(2 * np.pi * (0.485 * x + 0.1 * y)) + 30 * np.sin(x / 40)
    scan = np.rint(waves).astype(np.uint8)
    assert abs(float(notch(scan).mean()) - float(scan.mean())) < 1


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.5])
def test_acutance_of_a_blur_is_one(scan: np.ndarray, sigma: float) -> None:
    assert acutance(scan, cv2.GaussianBlur(scan, (0, 0), sigma), screen_peaks(scan)) == pytest.approx(1, abs=0.12)
