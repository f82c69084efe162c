"""A run's network as it is exported: batch norms folded, weights rounded to fp16, the times of a sampler computed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sdk.errors import OptionError
from training.checkpoints import load_model
from training.config import Recipe
from training.models.cdh import CDH


def as_exported(weights: Path, steps: int | None = None) -> tuple[nn.Module, Recipe, dict[str, Any]]:
    """Network, recipe, progress. steps: of the sampler of diffusion models (default: the recipe's); others have none."""
    model, recipe, progress = load_model(weights)
    fold_batch_norms(model)
    model.half().float()  # round once, so that torch and the stored file agree
    if isinstance(model, CDH):
        model.steps = model.steps if steps is None else steps
        model.freeze()
    elif steps is not None:
        raise OptionError(f"{weights} is a {recipe.architecture}, no diffusion model: it has no steps. Leave --steps out.")
    return model, recipe, progress


def fold_batch_norms(model: nn.Module) -> None:
    """Each batch norm into the convolution before it: runtimes do so after the weights are rounded, which makes another network."""
    for stack in model.modules():
        if not isinstance(stack, nn.Sequential):
            continue
        for i, (layer, norm) in enumerate(pairwise(stack)):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                stack[i] = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
                stack[i + 1] = nn.Identity()
