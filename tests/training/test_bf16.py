"""bf16 is used where the machine computes in it, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from export.roofline import cpu_flags
from training import optim
from training.optim import orthogonalise
from training.precision import accelerated, autocast, has_bf16


@pytest.mark.skipif(not cpu_flags(), reason="needs the flags of an x86 CPU from Linux")
def test_what_the_cpu_says_of_itself() -> None:
    if "avx512_bf16" in cpu_flags():
        assert has_bf16("cpu")
    elif "avx512bw" not in cpu_flags():
        assert not has_bf16("cpu")


def test_training_and_validation_are_of_one_precision() -> None:
    device = accelerated().device
    x = torch.ones(1, 1, 4, 4, device=device)
    conv = torch.nn.Conv2d(1, 1, 3).to(device)
    with accelerated().autocast():
        trained = conv(x).dtype
    with autocast(device):
        validated = conv(x).dtype
    assert trained == validated == (torch.bfloat16 if has_bf16(device.type) else torch.float32)


@pytest.mark.parametrize("fast_bf16", [True, False])
def test_muon_steps_are_orthogonal_in_either(fast_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "has_bf16", lambda device: fast_bf16)
    step = orthogonalise(torch.randn(2, 8, 24, generator=torch.Generator().manual_seed(0)))
    assert step.dtype == torch.float32
    singular = torch.linalg.svdvals(step)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
