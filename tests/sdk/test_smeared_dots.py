"""Dots that JPEG coding, noise or a little smoothing changed are cut to what they were, and nothing else is."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest

import sdk
from sdk.analysis.smeared_dots import find_smeared_levels
from sdk.metrics import psnr
from training.pages import text_page


@pytest.fixture(scope="module")
def restorer() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("auto")


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
def test_smeared_dots_are_restored_as_the_clean_ones(
    model: str, how: str, clean_photo: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    restorer = sdk.InverseHalftoner(model, device="cpu")
    for method in ("floyd-steinberg", "bayer"):
        dots = sdk.Halftoner(method).run(clean_photo)
        np.testing.assert_array_equal(restorer.run(smeared(dots, how)), restorer.run(dots))
    assert not [warning for warning in recwarn if issubclass(warning.category, sdk.InputWarning)]


def test_smeared_dots_of_colour_and_of_other_levels(clean_photo: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    dots = sdk.Halftoner("stucki").run(np.dstack([clean_photo, clean_photo[::-1], clean_photo]))
    coded = np.dstack([smeared(dots[..., channel], "JPEG 60") for channel in range(3)])
    np.testing.assert_array_equal(restorer.run(coded), restorer.run(dots))
    grey = smeared(dots[..., 0], "JPEG 60").astype(np.float32) / 255 * 0.6 + 0.2
    np.testing.assert_allclose(restorer.run(grey), 0.2 + 0.6 * restorer.run(dots[..., 0].astype(np.float32)), atol=0.02)


def test_what_may_have_been_either_is_not_cut(clean_photo: np.ndarray, clean_dots: np.ndarray) -> None:
    soft = cv2.GaussianBlur(clean_dots * np.uint8(255), (0, 0), 0.7)
    for pixels in (
        clean_photo,
        soft,
        clean_dots,
        clean_dots * np.uint16(65535),
        np.full((9, 9), 70, np.uint8),
        np.arange(81, dtype=np.uint8).reshape(9, 9),
    ):
        assert find_smeared_levels(pixels) is None


def test_text_after_jpeg_is_not_cut() -> None:
    """It has two smeared levels, but no dots."""
    text = _coded(np.where(text_page(160, 200, np.random.default_rng(0)) > 127, np.uint8(255), np.uint8(0)), 90)
    assert find_smeared_levels(text) is not None
    network = sdk.InverseHalftoner("fast", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not np.array_equal(network.run(text), network.run(text > 127))


@pytest.mark.parametrize("model", ["fast", "auto"])
@pytest.mark.parametrize("tone", [60, 200, 230])
def test_a_mat_of_another_tone_is_no_smear(model: str, tone: int, clean_photo: np.ndarray, clean_dots: np.ndarray) -> None:
    page, middle = np.full((200, 232), tone, np.uint8), np.s_[20:180, 20:212]
    page[middle] = clean_dots * np.uint8(255)
    network = sdk.InverseHalftoner(model, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = network.run(page)
        inner = np.s_[16:-16, 16:-16]  # the mat is seen by the network, too
        assert psnr(restored[middle][inner], clean_photo[inner]) > psnr(network.run(clean_dots)[inner], clean_photo[inner]) - 0.5
        coded = network.run(_coded(page, 95))
    assert abs(coded[4:16].mean() - tone) < 6


def _coded(pixels: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)


def test_a_label_on_clean_dots_stays(clean_dots: np.ndarray) -> None:
    page = clean_dots * np.uint8(255)
    page[60:76, 50:86] = 190
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = sdk.InverseHalftoner("fast", device="cpu").run(page)
    assert abs(restored[64:72, 56:80].mean() - 190) < 4


@pytest.mark.parametrize(("black", "white"), [(0, 242), (14, 255), (12, 243), (40, 200)])
def test_levels_near_black_and_white_are_kept(black: int, white: int, clean_dots: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    levels = np.where(clean_dots, np.uint8(white), np.uint8(black))
    restored = restorer.run(_coded(levels, 90)).astype(float)
    assert np.abs(restored - restorer.run(levels)).max() <= 3


@pytest.mark.parametrize("model", ["fast", "auto"])
def test_enlarged_and_coded_dots_are_found(model: str, clean_photo: np.ndarray) -> None:
    network = sdk.InverseHalftoner(model, device="cpu")
    large = sdk.Halftoner("stucki").run(clean_photo).repeat(2, axis=0).repeat(2, axis=1) * np.uint8(255)
    np.testing.assert_array_equal(network.run(_coded(large, 90)), network.run(large))


def test_a_threshold_cuts_enlarged_dots_too(clean_photo: np.ndarray) -> None:
    large = sdk.Halftoner("stucki").run(clean_photo).repeat(2, axis=0).repeat(2, axis=1) * np.uint8(255)
    plain = sdk.InverseHalftoner("fast", device="cpu").run(large)
    np.testing.assert_array_equal(sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(large // 2 + 60), plain)
