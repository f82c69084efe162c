"""Let the SDK run a network of your own, from any ONNX file: ``python -m export.adopt theirs.onnx -o mine.onnx --name mine``.

It then runs as every model here does: tile by tile, on all backends, by the command line, in benchmarks and tables. What can be measured
is: which sizes it takes, at which grid tiles must start, how far a cut is seen, its work. The rest only you know.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.roofline import work_of
from export.to_onnx import stamp, write
from export.verify import measure_halo, real_picture
from sdk.analysis.result import KINDS
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import InferenceError, OptionError, nearest
from sdk.metadata import ModelMetadata
from sdk.tiling import padded
from training.errors import TrainingError, said_plainly
from training.models.inputs import Inputs

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
TASKS = ("inverse-halftoning", "halftoning")
"""Those whose networks need no more than the picture."""
FAR = 160
"""px from a cut, where it should not be seen any more."""


class AdoptionError(TrainingError):
    """The SDK cannot run this network; the message says what it is, and what will do."""


def adopt(source: Path, target: Path, card: ModelMetadata, black: float = 0.0, white: float = 1.0) -> ModelMetadata:
    """Write ``target``, the network of ``source`` with ``card`` and what was measured, and return that.

    The network takes (N, 1, H, W), grey, or (N, 3, H, W), RGB, in float32 and gives the same; ``black`` and ``white`` are its values for
    them. Raises ``AdoptionError`` for networks that the SDK cannot run, and leaves ``target`` as it was.
    """
    if target.resolve() == source.resolve():
        raise AdoptionError(f"{target} is the network itself, which is not written over; give another name.")
    if black == white:
        raise OptionError(f"black and white are both {black:g}; give the two values that the network has for them.")
    graph = _read(source)
    planes = _planes(graph, source)
    if (black, white) != (0, 1):
        _bring_to_unit_range(graph, black, white)
    colour = "rgb" if planes == 3 else "grey"
    metadata = replace(card, input_color=colour, output_color=colour, training={"adopted": source.name})
    stamp(graph, metadata)
    backend = OnnxRuntimeBackend(graph.SerializeToString(), "cpu", where=str(source))
    inputs = Inputs(planes, _multiple(backend, planes, source), continuous=card.task == "halftoning")
    metadata = replace(
        metadata,
        size_multiple=inputs.multiple,
        halo=measure_halo(backend, inputs),
        parameters=sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer if tensor.data_type != TensorProto.INT64),
        kflop_per_pixel=round(work_of(graph).flop_per_pixel / 1e3, 1),
    )
    metadata = replace(metadata, tile=padded(max(metadata.tile, metadata.smallest_tile), inputs.multiple))
    write(graph, metadata, target)
    return metadata


def _read(source: Path) -> ModelProto:
    try:
        graph = onnx.load(source)
        onnx.checker.check_model(graph)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        raise AdoptionError(f"{source} cannot be read as an ONNX file ({str(error).strip()}).") from error
    weights = {tensor.name for tensor in graph.graph.initializer}
    given = [value for value in graph.graph.input if value.name not in weights]  # files of long ago list these, too
    del graph.graph.input[:]
    graph.graph.input.extend(given)
    return graph


def _planes(graph: ModelProto, source: Path) -> int:
    """Of its one input and output, which must be pictures of any size."""
    given, made = graph.graph.input, graph.graph.output
    if (len(given), len(made)) != (1, 1):
        names = ", ".join(value.name for value in given), ", ".join(value.name for value in made)
        raise AdoptionError(f"{source} has the inputs {names[0]} and the outputs {names[1]}; one of each is accepted.")
    kinds = [value.type.tensor_type for value in (*given, *made)]
    if any(kind.elem_type != TensorProto.FLOAT for kind in kinds):
        found = TensorProto.DataType.Name(next(kind.elem_type for kind in kinds if kind.elem_type != TensorProto.FLOAT))
        raise AdoptionError(f"{source} takes or gives {found.lower()}; export it with float32 inputs and outputs (weights may be smaller).")
    dims = kinds[0].shape.dim
    if len(dims) != 4 or dims[1].dim_value not in (1, 3):
        shape = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in dims)
        raise AdoptionError(f"{source} takes ({shape}); accepted: (N, 1, H, W), grey, and (N, 3, H, W), RGB.")
    if dims[2].dim_value or dims[3].dim_value:
        size = " x ".join(str(dim.dim_value or "any") for dim in (dims[3], dims[2]))
        raise AdoptionError(
            f"{source} is made for pictures of {size} px only. Export it with dynamic height and width (torch.onnx.export(..., "
            "dynamic_shapes=...))."
        )
    return dims[1].dim_value


def _bring_to_unit_range(graph: ModelProto, black: float, white: float) -> None:
    """Put before the network what takes 0..1 to ``black`` .. ``white``, and the way back behind it."""
    given, made = graph.graph.input[0], graph.graph.output[0]
    own = [value.name for value in (given, made)]
    given.name, made.name = "unit_halftone", "unit_contone"
    for name, value in (("unit_span", white - black), ("unit_black", black)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    nodes = [
        helper.make_node("Mul", ["unit_halftone", "unit_span"], ["unit_spread"]),
        helper.make_node("Add", ["unit_spread", "unit_black"], [own[0]]),
        *graph.graph.node,
        helper.make_node("Sub", [own[1], "unit_black"], ["unit_shifted"]),
        helper.make_node("Div", ["unit_shifted", "unit_span"], ["unit_contone"]),
    ]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _multiple(backend: OnnxRuntimeBackend, planes: int, source: Path) -> int:
    """The smallest step of sizes that it takes, and of cuts that change nothing far from them."""
    picture, refused = np.ascontiguousarray(real_picture(Inputs(planes))[..., :384, :384]), ""
    whole = backend.run(picture)  # 384 is a multiple of all
    for multiple in MULTIPLES:
        try:
            refused = _misfit(backend, picture, whole, multiple)
        except InferenceError as error:
            refused = str(error)
        if not refused:
            return multiple
    raise AdoptionError(
        f"{source} does not give a picture of the size that it takes, the same wherever it was cut, for sizes of any multiple up to "
        f"{MULTIPLES[-1]} px ({refused}). Networks that look at the whole of a picture cannot run tile by tile."
    )


def _misfit(backend: OnnxRuntimeBackend, picture: np.ndarray, whole: np.ndarray, multiple: int) -> str:
    """What speaks against steps of ``multiple``, where ``whole`` is made of ``picture``; nothing: ""."""
    cut = multiple * (-(-64 // multiple) | 1)  # an odd number of times, which is no larger step's
    sized = np.ascontiguousarray(picture[..., :cut, : cut + 2 * multiple])
    result = backend.run(sized)
    if result.shape != sized.shape or whole.shape != picture.shape:
        return f"it makes {result.shape} of {sized.shape}"
    if not np.isfinite(whole).all():
        return "it gives infinity or NaN"
    rows, columns = (backend.run(np.ascontiguousarray(part)) for part in (picture[..., cut:, :], picture[..., cut:]))
    seen = np.abs(rows - whole[..., cut:, :])[..., FAR:, :].max(), np.abs(columns - whole[..., cut:])[..., FAR:].max()
    return f"a cut at {cut} px is seen {FAR} px away" if max(seen) > 0.5 / 255 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the ONNX file: one input (N, 1 or 3, H, W), one output of the same size, float32")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument(
        "--kinds", nargs="+", default=[], metavar="KIND", help=f"of pictures that it restores ({', '.join(KINDS)}); none: dithers"
    )
    parser.add_argument(
        "--periods", nargs=2, type=float, metavar="PX", help="the screens that it knows; pictures with others are resized to fit"
    )
    parser.add_argument(
        "--black", type=float, default=0.0, help="its value for black (default: 0); 1 where ink is 1, -1 where greys are -1..1"
    )
    parser.add_argument("--white", type=float, default=1.0, help="its value for white (default: 1)")
    for option in ("title", "paper", "licence", "training-data"):
        parser.add_argument(f"--{option}", default="not said", help="for its card")
    options = parser.parse_args()
    for kind in options.kinds:
        if kind not in KINDS:
            raise OptionError(f"--kinds {kind} is unknown.{nearest(kind, KINDS)}")
    card = ModelMetadata(
        name=options.name,
        task=options.task,
        title=options.title,
        paper=options.paper,
        licence=options.licence,
        training_data=options.training_data,
        kinds=tuple(options.kinds),
        periods=tuple(options.periods) if options.periods else None,
    )
    metadata = adopt(options.source, options.output, card, options.black, options.white)
    print(
        f"{options.output}: {metadata.parameters / 1e6:.2f} M parameters, {metadata.kflop_per_pixel:.0f} kFLOP/px, sizes in multiples of "
        f"{metadata.size_multiple} px, a cut is seen {metadata.halo} px far, tiles of {metadata.tile} px"
    )


if __name__ == "__main__":
    with said_plainly():
        main()
