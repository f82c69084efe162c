"""MSPRL: Rethinking PRL: A Multiscale Progressively Residual Learning Network for Inverse Halftoning (Li & Yang, arXiv 2305.17355).

A residual U-Net without norms; the halftone enters again, thinned out, at a half and a quarter of its size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.fast import residual_blocks


class _Down(nn.Sequential):
    """Half the size, twice the channels."""

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class _Up(nn.Module):
    """Twice the size, half the channels, joined with the features of the way down."""

    def __init__(self, channels: int):
        super().__init__()
        self.enlarge = nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.PixelShuffle(2))
        self.join = nn.Conv2d(channels, channels // 2, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.join(torch.cat([self.enlarge(x), skip], dim=1))


class _ShallowFeatures(nn.Module):
    """The paper's shallow feature extraction: features of the thinned halftone weigh those that came from above."""

    def __init__(self, channels: int):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1), nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )
        self.join = nn.Conv2d(channels + 1, channels, 1)

    def forward(self, halftone: Tensor, x: Tensor) -> Tensor:
        return x + self.join(torch.cat([halftone, x * self.gate(halftone)], dim=1))


class MSPRL(nn.Module):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape; H and W are multiples of 4. 9.68 M parameters."""

    size_multiple = 4

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 48, 3, padding=1)
        self.fine_down, self.down1 = residual_blocks(48, 8), _Down(48)
        self.shallow1, self.middle_down, self.down2 = _ShallowFeatures(96), residual_blocks(96, 8), _Down(96)
        self.shallow2, self.coarse = _ShallowFeatures(192), residual_blocks(192, 8)
        self.up2, self.middle_up = _Up(192), residual_blocks(96, 8)
        self.up1, self.fine_up = _Up(96), residual_blocks(48, 8)
        self.tail = nn.Conv2d(48, 1, 3, padding=1)

    def forward(self, halftone: Tensor) -> Tensor:
        half, quarter = (F.pixel_unshuffle(halftone, step)[:, :1] for step in (2, 4))  # every second, every fourth pixel
        fine = self.fine_down(self.head(halftone))
        middle = self.middle_down(self.shallow1(half, self.down1(fine)))
        coarse = self.coarse(self.shallow2(quarter, self.down2(middle)))
        x = self.middle_up(self.up2(coarse, middle))
        return halftone + self.tail(self.fine_up(self.up1(x, fine)))
