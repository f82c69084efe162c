"""What networks are trained in: bf16 with fp32 weights where the machine computes in it, else fp32.

A CPU without bf16 arithmetic (x86 before AVX512-BF16) emulates it, at a tenth of the speed of fp32.
"""

from __future__ import annotations

from functools import cache

import torch
from accelerate import Accelerator, PartialState


@cache
def has_bf16(device: str) -> bool:
    """Whether devices of this type (``cpu``, ``cuda`` ...) compute in bf16 themselves."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return True


def accelerated() -> Accelerator:
    """Of the machine's best device, in the precision it is fast in."""
    device = torch.device(str(PartialState().device))
    return Accelerator(mixed_precision="bf16" if has_bf16(device.type) else "no")


def autocast(device: torch.device) -> torch.autocast:
    """The same precision for what runs outside of an accelerator."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device.type))
