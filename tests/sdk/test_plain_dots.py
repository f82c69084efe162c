"""Dots that were enlarged or smeared, or are of two other levels, are restored as if they were plain."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdk
from sdk.metrics import psnr
from sdk.networks.plain_dots import find_repetition, find_smeared_levels, find_two_levels

RANDOM = np.random.default_rng(3).random((40, 48)) < 0.4


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sdk.InverseHalftoner("fast").run("docs/samples/kodim23_floyd-steinberg.png")[100:260, 200:392]


@pytest.fixture(scope="module")
def dots(photo: np.ndarray) -> np.ndarray:
    return sdk.Halftoner("floyd-steinberg").run(photo)


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
    times: int, dots: np.ndarray, photo: np.ndarray, restorer: sdk.InverseHalftoner
) -> None:
    plain = psnr(restorer.run(dots), photo)
    large = restorer.run(repeated(dots, times))
    assert large.shape == repeated(dots, times).shape
    assert restorer.choice is not None
    assert restorer.choice.model == "fast"
    assert restorer.choice.analysis.method == "floyd-steinberg"
    assert f"each pixel {times}x{times} times" in str(restorer.choice)
    small = large.reshape(photo.shape[0], times, photo.shape[1], times).mean(axis=(1, 3))
    assert psnr(np.rint(small).astype(np.uint8), photo) > plain - 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("low", "high"), [(0.4, 0.55), (0, 0.8)])
def test_two_other_levels_are_restored_between_them(
    low: float, high: float, dtype: type, dots: np.ndarray, restorer: sdk.InverseHalftoner, recwarn: pytest.WarningsRecorder
) -> None:
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    low, high = (np.dtype(dtype).type(level * white) for level in (low, high))
    restored = restorer.run(np.where(dots, high, low))
    assert restored.dtype == dtype
    assert restored.min() >= low
    assert restored.max() <= high
    plain = restorer.run(dots) / 255
    step = 1 / 255 if dtype == np.uint8 else (float(high) - float(low)) / 255 / white
    assert np.abs(restored / white - (float(low) + plain * (float(high) - float(low))) / white).max() <= step
    assert not [warning for warning in recwarn if issubclass(warning.category, sdk.InputWarning)]


@pytest.mark.parametrize("colours", [[[30, 60, 90], [240, 200, 90]], [[200, 20, 0], [10, 250, 255]]], ids=["alike", "turned"])
def test_two_colours_are_restored_between_them(colours: list[list[int]], dots: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    black, white = np.array(colours, np.uint8)
    restored = restorer.run(np.where(dots[..., None], white, black))
    share = restorer.run(dots)[..., None] / 255
    assert np.abs(restored - (black + share * (white.astype(float) - black))).max() <= 0.5


@pytest.mark.parametrize(
    "pixels",
    [RANDOM, RANDOM * np.uint8(255), np.full((9, 9), 7, np.uint8), np.arange(81, dtype=np.uint8).reshape(9, 9)],
    ids=["bool", "black and white", "one level", "many"],
)
def test_plain_and_other_pictures_have_no_other_two_levels(pixels: np.ndarray) -> None:
    assert find_two_levels(pixels) is None


def smeared(dots: np.ndarray, how: str) -> np.ndarray:
    """uint8."""
    pixels = dots * np.uint8(255)
    if how.startswith("JPEG"):
        return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(how[5:])])[1], cv2.IMREAD_GRAYSCALE)
    if how == "noise":
        return np.clip(pixels + np.random.default_rng(0).normal(0, 25, pixels.shape), 0, 255).astype(np.uint8)
    return cv2.GaussianBlur(pixels, (0, 0), 0.4)


@pytest.mark.parametrize("how", ["JPEG 95", "JPEG 75", "JPEG 40", "noise", "smoothed"])
@pytest.mark.parametrize("model", ["fast", "auto"])
def test_smeared_dots_are_restored_as_the_clean_ones(model: str, how: str, photo: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    restorer = sdk.InverseHalftoner(model, device="cpu")
    for method in ("floyd-steinberg", "bayer"):
        dots = sdk.Halftoner(method).run(photo)
        np.testing.assert_array_equal(restorer.run(smeared(dots, how)), restorer.run(dots))
    assert not [warning for warning in recwarn if issubclass(warning.category, sdk.InputWarning)]


def test_smeared_dots_of_colour_and_of_other_levels(photo: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    dots = sdk.Halftoner("stucki").run(np.dstack([photo, photo[::-1], photo]))
    coded = np.dstack([smeared(dots[..., channel], "JPEG 60") for channel in range(3)])
    np.testing.assert_array_equal(restorer.run(coded), restorer.run(dots))
    grey = smeared(dots[..., 0], "JPEG 60").astype(np.float32) / 255 * 0.6 + 0.2
    np.testing.assert_allclose(restorer.run(grey), 0.2 + 0.6 * restorer.run(dots[..., 0].astype(np.float32)), atol=0.02)


def test_what_may_have_been_either_is_not_cut(photo: np.ndarray, dots: np.ndarray) -> None:
    soft = cv2.GaussianBlur(dots * np.uint8(255), (0, 0), 0.7)
    for pixels in (photo, soft, dots, dots * np.uint16(65535), np.full((9, 9), 70, np.uint8), np.arange(81, dtype=np.uint8).reshape(9, 9)):
        assert find_smeared_levels(pixels) is None


def test_a_drawing_with_soft_edges_is_not_cut(restorer: sdk.InverseHalftoner) -> None:
    """It has two smeared levels, but no dots."""
    drawing = np.full((120, 160), 255, np.uint8)
    cv2.circle(drawing, (80, 60), 40, 0, 3, cv2.LINE_AA)
    assert find_smeared_levels(drawing) is not None
    network = sdk.InverseHalftoner("fast", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = network.run(drawing)
        cut = network.run(np.where(drawing > 127, np.uint8(255), np.uint8(0)))
    assert not np.array_equal(restored, cut)
