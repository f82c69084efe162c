"""Networks that denoise a state under conditions, told how noisy it is.

``Denoiser``: the U-Net of ``fast`` with each block scaled and shifted by the noise level; no normalisation, no attention, so a tile
computes exactly what the whole picture would. ``PaperDenoiser``: the U-Net of the diffusion papers, from diffusers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.models.construct import check_levels


class Denoiser(nn.Module):
    """Planes (N, inputs, H, W) and ``embed`` of the times -> prediction (N, 1, H, W); H and W are multiples of ``size_multiple``.

    ``channels`` and ``blocks``: of each level, as of ``FastNet``; ``time_features``: width of the embedding of the time.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...] = (48, 96), blocks: tuple[int, ...] = (3, 6), time_features: int = 64):
        super().__init__()
        check_levels(channels, blocks)
        self.size_multiple = 2 ** len(channels)
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.head = nn.Conv2d(4 * inputs, channels[0], 5, padding=2)
        fine_to_coarse = list(zip(channels, channels[1:], blocks))
        self.down_blocks = nn.ModuleList(_stack(fine, count) for fine, _, count in fine_to_coarse)
        self.downs = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse, _ in fine_to_coarse)
        self.bottom = _stack(channels[-1], blocks[-1])
        self.ups = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse, _ in reversed(fine_to_coarse))
        self.up_blocks = nn.ModuleList(_stack(fine, count) for fine, _, count in reversed(fine_to_coarse))
        self.tail = nn.Conv2d(channels[0], 4, 3, padding=1)

        widths = [block.channels for block in self.modules() if isinstance(block, ModulatedBlock)]  # in the order they run
        self.time_features, self._offsets = time_features, [2 * sum(widths[:i]) for i in range(len(widths) + 1)]
        self.time = nn.Sequential(nn.Linear(time_features, 2 * time_features), nn.SiLU(), nn.Linear(2 * time_features, self._offsets[-1]))
        unchanged = torch.cat([torch.cat([torch.ones(width), torch.zeros(width)]) for width in widths])
        self.register_buffer("unchanged", unchanged, persistent=False)
        with torch.no_grad():  # from little that it says, and that time does
            for parameter in (*self.time[2].parameters(), *self.tail.parameters()):
                parameter.mul_(0.1)

    def embed(self, times: Tensor) -> Tensor:
        """Times (N,) in [0, 1] -> scales and shifts of all blocks, (N, features)."""
        frequencies = torch.exp(torch.linspace(0, math.log(1000), self.time_features // 2, device=times.device))
        angles = times.float()[:, None] * frequencies[None]
        return self.unchanged + self.time(torch.cat([angles.sin(), angles.cos()], dim=1))  # type: ignore[operator]

    def forward(self, planes: Tensor, embedding: Tensor) -> Tensor:
        spans = zip(self._offsets, self._offsets[1:])
        factors = iter([(embedding[:, a : (a + b) // 2, None, None], embedding[:, (a + b) // 2 : b, None, None]) for a, b in spans])
        x = self.head(self.unshuffle(planes))
        skips = []
        for blocks, down in zip(self.down_blocks, self.downs):
            for block in blocks:  # type: ignore[union-attr]
                x = block(x, *next(factors))
            skips.append(x)
            x = down(x)
        for block in self.bottom:
            x = block(x, *next(factors))
        for blocks, up in zip(self.up_blocks, self.ups):
            x = self.shuffle(up(x)) + skips.pop()
            for block in blocks:  # type: ignore[union-attr]
                x = block(x, *next(factors))
        return self.shuffle(self.tail(x))


class ModulatedBlock(nn.Module):
    """x + conv(relu(scaled and shifted conv(x))): the block of ``fast``, told the time."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y = self.conv1(x)
        return x + self.conv2(torch.relu(y * scale.to(y.dtype) + shift.to(y.dtype)))  # float32 factors would make all of it float32


def _stack(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ModulatedBlock(channels) for _ in range(count))


class PaperDenoiser(nn.Module):
    """diffusers' ``UNet2DModel`` as the CDH paper describes its networks: width 64, 4 attention heads at the coarsest levels.

    Its group norms and attention look at the whole tile, so a picture is best restored in one.
    """

    size_multiple = 8

    def __init__(self, inputs: int, width: int = 64, heads: int = 4):
        super().__init__()
        from diffusers.models.unets.unet_2d import UNet2DModel

        self.unet = UNet2DModel(
            in_channels=inputs,
            out_channels=1,
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
            down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
            attention_head_dim=4 * width // heads,
            norm_num_groups=32,
        )

    def embed(self, times: Tensor) -> Tensor:
        """Times in [0, 1], in the thousandths that the network's own embedding expects."""
        return 1000 * times

    def forward(self, planes: Tensor, embedding: Tensor) -> Tensor:
        return self.unet(planes, embedding).sample
