"""Muon for the hidden convolutions, AdamW for the rest.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a weight matrix by the nearest
orthogonal matrix, found by five Newton-Schulz steps. So the learning rate is how far the spectral norm of a weight may
move in a step, whatever its shape. Networks without normalisation blow up where that is much above 0.01.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
