"""Muon for the hidden convolutions, AdamW for the rest; their rates, the gradients they get, and the average of what they lead to.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a weight matrix by the nearest
orthogonal matrix, found by five Newton-Schulz steps. So the learning rate is how far the spectral norm of a weight may
move in a step, whatever its shape. Networks without normalisation blow up where that is much above 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sdk.errors import OptionError, nearest
from training.checkpoints import WEIGHTS
from training.config import OptimiserConfig
from training.errors import TrainingError
from training.precision import has_bf16


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate U V^T of the singular value decompositions of (..., rows, columns) matrices; singular values end in about 0.7..1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if has_bf16(x.device.type):
        x = x.bfloat16()  # enough: it only has to land near 1
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per weight; convolution kernels count as (out, in * height * width) matrices."""

    def __init__(self, params, lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride] - it takes no closure
        for group in self.param_groups:
            of_one_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_one_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in of_one_shape.items():  # stacked, since many small products keep no machine busy
                directions = torch.stack([self._direction(parameter, group["momentum"]) for parameter in parameters])
                updates = orthogonalise(directions.flatten(2)).unflatten(2, shape[1:])
                scale = max(1.0, shape[0] / shape[1:].numel()) ** 0.5
                for parameter, update in zip(parameters, updates):
                    parameter.add_(update, alpha=-group["lr"] * scale)

    def _direction(self, parameter: Tensor, beta: float) -> Tensor:
        """Nesterov's look-ahead of the momentum."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - beta)
        return parameter.grad.lerp(state["momentum"], beta)


def split_parameters(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(hidden convolution kernels for Muon, all other parameters for AdamW: first and last layer, biases, norms)."""
    kernels: list[Tensor] = [module.weight for module in model.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    hidden = [kernel for kernel in kernels[1:-1] if min(kernel.shape[0], kernel[0].numel()) >= 16]
    chosen = {id(kernel) for kernel in hidden}
    rest: list[Tensor] = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    return hidden, rest


def make_optimisers(model: nn.Module, config: OptimiserConfig, rate: float = 1.0) -> list[torch.optim.Optimizer]:
    """AdamW for all, or for what Muon leaves; each group remembers its peak: the config's, times ``rate``."""
    if config.name not in ("adamw", "muon"):
        raise OptionError(f"Optimiser {config.name!r} is unknown.{nearest(config.name, ('adamw', 'muon'))}")
    if config.name == "adamw":
        optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0)]
    else:
        hidden, rest = split_parameters(model)
        optimisers = [Muon(hidden, config.muon_learning_rate)] if hidden else []
        optimisers.append(torch.optim.AdamW(rest, config.learning_rate, weight_decay=0))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = rate * group["lr"]
    return optimisers


def set_learning_rate(optimisers: Sequence[torch.optim.Optimizer], warmup_steps: int, step: int, elapsed: float) -> None:
    """Linear warm-up over the first steps, then half a cosine to zero; ``elapsed`` is the share of the budget used, 0..1."""
    factor = min(1.0, (step + 1) / max(1, warmup_steps)) * 0.5 * (1 + math.cos(math.pi * elapsed))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


def clip_gradients(model: nn.Module, norm: float, step: int) -> Tensor:
    """Their norm before; a ``TrainingError``, before anything is updated or saved, where they are no numbers any more."""
    found = torch.nn.utils.clip_grad_norm_(model.parameters(), norm)
    if not torch.isfinite(found):
        raise TrainingError(
            f"The gradients of step {step + 1} are not finite. Begin another run (--run) with lower learning rates; what this one saved "
            f"before, if it did, is as it was (--start-from .../{WEIGHTS})."
        )
    return found


@torch.no_grad()
def update_average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights and of the statistics of batch norms; ``decay`` is smaller in the first steps,
    so that the start is forgotten."""
    now = model.state_dict()
    for name, average in ema.state_dict().items():
        if average.is_floating_point():
            average.lerp_(now[name], 1 - decay)
        else:
            average.copy_(now[name])
