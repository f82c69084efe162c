"""Losses on (N, C, H, W) pictures in [0, 1]: a recipe's weighted sum of the terms here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.errors import OptionError, nearest
from training.perceptual import VGG_WEIGHTS, VggFeatures, VggLpips


def _squared_errors(restored: Tensor, photo: Tensor) -> Tensor:
    """Mean squared error of each crop, (N,)."""
    return F.mse_loss(restored, photo, reduction="none").mean(dim=(1, 2, 3))


def rmse(restored: Tensor, photo: Tensor) -> Tensor:
    """Root mean square error of each crop, averaged: squared errors inside a crop, as PSNR counts them, but no crop outweighs the rest."""
    return torch.sqrt(_squared_errors(restored, photo) + 1e-8).mean()


def log_rmse(restored: Tensor, photo: Tensor) -> Tensor:
    """Logarithm of each crop's root mean square error, averaged: PSNR itself, whether a crop is easy or hard (bounded at about 50 dB)."""
    return 0.5 * torch.log(_squared_errors(restored, photo) + 1e-5).mean()


def ssim(restored: Tensor, photo: Tensor) -> Tensor:
    """1 - structural similarity, as ``sdk.metrics.ssim`` counts it (windows wholly inside; crops are at least 11x11 px)."""
    planes, taps = restored.shape[1], torch.arange(-5.0, 6, device=restored.device)
    window = torch.exp(-0.5 * (taps / 1.5) ** 2)
    window = window / window.sum()
    moments = torch.cat([restored, photo, restored**2, photo**2, restored * photo], 1)
    for shape in ((1, 1, 11, 1), (1, 1, 1, 11)):
        moments = F.conv2d(moments, window.view(shape).expand(5 * planes, *shape[1:]), groups=5 * planes)
    x, y, xx, yy, xy = moments.split(planes, 1)
    c1, c2 = 0.01**2, 0.03**2
    return 1 - ((2 * x * y + c1) * (2 * (xy - x * y) + c2) / ((x**2 + y**2 + c1) * (xx - x**2 + yy - y**2 + c2))).mean()


def frequency(restored: Tensor, photo: Tensor) -> Tensor:
    """Mean modulus of the difference of the crops' Fourier transforms (MSPRL, arXiv 2305.17355); it grows with the crop's side."""
    return torch.fft.rfft2(restored - photo).abs().mean()


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "rmse": rmse,
    "log_rmse": log_rmse,
    "ssim": ssim,
    "frequency": frequency,
}
"""What a recipe's ``[loss]`` may weigh, beside ``content``, ``denoising``, ``perceptual`` and ``lpips``."""

LPIPS_EVERY = 4
"""LPIPS is that of one picture of so many in a batch: VGG costs more than a small network, and crops come in no order."""


class Loss(nn.Module):
    """Sum of weighted terms between a network's restoration and the photograph.

    ``content``: mean squared error of the content image of networks that show it (their ``progress`` returns content and
    restoration; PRL's eq. 1). ``denoising``: the loss of diffusion networks, which they know themselves.
    ``perceptual``: mean squared difference of the VGG features of ``layer``, in the units of
    ``training.perceptual.CAFFE_UNIT``, read from the file ``vgg``. ``lpips``: LPIPS by VGG, of one picture in ``LPIPS_EVERY``.
    """

    def __init__(self, weights: dict[str, float], layer: str = "conv4_3", vgg: Path | None = None):
        super().__init__()
        for term in weights:
            known = (*TERMS, "content", "denoising", "perceptual", "lpips")
            if term not in known:
                raise OptionError(f"Loss {term!r} is unknown.{nearest(term, known)}")
        self.weights = weights
        file = vgg or Path(VGG_WEIGHTS)
        self.features = VggFeatures(file, layer) if "perceptual" in weights else None
        self.lpips = VggLpips(file) if "lpips" in weights else None

    def forward(self, model: nn.Module, halftones: Tensor, photos: Tensor) -> Tensor:
        total = torch.zeros((), device=photos.device)
        if "denoising" in self.weights:
            total = total + self.weights["denoising"] * model.denoising_loss(halftones, photos)  # type: ignore[operator]
            if len(self.weights) == 1:
                return total  # nothing else needs a restoration
        if "content" in self.weights:
            if not hasattr(model, "progress"):
                raise OptionError("The loss 'content' is for networks that show a content image (progress(), as prl's); leave it out.")
            content, restored = model.progress(halftones)  # type: ignore[operator]
            total = total + self.weights["content"] * F.mse_loss(content.float(), photos)
        else:
            restored = model(halftones)
        restored = restored.float()
        if self.features is not None:
            with torch.no_grad():
                wanted = self.features(photos)
            total = total + self.weights["perceptual"] * F.mse_loss(self.features(restored), wanted)
        if self.lpips is not None:
            total = total + self.weights["lpips"] * self.lpips(restored[::LPIPS_EVERY], photos[::LPIPS_EVERY])
        with torch.autocast(photos.device.type, enabled=False):  # of squares that nearly cancel bf16 leaves nothing
            for term, weight in self.weights.items():
                if term in TERMS:
                    total = total + weight * TERMS[term](restored, photos)
        return total
