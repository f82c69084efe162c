"""The precision of an ONNX graph, changed without the ``onnx`` package.

TensorRT 11 has no fp16 flag any more: networks are strongly typed, so half precision is made in the graph. The weights of our
files are stored as fp16 behind Casts to float32; here these Casts go to the new type instead, all other float32 constants are
converted, and one Cast after the input and one before the output keep float32 at both ends. So one released file serves every
precision. An ONNX file is one protobuf message (``sdk.protobuf``).

(onnxruntime's CPU backend cancels the Casts and computes in float32, so what fp16 costs shows on a GPU, or in onnx's
reference evaluator, only.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sdk.errors import ModelError, OptionError, nearest
from sdk.protobuf import Message, decode, encode

PRECISIONS = ("fp32", "fp16", "bf16")

FLOAT, FLOAT16, BFLOAT16 = 1, 10, 16  # TensorProto.DataType
KEPT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
"""Operators whose scales are float32 by definition, whatever the precision of the pixels."""

# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 1, 5, 11, 12, 13
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_TYPE, NODE_ATTRIBUTE = 1, 2, 3, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_INT, ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TYPE = 1, 3, 5, 6, 20
TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 2, 4, 8, 9
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_ELEMENT = 1, 2, 1, 1


def in_precision(onnx: bytes, precision: str, where: str = "the model") -> bytes:
    """The same model computing in ``precision``; "fp32" gives the bytes back as they are.

    Inputs and outputs stay float32. Raises ``ModelError`` where a constant does not fit into fp16, or the file is no ONNX file.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"Precision {precision!r} is unknown.{nearest(precision, PRECISIONS)}")
    model = decode(onnx, where)
    if not any(number == MODEL_GRAPH for number, _ in model):
        raise ModelError(f"{where} is no ONNX file: it holds no graph. Export it again, or fetch a fresh copy.")
    if precision == "fp32":
        return onnx
    half = FLOAT16 if precision == "fp16" else BFLOAT16
    return encode((number, _convert_graph(value, half, where) if number == MODEL_GRAPH else value) for number, value in model)


def precision_of(onnx: bytes, where: str = "the model") -> str:
    """What the graph computes in: "int8" between QuantizeLinear and DequantizeLinear, "fp16" or "bf16" after a Cast to it, or "fp32"."""
    found = {"fp32"}
    for data in (node for graph in _all(decode(onnx, where), MODEL_GRAPH) for node in _all(decode(graph, where), GRAPH_NODE)):
        node = decode(data, where)
        kind = _field_text(node, NODE_TYPE)
        if kind == "QuantizeLinear":
            return "int8"
        if kind == "Cast":
            to = {value for attribute in _all(node, NODE_ATTRIBUTE) for value in _all(decode(attribute, where), ATTRIBUTE_INT)}
            found |= {name for name, code in (("fp16", FLOAT16), ("bf16", BFLOAT16)) if code in to}
    return max(found, key=("fp32", "bf16", "fp16").index)


def _convert_graph(data: int | bytes, half: int, where: str) -> bytes:
    graph = decode(data, where)
    nodes = [decode(value, where) for value in _all(graph, GRAPH_NODE)]
    initializers = [decode(value, where) for value in _all(graph, GRAPH_INITIALIZER)]
    constants = {_field_text(tensor, TENSOR_NAME) for tensor in initializers}
    kept = {name for node in nodes for name in _kept_inputs(node)}
    ends = {number: [name for name, is_float in _values(graph, number, where) if is_float] for number in (GRAPH_INPUT, GRAPH_OUTPUT)}
    inputs = [name for name in ends[GRAPH_INPUT] if name not in constants]  # old exporters list their weights as inputs too
    renamed = {name.encode(): f"{name}_half".encode() for name in [*inputs, *ends[GRAPH_OUTPUT]]}

    converted = [_convert_node(node, half, renamed, where) for node in nodes]
    converted = [_cast(name, f"{name}_half", half) for name in inputs] + converted
    converted += [_cast(f"{name}_half", name, FLOAT) for name in ends[GRAPH_OUTPUT]]
    tensors = [tensor if _field_text(tensor, TENSOR_NAME) in kept else _convert_tensor(tensor, half, where) for tensor in initializers]
    replaced = {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_VALUE_INFO}  # the types of inner values are optional, and now others
    rest: Message = [(number, value) for number, value in graph if number not in replaced]
    return encode([(GRAPH_NODE, encode(node)) for node in converted] + [(GRAPH_INITIALIZER, encode(tensor)) for tensor in tensors] + rest)


def _convert_node(node: Message, half: int, renamed: dict[bytes, bytes], where: str) -> Message:
    is_cast = _field_text(node, NODE_TYPE) == "Cast"
    fields: Message = []
    for number, value in node:
        if number in (NODE_INPUT, NODE_OUTPUT) and isinstance(value, bytes):
            value = renamed.get(value, value)
        elif number == NODE_ATTRIBUTE:
            attribute = decode(value, where)
            if any(number == ATTRIBUTE_GRAPH for number, _ in attribute):
                raise ModelError(
                    f"{where} holds an {_field_text(node, NODE_TYPE)} with a graph of its own, "
                    "which is not converted to half precision here. Build it with precision='fp32'."
                )
            if is_cast and (ATTRIBUTE_INT, FLOAT) in attribute:
                attribute = [(n, half if n == ATTRIBUTE_INT else v) for n, v in attribute]
            attribute = [(n, encode(_convert_tensor(decode(v, where), half, where)) if n == ATTRIBUTE_TENSOR else v) for n, v in attribute]
            value = encode(attribute)
        fields.append((number, value))
    return fields


def _convert_tensor(tensor: Message, half: int, where: str) -> Message:
    if (TENSOR_TYPE, FLOAT) not in tensor:
        return tensor
    stored = b"".join(v for n, v in tensor if n in (TENSOR_RAW, TENSOR_FLOATS) and isinstance(v, bytes))  # both are little-endian floats
    values = np.frombuffer(stored, "<f4")
    if half == FLOAT16:
        if np.abs(values[np.isfinite(values)]).max(initial=0) > np.finfo(np.float16).max:
            name = _field_text(tensor, TENSOR_NAME) or "a constant"
            raise ModelError(f"{where}: {name} has values beyond 65504, the largest of fp16. Use precision='bf16' or 'fp32'.")
        raw = values.astype("<f2").tobytes()
    else:  # round to the nearest, ties to even
        bits = values.view("<u4").astype(np.uint64)
        raw = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    kept = [(n, v) for n, v in tensor if n not in (TENSOR_TYPE, TENSOR_RAW, TENSOR_FLOATS)]
    return [*kept, (TENSOR_TYPE, half), (TENSOR_RAW, raw)]


def _cast(source: str, target: str, to: int) -> Message:
    attribute: Message = [(ATTRIBUTE_NAME, b"to"), (ATTRIBUTE_INT, to), (ATTRIBUTE_TYPE, 2)]
    names: Message = [(NODE_INPUT, source.encode()), (NODE_OUTPUT, target.encode()), (NODE_NAME, f"cast_{target}".encode())]
    return [*names, (NODE_TYPE, b"Cast"), (NODE_ATTRIBUTE, encode(attribute))]


def _kept_inputs(node: Message) -> Iterator[str]:
    names = [_text(value) for value in _all(node, NODE_INPUT)]
    for place in KEPT_INPUTS.get(_field_text(node, NODE_TYPE), ()):
        yield from names[place : place + 1]


def _values(graph: Message, number: int, where: str) -> Iterator[tuple[str, bool]]:
    """(name, is it a float32 tensor) of the graph's inputs or outputs."""
    for data in _all(graph, number):
        value = decode(data, where)
        types = [decode(t, where) for kind in _all(value, VALUE_TYPE) for t in _all(decode(kind, where), TYPE_TENSOR)]
        yield _field_text(value, VALUE_NAME), any((TENSOR_ELEMENT, FLOAT) in fields for fields in types)


def _all(message: Message, number: int) -> list[int | bytes]:
    return [value for n, value in message if n == number]


def _field_text(message: Message, number: int) -> str:
    return next((_text(value) for value in _all(message, number)), "")


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
