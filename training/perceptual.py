"""VGG features (Simonyan & Zisserman 2015), in which perceptual losses measure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.errors import OptionError, nearest
from training.errors import TrainingError

DEPTHS = {10: (2, 2, 3, 3), 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}
"""Convolutions in a weight file -> those of each stage: VGG16 up to conv4_3, VGG16 and VGG19 whole."""

VGG_WEIGHTS = "vgg16_features_fp16.npz"
"""In a data folder: VGG16 up to conv4_3, and LPIPS's heads."""

CAFFE_UNIT = 255 * 0.225
"""The papers' networks take pictures in 0..255, torchvision's in units of the standard deviation of ImageNet. Features are
multiplied by this, so that a paper's weight of its loss means what it meant there."""


class VggFeatures(nn.Module):
    """Pictures (N, 1 or 3, H, W) in [0, 1] -> features after the ReLU of ``layer`` (``conv4_3``), frozen.

    ``weights``: .npz with torchvision's names (``features.N.weight``, ``features.N.bias``), or a .pth of torchvision.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Path, layer: str):
        super().__init__()
        stored = _read(weights)
        indices = _layers(stored, weights)
        names = list(indices)
        if layer not in names:
            raise OptionError(f"{weights} has no layer {layer!r}.{nearest(layer, names)}")
        self.names = names[: names.index(layer) + 1]
        for name, index in zip(self.names, indices.values()):
            self.register_buffer(f"{name}_weight", stored[f"features.{index}.weight"].float())
            self.register_buffer(f"{name}_bias", stored[f"features.{index}.bias"].float())
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        *_, (_, x) = self.layers(pictures)
        return CAFFE_UNIT * x.float()

    def layers(self, pictures: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every layer's name and its features, in torchvision's units, up to the chosen one."""
        x = (pictures.expand(-1, 3, -1, -1) - self.mean) / self.deviation
        for name in self.names:
            if name.endswith("_1") and name != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1))
            yield name, x


class VggLpips(nn.Module):
    """LPIPS 0.1 (Zhang et al. 2018) by the first stages of VGG16, as a loss; the tables judge by LPIPS(alex), so no judge is learnt.

    ``weights``: an .npz with VGG16's features and LPIPS's heads, ``lin.K.weight``.
    """

    HEADS: ClassVar = ("conv1_2", "conv2_2", "conv3_3")

    def __init__(self, weights: Path):
        super().__init__()
        self.features = VggFeatures(weights, self.HEADS[-1])
        stored = _read(weights)
        if missing := [f"lin.{i}.weight" for i in range(len(self.HEADS)) if f"lin.{i}.weight" not in stored]:
            raise TrainingError(f"{weights} has no LPIPS heads ({', '.join(missing)}), which the loss 'lpips' needs.")
        for i, name in enumerate(self.HEADS):
            self.register_buffer(f"{name}_head", stored[f"lin.{i}.weight"].float())

    def forward(self, restored: Tensor, photos: Tensor) -> Tensor:
        """Mean distance of (N, 1 or 3, H, W) pictures in [0, 1]."""
        with torch.no_grad():
            wanted = {name: _unit(x) for name, x in self.features.layers(photos) if name in self.HEADS}
        distance = torch.zeros((), device=restored.device)
        for name, x in self.features.layers(restored):
            if name in self.HEADS:
                distance = distance + F.conv2d((_unit(x) - wanted[name]) ** 2, getattr(self, f"{name}_head")).mean()
        return distance


def layer_names(weights: Path) -> tuple[str, ...]:
    """The layers that a weight file holds, from ``conv1_1`` on."""
    return tuple(_layers(_read(weights), weights))


def _layers(stored: dict[str, Tensor], weights: Path) -> dict[str, int]:
    """Layer -> its number in torchvision's names, in order."""
    indices = sorted({int(key.split(".")[1]) for key in stored if key.startswith("features.")})
    if len(indices) not in DEPTHS:
        raise TrainingError(f"{weights} holds {len(indices)} convolutions; VGG16 has 13 (10 up to conv4_3) and VGG19 has 16.")
    names = [f"conv{stage + 1}_{i + 1}" for stage, count in enumerate(DEPTHS[len(indices)]) for i in range(count)]
    return dict(zip(names, indices))


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=1, eps=1e-10)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise TrainingError(
            f"Features of VGG are needed, but {path} is missing. Give --vgg an .npz or .pth of torchvision's VGG16 or VGG19 (for the term "
            "lpips an .npz with LPIPS's heads, too)."
        )
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return {key: torch.from_numpy(stored[key]) for key in stored.files}
    return torch.load(path, map_location="cpu", weights_only=True)
