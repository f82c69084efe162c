"""Networks as torch runs them, in the precision of training, on whole pictures: for those that have no exported file."""

from __future__ import annotations

import platform
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from sdk.images import from_unit, to_unit
from sdk.networks.noise import DEFAULT_SEED, noise_field
from sdk.tiling import infer_tiled, padded
from training.models.inputs import Inputs
from training.precision import has_bf16

Run = Callable[[np.ndarray, int], np.ndarray]
"""(bool or uint8 HxW, seed) -> float32 HxW."""


def runner(model: nn.Module, accelerator: Accelerator) -> Run:
    """A network of one plane on the accelerator's device; one that needs noise gets what the SDK would draw from the seed."""
    model = model.to(accelerator.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    takes = Inputs.of(model)

    @torch.inference_mode()
    def infer(planes: np.ndarray, *noise: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(np.concatenate([to_unit(planes), *noise], axis=1))
        with accelerator.autocast():
            restored = model(inputs.to(accelerator.device, memory_format=torch.channels_last))
        return restored.float().cpu().numpy()

    def run(picture: np.ndarray, seed: int = DEFAULT_SEED) -> np.ndarray:
        height, width = (padded(side, takes.multiple) for side in picture.shape)
        noise = noise_field(seed, 0, height, width) if takes.needs_noise else None
        return infer_tiled(picture, infer, max(height, width), overlap=0, multiple=takes.multiple, beside=noise)

    return run


def restorer(model: nn.Module, accelerator: Accelerator) -> Callable[[np.ndarray], np.ndarray]:
    """``runner`` from the default seed, bool HxW -> uint8 HxW."""
    run = runner(model, accelerator)
    return lambda white: from_unit(run(white, DEFAULT_SEED), np.uint8)


def machine(device: torch.device) -> str:
    """What it runs on, in words."""
    cpu = f"{platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return f"{name}, torch {torch.__version__} in {'bf16' if has_bf16(device.type) else 'fp32'}"
