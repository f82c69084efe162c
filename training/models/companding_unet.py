"""Companding U-Net: Image Companding and Inverse Halftoning using Deep Convolutional Neural Networks (Hou & Qiu 2017).

A symmetric U-Net of strided 4x4 convolutions and transposed ones: the coarse half sees the scene, the skips keep the edges.
For bit-depth expansion the network says where inside its quantisation interval each value lay, so no value leaves it.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def _halve(inputs: int, outputs: int, norms: bool) -> nn.Sequential:
    """LeakyReLU - conv 4x4 stride 2 (- batch norm)."""
    conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not norms)
    return nn.Sequential(nn.LeakyReLU(0.2), conv, *([nn.BatchNorm2d(outputs)] if norms else []))


def _double(inputs: int, outputs: int, norms: bool) -> nn.Sequential:
    """ReLU - transposed conv 4x4 stride 2 (- batch norm)."""
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=not norms)
    return nn.Sequential(nn.ReLU(), conv, *([nn.BatchNorm2d(outputs)] if norms else []))


class CompandingUNet(nn.Module):
    """Quantised or halftoned picture (N, planes, H, W) in [0, 1] -> continuous tone (N, planes, H, W).

    ``channels[i]``: of the features at 1 / 2^(i + 1) of the size; H and W are multiples of ``size_multiple``.
    ``bit_depth``: the input has one more plane, everywhere bits / 8, and values cut to that many bits by floor (eq. 2);
    the output lies within the interval of each.
    ``norms``: as the paper has them; False for going on from a released file, in which they are folded into the convolutions.
    """

    def __init__(self, channels: tuple[int, ...] = (64, 128, 256, 256, 256), planes: int = 3, bit_depth: bool = True, norms: bool = True):
        super().__init__()
        self.size_multiple, self.planes, self.bit_depth = 2 ** len(channels), planes, bit_depth
        self.conditions = ("bits",) if bit_depth else ()
        self.head = nn.Conv2d(planes + bit_depth, channels[0], 4, stride=2, padding=1)
        self.downs = nn.ModuleList(_halve(fine, coarse, norms) for fine, coarse in pairwise(channels))
        joined = [2 * width for width in channels[:-1]] + [channels[-1]]  # after each skip; the bottom has none
        self.ups = nn.ModuleList(_double(joined[i + 1], fine, norms) for i, fine in enumerate(channels[:-1]))
        self.tail = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(joined[0], planes, 4, stride=2, padding=1))
        for layer in self.modules():  # torch's own start makes transposed convolutions ten times too loud
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.head(picture)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        for up in reversed(self.ups):
            x = torch.cat([up(x), skips.pop()], dim=1)
        restored = self.tail(x)
        if not self.bit_depth:
            return restored
        floor, bits = picture[:, : self.planes], 8 * picture[:, self.planes :]
        width = (256 * torch.exp2(-bits) - 1) / 255  # from the lowest to the highest 8-bit value that the floor stands for
        place = restored + 0.5
        if not self.training:  # in training a clamp would stop the gradient of what is outside
            place = place.clamp(0, 1)
        return floor + width * place
