"""VDSR: Accurate Image Super-Resolution Using Very Deep Convolutional Networks (Kim, Lee & Lee, CVPR 2016), Figure 2.

Twenty convolutions without normalisation find what to add to the input.
"""

from __future__ import annotations

from torch import Tensor, nn


class VDSR(nn.Module):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape. 0.67 M parameters."""

    size_multiple = 1

    def __init__(self):
        super().__init__()
        channels = [1, *[64] * 19]
        layers = [layer for inputs in channels[:-1] for layer in (nn.Conv2d(inputs, 64, 3, padding=1), nn.ReLU())]
        self.residual = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1))
        for layer in self.residual:
            if isinstance(layer, nn.Conv2d):  # He et al. 2015, as in the paper: with torch's own the signal fades on its way
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType] - it has one

    def forward(self, halftone: Tensor) -> Tensor:
        return halftone + self.residual(halftone)
