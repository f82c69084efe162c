"""A run on disk: one safetensors file with everything that a resumed run needs, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sdk.catalog import metadata_of, model_bytes
from sdk.files.whole_files import write_whole
from training.config import Recipe, from_table, to_table
from training.errors import TrainingError
from training.models import build
from training.models.fast import FastNet

CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "weights.safetensors"


def save_weights(path: Path, weights: dict[str, Tensor], recipe: Recipe, progress: dict[str, Any]) -> None:
    """Released weights: the averaged (EMA) model, with its recipe and how far it was trained in the header."""
    _write(path, weights, {"recipe": to_table(recipe), "progress": progress})


def load_weights(path: Path) -> tuple[dict[str, Tensor], Recipe, dict[str, Any]]:
    """Weights, recipe and progress of ``save_weights``."""
    tensors, header = _read(path)
    return tensors, from_table(Recipe, header["recipe"], str(path)), header["progress"]


def load_model(path: Path) -> tuple[nn.Module, Recipe, dict[str, Any]]:
    """The network those weights belong to, ready to run, with its recipe and progress."""
    tensors, recipe, progress = load_weights(path)
    model = build(recipe.architecture, **recipe.model)
    model.load_state_dict(tensors)
    return model.eval(), recipe, progress


def begin_from(model: nn.Module, path: Path, run: Path) -> dict[str, Any]:
    """``warm_start`` a new run, and say so; a ``TrainingError`` where the run has begun, since it would go on from its own weights.

    Returns what its progress shall tell of them: ``before``, the trainings that led to them, and ``before_data``, what they learnt from.
    """
    if (run / CHECKPOINT).is_file():
        raise TrainingError(f"{run} holds a run that has begun: leave out --start-from to go on with it, or give --run another folder.")
    fresh = warm_start(model, path)
    named = ", ".join(fresh[:4]) + (" ..." if len(fresh) > 4 else "")
    print(f"started from {path}" + (f"; {len(fresh)} tensors are not in it: {named}" if fresh else ""))
    if path.suffix == ".onnx":
        metadata = metadata_of(path)
        return _history(metadata.name, metadata.training, metadata.training_data)
    _, recipe, progress = load_weights(path)
    return history(recipe, progress)


def history(recipe: Recipe, progress: dict[str, Any]) -> dict[str, Any]:
    """What the progress of a network shall tell that begins as the one that was trained so; as of ``begin_from``."""
    return _history(recipe.name, progress, progress.get("before_data") or recipe.card.get("training_data", ""))


def _history(name: str, progress: Mapping[str, Any], learnt_from: str) -> dict[str, Any]:
    latest = {"model": name} | {key: progress[key] for key in ("steps", "distillation_steps", "seconds", "photographs") if key in progress}
    return {"before": [*progress.get("before", ()), latest], "before_data": learnt_from}


def began_with(progress: dict[str, Any]) -> dict[str, Any]:
    """What of a stored progress ``begin_from`` once told."""
    return {key: progress[key] for key in ("before", "before_data") if key in progress}


def warm_start(model: nn.Module, path: Path) -> list[str]:
    """Fill ``model`` from a run's weights.safetensors, or from a released .onnx file (fp16 precision; needs onnx).

    A colour network takes the weights of a grey one: each plane gets a third of its input weights, and its output
    weights whole. Returns the names of the parameters that the file lacks; they stay as they are.
    """
    stored = _released_weights(path) if path.suffix == ".onnx" else load_weights(path)[0]
    stored = model.adapted(stored) if isinstance(model, FastNet) else stored
    wanted = model.state_dict()
    try:
        fitting = {name: _for_planes(stored[name], tensor.shape) for name, tensor in wanted.items() if name in stored}
        model.load_state_dict(wanted | fitting)
    except RuntimeError as error:
        raise TrainingError(f"{path} holds a network of another size; start from one of the recipe's [model] ({error}).") from error
    if 2 * len(fitting) < len(wanted):
        raise TrainingError(
            f"{path} holds {len(fitting)} of the {len(wanted)} tensors of this network; start from one of the same architecture and size."
        )
    return [name for name in wanted if name not in stored]


def _released_weights(path: Path) -> dict[str, Tensor]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model_bytes(path)[0]).graph
    return {t.name.removesuffix("_fp16"): torch.from_numpy(numpy_helper.to_array(t).astype("float32")) for t in graph.initializer}


def _for_planes(weights: Tensor, shape: torch.Size) -> Tensor:
    """Kernels and biases of a grey network's first or last convolution, repeated for the three planes of ``shape``; others as they are."""
    other = [axis for axis in range(weights.ndim) if weights.ndim == len(shape) and weights.shape[axis] != shape[axis]]
    if len(other) != 1 or other[0] > 1 or shape[other[0]] != 3 * weights.shape[other[0]]:
        return weights
    repeated = weights.repeat([3 if axis in other else 1 for axis in range(weights.ndim)])
    return repeated / 3 if other == [1] else repeated


def save_checkpoint(
    path: Path, model: nn.Module, ema: nn.Module, optimisers: list[torch.optim.Optimizer], recipe: Recipe, progress: dict[str, Any]
) -> None:
    """Model, average, optimiser states and progress; the learning rates follow from the progress."""
    tensors = {f"model/{k}": v for k, v in model.state_dict().items()} | {f"ema/{k}": v for k, v in ema.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for parameter, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{i}/{parameter}/{key}": torch.as_tensor(value) for key, value in state.items()}
    _write(path, tensors, {"recipe": to_table(recipe), "progress": progress})


MAY_CHANGE = ("steps", "card", "validation", "distillation")
"""Of a recipe while its run goes on."""


def load_checkpoint(
    path: Path, recipe: Recipe, model: nn.Module, ema: nn.Module, optimisers: list[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Fill all of them from ``save_checkpoint``'s file; returns the progress. A ``TrainingError`` if it is of another recipe."""
    tensors, header = _read(path)
    began, now = (_texts(each) for each in (from_table(Recipe, header["recipe"], str(path)), recipe))
    if changed := [key for key in now if key not in MAY_CHANGE and began[key] != now[key]]:
        raise TrainingError(
            f"{path} is of a run with another {' and '.join(changed)}. Go on with the recipe it began with, or give --run another folder "
            f"(and --start-from {path.parent / WEIGHTS})."
        )
    for prefix, module in (("model/", model), ("ema/", ema)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for i, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(f"optimiser/{i}/"):
                _, _, parameter, key = name.split("/")
                state.setdefault(int(parameter), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return header["progress"]


def _texts(recipe: Recipe) -> dict[str, str]:
    """Key -> value as text, the same for lists and tuples."""
    return {key: json.dumps(value, sort_keys=True) for key, value in to_table(recipe).items()}


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    # clone(): safetensors refuses views and channels_last memory
    plain = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    write_whole(path, save(plain, {key: json.dumps(value) for key, value in header.items()}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as stored:
            header = {key: json.loads(value) for key, value in (stored.metadata() or {}).items()}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping, it cannot be iterated
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Give the weights.safetensors of a run (python -m training.train).") from error
    if not {"recipe", "progress"} <= set(header):
        raise TrainingError(f"{path} holds no network of a run. Give the weights.safetensors that training.train wrote.")
    return tensors, header
