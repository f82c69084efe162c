"""Q/DQ: an fp32 graph with its convolutions in int8, as TensorRT, TensorRT-RTX, OpenVINO and onnxruntime take it.

A QuantizeLinear and a DequantizeLinear before each convolution, and int8 weights behind a DequantizeLinear; everything symmetric,
weights by output channel, biases left in float: what TensorRT's parser asks for. ``onnxruntime.quantization`` can be told to do
the same; here ranges are collected once, cut where the squared error is least, and a convolution can be left out without
collecting them anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

QUANTISED = {"Conv": 0, "ConvTranspose": 1}
"""Operator -> the axis of its weights that counts output channels."""
LARGEST = 127
NO_FLOATS = {"Shape", "Size", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not"}
VALUES_KEPT = 50_000
"""Of each tensor and batch, drawn at random."""
CUTS = np.linspace(0.3, 1.0, 36)
"""Shares of the largest value, one of which becomes 127; what lies beyond is clipped."""


def with_float_weights(model: ModelProto) -> ModelProto:
    """The Casts behind weights that are stored as fp16 (``export.to_onnx``) folded away."""
    folded = ModelProto()
    folded.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in folded.graph.initializer}
    rest = []
    for node in folded.graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            tensor = stored[node.input[0]]
            kind = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), node.output[0]))
        else:
            rest.append(node)
    del folded.graph.node[:]
    folded.graph.node.extend(rest)
    return folded


def convolutions(model: ModelProto) -> list[NodeProto]:
    """Those whose weights are constants, in the order of the graph; by ``name_of`` they are left out.

    Not those of planes of one value each, which say something of the whole picture: there is little to save, and all depends on them.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    even = {node.output[0] for node in model.graph.node if node.op_type == "Expand"}
    return [n for n in model.graph.node if n.op_type in QUANTISED and n.input[1] in constants and n.input[0] not in even]


def name_of(node: NodeProto) -> str:
    return node.output[0]


def find_scales(model: ModelProto, batches: Iterable[np.ndarray], threads: int = 0) -> dict[str, float]:
    """Tensor that a convolution takes -> its step: of all ``CUTS`` the one with the least squared error over the batches."""
    names = list(dict.fromkeys(node.input[0] for node in convolutions(model)))
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    source = model.graph.input[0].name
    session = open_session(with_outputs(model, [name for name in names if name != source]), threads)
    rng = np.random.default_rng(0)
    for batch in batches:
        found = dict(zip([end.name for end in session.get_outputs()], session.run(None, {source: batch})), **{source: batch})
        for name in names:
            flat = np.asarray(found[name]).ravel()
            values[name].append(rng.choice(flat, VALUES_KEPT) if flat.size > VALUES_KEPT else flat)
            values[name].append(flat[[np.abs(flat).argmax()]])
    return {name: best_scale(np.concatenate(drawn)) for name, drawn in values.items()}


def best_scale(values: np.ndarray) -> float:
    """The step of int8 that changes the values least, in the mean of squares."""
    largest = float(np.abs(values).max(initial=0)) or 1.0
    scales = CUTS * largest / LARGEST
    errors = [np.mean((np.clip(np.round(values / scale), -LARGEST - 1, LARGEST) * scale - values) ** 2) for scale in scales]
    return float(scales[int(np.argmin(errors))])


def quantise(model: ModelProto, scales: dict[str, float], keep: Collection[str] = ()) -> ModelProto:
    """The graph with all convolutions but those in ``keep`` (by ``name_of``) in int8."""
    quantised = ModelProto()
    quantised.CopyFrom(model)
    graph = quantised.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    chosen = {name_of(node) for node in convolutions(model)} - set(keep)
    tensors: dict[str, TensorProto] = {}
    nodes: list[NodeProto] = []
    done: set[str] = set()

    def constant(name: str, value: np.ndarray) -> str:
        tensors[name] = numpy_helper.from_array(value, name)
        return name

    for node in graph.node:
        if name_of(node) in chosen:
            activation, weight = node.input[:2]
            steps = [constant(f"{activation}_scale", np.array(scales[activation], np.float32)), constant("int8_zero", np.array(0, np.int8))]
            if activation not in done:
                nodes.append(helper.make_node("QuantizeLinear", [activation, *steps], [f"{activation}_int8"], f"{activation}_q"))
                nodes.append(helper.make_node("DequantizeLinear", [f"{activation}_int8", *steps], [f"{activation}_dq"], f"{activation}_dq"))
            if weight not in done:
                axis = QUANTISED[node.op_type]
                nodes.append(_dequantised_weight(weight, weights[weight], axis, constant))
            done.update((activation, weight))
            node.input[0], node.input[1] = f"{activation}_dq", f"{weight}_dq"
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *tensors.values()])
    return quantised


def _dequantised_weight(name: str, weight: np.ndarray, axis: int, constant) -> NodeProto:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others)
    scale = (np.where(largest > 0, largest, 1) / LARGEST).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    whole = np.clip(np.round(weight / scale.reshape(shape)), -LARGEST, LARGEST).astype(np.int8)
    inputs = [
        constant(f"{name}_int8", whole),
        constant(f"{name}_scale", scale),
        constant(f"{name}_zero", np.zeros(len(scale), np.int8)),
    ]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], f"{name}_dq", axis=axis)


def rounded_to_fp16(model: ModelProto) -> ModelProto:
    """The fp32 graph with its input, its constants and every result of an operator rounded to fp16 and back: what a GPU computes in fp16,
    sums in fp32, on a CPU.

    onnxruntime's CPU kernels would cancel the Casts of a graph in fp16, and compute in fp32.
    """
    rounded = ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    floats, source = _float_results(model), graph.input[0].name

    def half_and_back(exact: str, name: str) -> list[NodeProto]:
        return [
            helper.make_node("Cast", [exact], [f"{name}_half"], f"{name}_half", to=TensorProto.FLOAT16),
            helper.make_node("Cast", [f"{name}_half"], [name], f"{name}_back", to=TensorProto.FLOAT),
        ]

    nodes = half_and_back(source, f"{source}_seen")
    for node in graph.node:
        node.input[:] = [f"{source}_seen" if name == source else name for name in node.input]
        nodes.append(node)
        for i, name in enumerate(node.output):
            if name in floats:
                node.output[i] = f"{name}_exact"
                nodes += half_and_back(f"{name}_exact", name)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return rounded


def _float_results(model: ModelProto) -> set[str]:
    """Results of the operators that compute with pixels; shapes are counted in integers, and constants need no rounding."""
    of_pixels, indices = {model.graph.input[0].name}, set()
    for node in model.graph.node:
        if node.op_type in NO_FLOATS or not of_pixels.union(indices).intersection(node.input):
            continue
        whole = node.op_type == "Cast" and node.attribute[0].i not in (TensorProto.FLOAT, TensorProto.FLOAT16)
        (indices if whole else of_pixels).update(node.output)
    return of_pixels - {model.graph.input[0].name}


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """Inner float tensors as outputs, too."""
    opened = ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return opened


def open_session(model: ModelProto, threads: int = 0) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
