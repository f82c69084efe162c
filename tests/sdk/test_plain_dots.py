"""Dots that were enlarged, or are of two other levels, are restored as if they were plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdk
from sdk.analysis.plain_dots import find_repetition, find_two_levels
from sdk.metrics import psnr

RANDOM = np.random.default_rng(3).random((40, 48)) < 0.4


@pytest.fixture(scope="module")
def restorer() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("auto")


def repeated(pixels: np.ndarray, times: int) -> np.ndarray:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


@given(times=st.integers(2, 8), top=st.integers(0, 7), left=st.integers(0, 7), bottom=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_repetition_is_found_at_any_place_and_undone(times: int, top: int, left: int, bottom: int) -> None:
    top, left, bottom = top % times, left % times, bottom % times
    large = repeated(RANDOM, times)[top:, left:][: -bottom or None]
    found = find_repetition(large)
    assert found is not None
    assert found.times == times
    np.testing.assert_array_equal(found.undo(large), RANDOM)
    back = found.enlarge(RANDOM.astype(np.float32), *large.shape)
    assert back.shape == large.shape
    # Smoothly enlarged, but in its place: the middle of each dot is nearly what it was.
    assert np.abs(back - large).mean() < 0.25


@pytest.mark.parametrize("pixels", [RANDOM, np.ones((40, 40), bool), np.arange(1600, dtype=np.uint8).reshape(40, 40)], ids=str)
def test_other_pictures_repeat_nothing(pixels: np.ndarray) -> None:
    assert find_repetition(pixels) is None


def test_one_changed_pixel_is_no_repetition() -> None:
    large = repeated(RANDOM, 3)
    large[50, 70] ^= True
    assert find_repetition(large) is None


@pytest.mark.parametrize("times", [2, 3])
def test_an_enlarged_dither_is_restored_as_well_as_it_was_before(
    times: int, clean_dots: np.ndarray, clean_photo: np.ndarray, restorer: sdk.InverseHalftoner
) -> None:
    plain = psnr(restorer.run(clean_dots), clean_photo)
    large = restorer.run(repeated(clean_dots, times))
    assert large.shape == repeated(clean_dots, times).shape
    assert restorer.choice is not None
    assert restorer.choice.model == "fast"
    assert restorer.choice.analysis.method == "floyd-steinberg"
    assert f"each pixel {times}x{times} times" in str(restorer.choice)
    small = large.reshape(clean_photo.shape[0], times, clean_photo.shape[1], times).mean(axis=(1, 3))
    assert psnr(np.rint(small).astype(np.uint8), clean_photo) > plain - 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("low", "high"), [(0.4, 0.55), (0, 0.8)])
def test_two_other_levels_are_restored_between_them(
    low: float, high: float, dtype: type, clean_dots: np.ndarray, restorer: sdk.InverseHalftoner, recwarn: pytest.WarningsRecorder
) -> None:
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    low, high = (np.dtype(dtype).type(level * white) for level in (low, high))
    restored = restorer.run(np.where(clean_dots, high, low))
    assert restored.dtype == dtype
    assert restored.min() >= low
    assert restored.max() <= high
    plain = restorer.run(clean_dots) / 255
    step = 1 / 255 if dtype == np.uint8 else (float(high) - float(low)) / 255 / white
    assert np.abs(restored / white - (float(low) + plain * (float(high) - float(low))) / white).max() <= step
    assert not [warning for warning in recwarn if issubclass(warning.category, sdk.InputWarning)]


@pytest.mark.parametrize("colours", [[[30, 60, 90], [240, 200, 90]], [[200, 20, 0], [10, 250, 255]]], ids=["alike", "turned"])
def test_two_colours_are_restored_between_them(colours: list[list[int]], clean_dots: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    black, white = np.array(colours, np.uint8)
    restored = restorer.run(np.where(clean_dots[..., None], white, black))
    share = restorer.run(clean_dots)[..., None] / 255
    assert np.abs(restored - (black + share * (white.astype(float) - black))).max() <= 0.5


@pytest.mark.parametrize(
    "pixels",
    [RANDOM, RANDOM * np.uint8(255), np.full((9, 9), 7, np.uint8), np.arange(81, dtype=np.uint8).reshape(9, 9)],
    ids=["bool", "black and white", "one level", "many"],
)
def test_plain_and_other_pictures_have_no_other_two_levels(pixels: np.ndarray) -> None:
    assert find_two_levels(pixels) is None
