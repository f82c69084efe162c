"""LPIPS(alex), and how far the tones of a halftone are from the photograph's: beside ``sdk.metrics``, for training and its tables."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sdk.errors import MissingDependencyError

TONE_SIGMA = 2.0
"""Gaussian, px, that stands for the eye where tones of halftones are measured."""


def tone_error(white: np.ndarray, photo: np.ndarray) -> float:
    """Root mean square difference, in grey levels of 255, of the tones of a halftone (bool HxW) and its photograph (uint8), as a
    viewer's eye smooths them: by a Gaussian of ``TONE_SIGMA``. A few px at the border do not count."""
    difference, margin = white.astype(np.float64) * 255 - photo, int(3 * TONE_SIGMA)
    seen = cv2.GaussianBlur(difference, (0, 0), TONE_SIGMA)[margin:-margin, margin:-margin]
    return float(np.sqrt(np.mean(seen**2)))


def tone_psnr(halftone: np.ndarray, photo: np.ndarray) -> float:
    """PSNR in dB of the tones of a halftone, here uint8 HxW and white where above 127."""
    error = tone_error(halftone > 127, photo)
    return float("inf") if error == 0 else 20 * float(np.log10(255 / error))


class Lpips:
    """LPIPS 0.1 with AlexNet features (Zhang et al. 2018); 0 = equal, about 0.7 = another picture.

    ``weights`` is an .npz of torchvision's AlexNet convolutions (``features.N.weight``) and the LPIPS heads
    (``lin.K.weight``). Without it the ``lpips`` package is used, which fetches its own.
    """

    CONVOLUTIONS: ClassVar = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}  # index in torchvision: stride, padding

    def __init__(self, weights: Path | None = None):
        self._package = None
        if weights is None:
            self._package = _lpips_package()
            return
        with np.load(weights) as stored:
            self._weights = {key: torch.from_numpy(stored[key].astype(np.float32)) for key in stored.files}

    @torch.no_grad()
    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """Distance of two uint8 pictures, HxW or HxWx3."""
        x, y = (_as_rgb_tensor(image) for image in (a, b))
        if self._package is not None:
            return float(self._package(2 * x - 1, 2 * y - 1))
        distance = torch.zeros(())
        for head, (fx, fy) in enumerate(zip(self._features(x), self._features(y))):
            difference = (F.normalize(fx, dim=1, eps=1e-10) - F.normalize(fy, dim=1, eps=1e-10)) ** 2
            distance = distance + F.conv2d(difference, self._weights[f"lin.{head}.weight"]).mean()
        return float(distance)

    def _features(self, x: Tensor) -> list[Tensor]:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (x - mean[:, None, None]) / std[:, None, None]
        taps = []
        for index, (stride, padding) in self.CONVOLUTIONS.items():
            if index in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            kernel, bias = self._weights[f"features.{index}.weight"], self._weights[f"features.{index}.bias"]
            x = F.relu(F.conv2d(x, kernel, bias, stride, padding))
            taps.append(x)
        return taps


def _as_rgb_tensor(image: np.ndarray) -> Tensor:
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    return torch.from_numpy(rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]


@cache
def _lpips_package():
    try:
        import lpips
    except ImportError as error:
        raise MissingDependencyError(
            "LPIPS needs AlexNet weights: give a data folder with alexnet_features_lpips_fp16.npz, or pip install lpips."
        ) from error
    return lpips.LPIPS(net="alex", verbose=False)
