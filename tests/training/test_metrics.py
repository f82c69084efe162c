"""``training.metrics``: PSNR and SSIM against their definitions, LPIPS by its behaviour."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from sdk.metrics import psnr, ssim
from training.metrics import Lpips


def noisy(image: np.ndarray, sigma: float = 20) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return (image + noise).clip(0, 255).round().astype(np.uint8)


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Equation 13 of Wang et al. 2004, window by window."""
    offsets = np.arange(11) - 5
    bell = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11].astype(float), b[y : y + 11, x : x + 11].astype(float)
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            variance_p, variance_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            luminance = (2 * mean_p * mean_q + c1) / (mean_p**2 + mean_q**2 + c1)
            values.append(luminance * (2 * covariance + c2) / (variance_p + variance_q + c2))
    return float(np.mean(values))


def test_ssim_in_strips_is_that_of_the_whole(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pairs = [], [(photo[:n, :80], noisy(photo[:n, :80])) for n in (11, 17, 18, 60)]
    for rows in (1000, 7):
        monkeypatch.setattr("sdk.metrics.STRIP", rows)
        whole.append([ssim(a, b) for a, b in pairs])
    assert whole[0] == pytest.approx(whole[1], abs=1e-12)


def test_psnr_by_hand() -> None:
    black = np.zeros((4, 4), np.uint8)
    one_off = black.copy()
    one_off[0, 0] = 4  # mean squared error 16 / 16 = 1
    assert psnr(black, one_off) == pytest.approx(48.1308036)
    assert psnr(black, black + np.uint8(255)) == 0


def test_psnr_of_equal_pictures_is_infinite(photo: np.ndarray) -> None:
    assert psnr(photo, photo) == math.inf


def test_psnr_does_not_wrap_around() -> None:
    """uint8 differences would: 1 - 255 = 2."""
    assert psnr(np.full((8, 8), 1, np.uint8), np.full((8, 8), 255, np.uint8)) < 0.1


def test_psnr_of_colour_is_over_all_channels() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    red = black.copy()
    red[..., 0] = 30
    assert psnr(black, red) == pytest.approx(10 * math.log10(255**2 / 300))


def test_ssim_equals_the_slow_reference(photo: np.ndarray) -> None:
    a = photo[200:232, 300:340]
    for b in (noisy(a), cv2.GaussianBlur(a, (0, 0), 2), photo[100:132, 300:340]):
        assert ssim(a, b) == pytest.approx(slow_ssim(a, b), abs=1e-6)


def test_ssim_of_equal_pictures_is_one(photo: np.ndarray) -> None:
    assert ssim(photo, photo) == pytest.approx(1)


def test_ssim_falls_with_noise(photo: np.ndarray) -> None:
    scores = [ssim(photo, noisy(photo, sigma)) for sigma in (5, 20, 60)]
    assert 1 > scores[0] > scores[1] > scores[2] > 0


def test_ssim_of_colour_is_the_mean_over_channels(photo: np.ndarray) -> None:
    a = np.stack([photo[:40, :50], photo[100:140, :50], photo[200:240, :50]], axis=-1)
    b = noisy(a)
    planes = [ssim(np.ascontiguousarray(a[..., c]), np.ascontiguousarray(b[..., c])) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(planes))


@pytest.fixture(scope="module")
def lpips(data: Path) -> Lpips:
    return Lpips(data / "alexnet_features_lpips_fp16.npz")


def test_lpips_of_equal_pictures_is_zero(lpips: Lpips, photo: np.ndarray) -> None:
    assert lpips(photo, photo) == 0


def test_lpips_grows_with_blur(lpips: Lpips, photo: np.ndarray) -> None:
    distances = [lpips(photo, cv2.GaussianBlur(photo, (0, 0), sigma)) for sigma in (1, 2, 4, 8)]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1] < 1.5


def test_lpips_is_symmetric(lpips: Lpips, photo: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(photo, (0, 0), 2)
    assert lpips(photo, blurred) == pytest.approx(lpips(blurred, photo), rel=1e-4)


def test_lpips_of_grey_equals_grey_as_rgb(lpips: Lpips, photo: np.ndarray) -> None:
    a, b = photo[:128, :128], noisy(photo[:128, :128])
    assert lpips(a, b) == pytest.approx(lpips(np.dstack([a] * 3), np.dstack([b] * 3)), rel=1e-5)
