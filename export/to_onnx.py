"""Export trained weights to one ONNX file: ``python -m export.to_onnx runs/fast/weights.safetensors -o runs/fast/fast.onnx``.

Height and width stay dynamic, opset 20. Weights are rounded to fp16 and stored so, with a cast to fp32 beside each: the
file is half as large, all arithmetic is fp32. What the model is and was trained on goes into ``metadata_props``.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from onnx import numpy_helper
from torch import nn
from torch.export import Dim

from export.exported import as_exported
from export.verify import measure_halo, verify
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import nearest
from sdk.files.whole_files import write_whole
from sdk.metadata import ModelMetadata
from training.arguments import count
from training.config import RECIPES, Recipe, RecipeError, load_recipe
from training.cost import kflop_per_pixel
from training.errors import said_plainly
from training.models.cdh import CDH
from training.models.inputs import Inputs

OPSET = 20
IR_VERSION = 10  # what onnxruntime 1.18 and later read


def export(
    weights: Path, target: Path, steps: int | None = None, name: str | None = None, training_data: str | None = None
) -> ModelMetadata:
    """Write ``target`` and return its metadata; fails if onnxruntime does not compute what torch does.

    steps: of the sampler of diffusion models, unrolled in the graph (default: the recipe's). name: default: the recipe's, and the steps.
    training_data: what the weights learnt from, with its licences (default: as the recipe's card says).
    """
    model, recipe, progress = as_exported(weights, steps)
    training = {key: value for key, value in progress.items() if key != "before_data"}  # which the card tells
    arguments, evaluations = dict(recipe.model), 1
    if isinstance(model, CDH):
        evaluations = model.steps
        arguments.pop("steps", None)  # the recipe's, and no steps of training
        name = name or f"{recipe.name}-{evaluations}step"
    inputs = Inputs.of(model)
    graph = slim(trace(model, inputs))
    store_weights_as_fp16(graph)
    colour = "rgb" if inputs.planes == 3 else "grey"
    metadata = ModelMetadata(
        name=name or recipe.name,
        input_color=colour,
        output_color=colour,
        conditions=inputs.conditions,
        needs_noise=inputs.needs_noise,
        tone_search=bool(getattr(model, "tone_search", False)),
        num_inference_steps=evaluations,
        size_multiple=inputs.multiple,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        kflop_per_pixel=round(kflop_per_pixel(model, inputs.count), 1),
        training={"recipe": recipe.name, "architecture": recipe.architecture, **arguments, **training},
        **{**card(recipe, progress, training_data), **({"methods": recipe.data.methods} if "method" in inputs.conditions else {})},
    )
    stamp(graph, metadata)
    backend = OnnxRuntimeBackend(graph.SerializeToString(), "cpu", where=f"the export of {weights}")
    halo = measure_halo(backend, inputs)
    metadata = replace(metadata, parity_max_abs_diff=verify(model, backend), halo=halo)
    metadata = replace(metadata, tile=max(metadata.tile, metadata.smallest_tile))
    write(graph, metadata, target)
    return metadata


def card(recipe: Recipe, progress: dict[str, Any], training_data: str | None = None) -> dict[str, Any]:
    """What the model says of itself, from the recipe as it stands now: words may be mended after a model was trained.

    A ``RecipeError`` where that is too little, or tells of other photographs than these weights learnt from.
    """
    current = RECIPES / f"{recipe.name}.toml"
    found = dict(load_recipe(current).card if current.is_file() else recipe.card)
    if training_data:
        found["training_data"] = training_data
    known = {each.name: each for each in fields(ModelMetadata)}
    for key in found:
        if key not in known or key == "name":
            raise RecipeError(f"{recipe.name}: the [card] has an unknown key {key!r}.{nearest(key, known.keys() - {'name'})}")
    needed = [key for key, each in known.items() if each.default is MISSING and each.default_factory is MISSING and key != "name"]
    if missing := [key for key in needed if key not in found]:
        raise RecipeError(f"{recipe.name}: the recipe's [card] lacks {', '.join(missing)}, which a model says of itself.")
    told, count = re.match(r"([\d,]+) photographs", found["training_data"]), progress.get("photographs")
    if told and count is not None and int(told[1].replace(",", "")) != count:
        raise RecipeError(
            f"The card says that {recipe.name!r} was trained on {told[0]}, but these weights learnt from {count:,} (those of the folder "
            "that are large enough for a crop). Say what those are, and their licences, by --training-data."
        )
    learnt_before = progress.get("before_data") or found["training_data"]
    if learnt_before != found["training_data"]:
        found["training_data"] += f"; before, as {progress['before'][-1]['model']!r}: {learnt_before}"
    return found


def trace(model: nn.Module, inputs: Inputs) -> onnx.ModelProto:
    """The graph of (N, input planes, H, W) -> (N, planes, H, W), with N dynamic, and H, W dynamic multiples of what the model asks."""
    multiple = inputs.multiple
    example = torch.rand(2, inputs.count, 8 * multiple, 10 * multiple)
    dynamic = {0: Dim("batch"), 2: multiple * Dim("rows", min=2), 3: multiple * Dim("columns", min=2)}
    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        dynamic_shapes=(dynamic,),
        input_names=["halftone"],
        output_names=["contone"],
        external_data=False,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def slim(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants, fuse and drop dead nodes (onnxslim).

    Not into convolutions: where the steps of a sampler share theirs, each would get a copy, and rounded anew. Runtimes do it on loading.
    """
    slimmed = onnxslim.slim(graph, skip_fusion_patterns=["FusionConvMul", "FusionConvAdd"])  # pyright: ignore[reportArgumentType] - it is typed wrong
    assert isinstance(slimmed, onnx.ModelProto)
    return slimmed


def store_weights_as_fp16(graph: onnx.ModelProto) -> None:
    """Replace every weight that fp16 holds exactly, as those of a rounded model do, by that and a Cast, which runtimes fold on loading.

    What was computed from weights while the graph was slimmed stays as it is, so the file is no other network than torch's.
    """
    casts = []
    for initializer in graph.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype != np.float32 or values.size < 16:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half, values):
            continue
        stored = numpy_helper.from_array(half, initializer.name + "_fp16")
        casts.append(onnx.helper.make_node("Cast", [stored.name], [initializer.name], to=onnx.TensorProto.FLOAT))
        initializer.CopyFrom(stored)
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def stamp(graph: onnx.ModelProto, metadata: ModelMetadata) -> None:
    """Put the metadata into the graph, in place of what it says of itself, and check it."""
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, metadata.to_props())
    graph.producer_name = "inverse-halftoner"
    graph.ir_version = IR_VERSION
    onnx.checker.check_model(graph)


def write(graph: onnx.ModelProto, metadata: ModelMetadata, target: Path) -> None:
    """Stamp the graph and save it; folders on the way are made."""
    stamp(graph, metadata)
    write_whole(target, graph.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=count, help="of the sampler of a diffusion model (default: the recipe's)")
    parser.add_argument("--name", help="the model's (default: the recipe's; of a diffusion model <recipe>-<steps>step)")
    parser.add_argument("--training-data", metavar="TEXT", help="what it learnt from, with licences (default: as the recipe's card says)")
    options = parser.parse_args()
    metadata = export(options.weights, options.output, options.steps, options.name, options.training_data)
    size = options.output.stat().st_size / 2**20
    print(
        f"{options.output}: {size:.1f} MiB, {metadata.parameters / 1e6:.2f} M parameters, {metadata.kflop_per_pixel:.0f} kFLOP/px, "
        f"largest torch-onnxruntime difference {metadata.parity_max_abs_diff:.1e}"
    )


if __name__ == "__main__":
    with said_plainly():
        main()
