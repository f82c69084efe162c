"""Cases and networks for the benchmark to measure."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.runners import Case, Runner

ORT, OPENVINO = (Runner(name, "cpu", "fp32", name) for name in ("onnxruntime", "openvino"))
EAGER = Runner("torch eager", "cpu", "fp32", "torch")


def case(runner: Runner = ORT, size: int = 64, batch: int = 1) -> Case:
    return Case("fast", runner, size, batch, threads=1, repeats=2, planes=2)


def convolutions(dtype: type = np.float32) -> onnx.ModelProto:
    """1 -> 8 planes, ReLU, 8 -> 1 planes; 3x3."""
    shapes = {"first": (8, 1, 3, 3), "second": (1, 8, 3, 3)}
    nodes = [helper.make_node("Conv", ["x", "first"], ["a"], pads=[1] * 4), helper.make_node("Relu", ["a"], ["b"])]
    nodes.append(helper.make_node("Conv", ["b", "second"], ["y"], pads=[1] * 4))
    if dtype == np.float16:
        nodes = [helper.make_node("Cast", [f"{name}_fp16"], [name], to=1) for name in shapes] + nodes
    tensors = [numpy_helper.from_array(np.ones(s, dtype), n + ("_fp16" if dtype == np.float16 else "")) for n, s in shapes.items()]
    ends = [helper.make_tensor_value_info(name, 1, ["n", 1, "h", "w"]) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 20)])
