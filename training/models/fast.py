"""``fast``: a small residual U-Net on half resolution, for CPUs and embedded GPUs.

Design: the halftone is unshuffled to half resolution, where a dot and its neighbours become channels, and all 3x3
convolutions run there or below. Coarser levels cost a quarter of the work per channel pair, so they carry most of the
parameters and the context that tells one halftoning method from another; or the network is told the method. No normalisation,
no global pooling: a tile computes exactly what the whole picture would.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.construct import check_levels


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))); the second convolution starts small, so that a deep stack starts near the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class Habits(nn.Module):
    """What is known of the method that placed the dots, added to the features; a residual network carries it on to all its blocks.

    Planes of one value each and a 1x1 convolution, since runtimes fuse the sum of two convolutions, and no other one, into the second.
    """

    def __init__(self, methods: int, channels: int, traits: int = 16):
        super().__init__()
        self.traits = nn.Parameter(torch.randn(methods + 1, traits))
        self.shift = nn.Conv2d(traits, channels, 1, bias=False)
        with torch.no_grad():  # it starts from no change
            self.shift.weight.zero_()

    def forward(self, told: Tensor, x: Tensor) -> Tensor:
        """told: (N,), the number of each picture's method / 256; x: (N, C, H, W) -> x with the method told."""
        number = torch.round(told.float() * 256).clamp(0, len(self.traits) - 1).long()
        traits = nn.functional.embedding(number, self.traits)[..., None, None]
        return x + self.shift(traits.to(x.dtype).expand(-1, -1, *x.shape[2:]))


class FastNet(nn.Module):
    """Halftone (N, planes, H, W) in [0, 1] -> continuous tone of the same shape; H and W are multiples of ``size_multiple``.

    ``planes``: 1 (grey) or 3 (RGB). ``residual``: the network adds to its input, which starts near the truth (palettes).
    ``methods``: with so many, the input has one more plane, everywhere k / 256: that the k-th method made the dots, or k = 0 where it
    is not known.
    ``channels[i]`` and ``blocks[i]`` describe level i (half resolution first); every level but the last has its
    blocks on the way down and again on the way up.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (48, 96),
        blocks: tuple[int, ...] = (3, 6),
        planes: int = 1,
        residual: bool = False,
        methods: int = 0,
    ):
        super().__init__()
        check_levels(channels, blocks)
        self.size_multiple, self.planes, self.residual = 2 ** len(channels), planes, residual
        self.conditions = ("method",) if methods else ()
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.head = nn.Conv2d(4 * planes, channels[0], 5, padding=2)
        fine_to_coarse = list(zip(channels, channels[1:], blocks))
        self.down_blocks = nn.ModuleList(residual_blocks(fine, count) for fine, _, count in fine_to_coarse)
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse, _ in fine_to_coarse)
        self.bottom = residual_blocks(channels[-1], blocks[-1])
        self.ups = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse, _ in fine_to_coarse)
        self.up_blocks = nn.ModuleList(residual_blocks(fine, count) for fine, _, count in fine_to_coarse)
        self.habits = Habits(methods, channels[0]) if methods else None
        last = nn.Conv2d(channels[0], 4 * planes, 3, padding=1)
        if residual:  # another name, so that no warm start takes a whole picture for a correction
            self.correction = last
            with torch.no_grad():  # it starts from no change
                for parameter in last.parameters():
                    parameter.zero_()
        else:
            self.tail = last

    def adapted(self, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of another such network, for a warm start: one that was told methods gives its untold self to one that is not."""
        if self.habits is None and "habits.traits" in stored:
            untold = stored["habits.shift.weight"][:, :, 0, 0] @ stored["habits.traits"][0]
            stored = {**stored, "head.bias": stored["head.bias"] + untold}
        return stored

    def forward(self, halftone: Tensor) -> Tensor:
        picture = halftone[:, : self.planes]
        x = self.head(self.unshuffle(picture))
        if self.habits is not None:
            x = self.habits(halftone[:, self.planes, 0, 0], x)
        skips = []
        for blocks, down in zip(self.down_blocks, self.downs):
            x = blocks(x)
            skips.append(x)
            x = down(x)
        x = self.bottom(x)
        for blocks, up in zip(reversed(self.up_blocks), reversed(self.ups)):
            x = blocks(self.shuffle(up(x)) + skips.pop())
        return picture + self.shuffle(self.correction(x)) if self.residual else self.shuffle(self.tail(x))
