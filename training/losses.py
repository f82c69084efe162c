"""Losses on (N, C, H, W) pictures in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sdk.errors import OptionError, nearest


def rmse(restored: Tensor, photo: Tensor) -> Tensor:
    """Root mean square error of each crop, averaged: squared errors inside a crop, as PSNR counts them, but no crop outweighs the rest."""
    return torch.sqrt(F.mse_loss(restored, photo, reduction="none").mean(dim=(1, 2, 3)) + 1e-8).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "rmse": rmse}
"""What a recipe's ``loss`` may name."""


def loss_named(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function, or an ``OptionError`` that names the nearest."""
    if name not in LOSSES:
        raise OptionError(f"Loss {name!r} is unknown.{nearest(name, LOSSES)}")
    return LOSSES[name]
