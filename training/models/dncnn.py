"""DnCNN: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising (Zhang et al., TIP 2017), Figure 1.

One resolution, no skips: 17 convolutions find what to take away from the input, and batch norm keeps so deep a stack trainable.
"""

from __future__ import annotations

from torch import Tensor, nn


def _layer() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())


class DnCNN(nn.Module):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape. 0.56 M parameters."""

    size_multiple = 1

    def __init__(self):
        super().__init__()
        head, tail = nn.Conv2d(1, 64, 3, padding=1), nn.Conv2d(64, 1, 3, padding=1)
        self.noise = nn.Sequential(head, nn.ReLU(), *(_layer() for _ in range(15)), tail)

    def forward(self, halftone: Tensor) -> Tensor:
        return halftone - self.noise(halftone)
