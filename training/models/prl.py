"""PRL: Deep Inverse Halftoning via Progressively Residual Learning (Xia & Wong, ACCV 2018), Figure 1.

Content aggregation finds the tones with a small U-Net; detail enhancement adds what it missed, looking at the halftone again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.fast import residual_blocks


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


class _Down(nn.Sequential):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(_conv(inputs, outputs, stride=2), _conv(outputs, outputs), nn.ReLU())


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolutions = nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convolutions(F.interpolate(x, scale_factor=2.0, mode="nearest")) + skip


class PRL(nn.Module):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape; H and W are multiples of 4. 7.3 M parameters.

    ``residual``: the detail network finds what the content lacks; without it, the whole picture (the paper's plain network).
    """

    size_multiple = 4

    def __init__(self, residual: bool = True):
        super().__init__()
        self.residual = residual
        self.head = nn.Sequential(_conv(1, 64), nn.ReLU(), residual_blocks(64, 1))
        self.down1, self.down2 = _Down(64, 128), _Down(128, 256)
        self.bottom = residual_blocks(256, 4)
        self.up2, self.up1 = _Up(256, 128), _Up(128, 64)
        self.to_content = nn.Sequential(residual_blocks(64, 1), _conv(64, 1))
        self.detail = nn.Sequential(_conv(2, 64), residual_blocks(64, 8), _conv(64, 256), nn.Conv2d(256, 1, 1))

    def forward(self, halftone: Tensor) -> Tensor:
        return self.progress(halftone)[1]

    def progress(self, halftone: Tensor) -> tuple[Tensor, Tensor]:
        """(content image, which eq. 1 of the paper is computed on; restoration)."""
        content = self.content(halftone)
        detail = self.detail(torch.cat([content, halftone], dim=1))
        return content, content + detail if self.residual else detail

    def content(self, halftone: Tensor) -> Tensor:
        fine = self.head(halftone)
        middle = self.down1(fine)
        x = self.bottom(self.down2(middle))
        return self.to_content(self.up1(self.up2(x, middle), fine))
