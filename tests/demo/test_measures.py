"""The demo's PSNR, SSIM and LPIPS, against the training's and by their behaviour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.lpips import LEAST_SIDE, lpips


def test_lpips_is_that_of_the_training(data: Path, photo: np.ndarray) -> None:
    metrics = pytest.importorskip("training.metrics", reason="compared with the training's own LPIPS, which needs torch")
    trained = metrics.Lpips(data / "alexnet_features_lpips_fp16.npz")
    colour = np.dstack([photo[:200, :300], photo[100:300, 100:400], photo[:200, 200:500]])
    for picture in (photo[:97, :131], colour):
        noisy = np.clip(picture + np.random.default_rng(0).normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
        assert lpips(picture.astype(float), noisy.astype(float)) == pytest.approx(trained(picture, noisy), abs=1e-3)


def test_lpips_by_its_behaviour(photo: np.ndarray) -> None:
    exact = photo.astype(float)
    assert lpips(exact, exact) == 0
    distances = [lpips(exact, cv2.GaussianBlur(exact, (0, 0), sigma)) for sigma in (1, 3)]
    assert 0.01 < distances[0] < distances[1] < 1
    small = exact[:LEAST_SIDE, :LEAST_SIDE]
    assert lpips(small, small) == 0
    assert lpips(small[1:], small[1:]) is None
    assert lpips(np.zeros((4000, 3001)), np.zeros((4000, 3001))) is None
