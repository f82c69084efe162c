"""Direct binary search: tones come nearer, dots stay where they are right, and no pixel is flipped to the worse."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdk.halftoning import halftone
from sdk.networks.direct_binary_search import LATTICE, SIGMA, search


def seen_error(white: np.ndarray, photo: np.ndarray) -> float:
    """Of the whole picture through the Gaussian of the search; outside there is no error."""
    difference = np.pad(white.astype(np.float64) - photo, 10)
    return float((cv2.GaussianBlur(difference, (0, 0), SIGMA, borderType=cv2.BORDER_CONSTANT) ** 2).sum())


@given(seed=st.integers(0, 1000), grey=st.floats(0.05, 0.95), height=st.integers(1, 40), width=st.integers(1, 40))
def test_tones_never_become_worse(seed: int, grey: float, height: int, width: int) -> None:
    photo = np.full((height, width), grey, np.float32)
    white = np.random.default_rng(seed).random((height, width)) < grey
    mended = search(white, photo)
    assert mended.dtype == np.bool_
    assert mended.shape == white.shape
    assert seen_error(mended, photo) <= 1.02 * seen_error(white, photo)  # pixels decided at once may meet a little


def test_noise_comes_near_the_tones_of_error_diffusion(photo: np.ndarray) -> None:
    crop = photo[:128, :128]
    unit = crop.astype(np.float32) / 255
    noise = halftone(crop, "white-noise")
    assert seen_error(search(noise, unit), unit) < 0.2 * seen_error(noise, unit)


def test_a_pattern_that_is_right_stays() -> None:
    """A checkerboard is the best halftone of middle grey, and one dot too many or too few is made good."""
    checks = np.indices((32, 32)).sum(axis=0) % 2 == 1
    grey = np.full((32, 32), 0.5, np.float32)
    assert np.array_equal(search(checks, grey), checks)
    wrong = checks.copy()
    wrong[15, 17] ^= True
    assert search(wrong, grey).sum() == checks.sum()  # by it, or by a neighbour whose turn was before


def test_black_and_white_stay_clean() -> None:
    for level in (0.0, 1.0):
        flat = np.full((16, 16), level, np.float32)
        assert (search(flat > 0.5, flat) == (level > 0.5)).all()


def test_dots_of_the_lightest_and_darkest_tones_stay() -> None:
    """A lone dot is more than such a tone asks for, wherever it lies, but none is less."""
    rng = np.random.default_rng(0)
    for share in (0.01, 0.03):
        dots, flat = rng.random((64, 64)) < share, np.full((64, 64), share, np.float32)
        np.testing.assert_array_equal(search(dots, flat), dots)
        np.testing.assert_array_equal(search(~dots, 1 - flat), ~dots)


def test_noise_in_black_costs_no_tone() -> None:
    """Some of its pixels are 0, among others that ask for a dot now and then."""
    rng = np.random.default_rng(0)
    for photo in (np.clip(rng.normal(4, 3, (128, 128)), 0, 255) / 255, rng.choice([0, 10 / 255], (128, 128))):
        dots = rng.random(photo.shape) < photo.mean()
        np.testing.assert_array_equal(search(dots, photo.astype(np.float32)), dots)


def test_every_pixel_has_its_turn() -> None:
    places = {(y % LATTICE, x % LATTICE) for y in range(8) for x in range(8)}
    for y, x in places:
        dots = np.zeros((24, 24), bool)
        dots[8 + y, 8 + x] = True
        assert not search(dots, np.zeros((24, 24), np.float32)).any()
