"""SRResNet: Photo-Realistic Single Image Super-Resolution Using a GAN (Ledig et al., CVPR 2017), Figure 4, the generator.

Here without its two upscaling layers, since a halftone has the size of its picture.
"""

from __future__ import annotations

from torch import Tensor, nn


def _normalised() -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)


class _Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*_normalised(), nn.PReLU(), *_normalised())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SRResNet(nn.Module):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape. 1.23 M parameters."""

    size_multiple = 1

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(1, 64, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(_Block() for _ in range(16)), *_normalised())
        self.tail = nn.Conv2d(64, 1, 9, padding=4)

    def forward(self, halftone: Tensor) -> Tensor:
        x = self.head(halftone)
        return self.tail(x + self.blocks(x))
