"""What a network costs to run."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def kflop_per_pixel(model: nn.Module, planes: int = 1, side: int = 256) -> float:
    """Thousand floating-point operations a pixel of input; a multiply-add counts as two. On torch's "meta" device nothing is computed."""
    device = next((parameter.device for parameter in model.parameters()), None)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, planes, side, side, device=device))
    return counter.get_total_flops() / side**2 / 1e3
