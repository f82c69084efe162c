"""What a machine can do and what a network asks of it: the two sides of a roofline.

``python -m export.roofline cpu 2`` prints the ceilings: the best of a plain matrix product in each precision, and of a copy in memory.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
from onnx import ModelProto

from sdk.errors import ModelError

SIDE = {"cpu": 2048, "cuda": 8192}
"""Of the square matrices: large enough to be bound by arithmetic, small enough for seconds."""
COPY_BYTES = 1 << 28
FOR_S = 1.0
"""Each ceiling is looked for so long."""
EMULATED = 0.25
"""Of the speed in fp32: what is slower in a smaller format is not computed in it, and shows no ceiling (emulated products of full size
take half a minute each)."""
ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
SMALLEST_WEIGHT = 16
"""Smaller constants are shapes and scales."""
HEAVY = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
"""Operators that runtimes do not fuse with one another; what lies between two of them is counted as part of one."""


def best_seconds(work: Callable[[], object], for_s: float | None = None) -> float:
    """The shortest of five runs or more, ``for_s`` seconds (``FOR_S``) long: a ceiling is what was reached once."""
    work()
    times: list[float] = []
    while len(times) < 5 or sum(times) < (FOR_S if for_s is None else for_s):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
        if sum(times) > 20:
            break
    return min(times)


def ceilings(device: str, threads: int, side: int | None = None) -> dict[str, Any]:
    """Precision -> {"gflop_per_s", "by"} of a matrix product, and "memory": GB/s of a copy, reading and writing counted. Needs torch.

    Where one runtime has slow products in a precision, the other's count: a ceiling is the machine's, not a library's. Precisions that
    the machine emulates have none.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return {}
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    side = side or SIDE[device]

    def seconds(work: Callable[[], object], for_s: float | None = None) -> float:
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        return best_seconds(lambda: (work(), wait()), for_s)

    def product(dtype: torch.dtype, side: int) -> Callable[[], object]:
        a, b = (torch.rand(side, side).to(device, dtype) for _ in range(2))
        return lambda: a @ b

    def integer_product(side: int) -> Callable[[], object]:
        a, b = (torch.randint(-128, 128, (side, side), dtype=torch.int8, device=device) for _ in range(2))
        b = b.t() if device == "cuda" else b  # cuBLAS is at half its speed with rows (pytorch #187094)
        return lambda: torch._int_mm(a, b)  # type: ignore[reportPrivateImportUsage]

    products: list[tuple[str, str, Callable[[int], Callable[[], object]]]] = [
        ("fp32", "torch", partial(product, torch.float32)),
        ("bf16", "torch", partial(product, torch.bfloat16)),
    ]
    if device == "cuda":  # no runtime here computes in it on CPUs
        products.append(("fp16", "torch", partial(product, torch.float16)))
    products.append(("int8", "torch", integer_product))
    if device == "cpu":
        products.append(("int8", "onnxruntime", partial(_integer_product, threads=threads)))

    found: dict[str, Any] = {}
    small = max(side // 8, 32)
    slowest = seconds(product(torch.float32, small), for_s=0) / EMULATED
    for precision, by, of_side in products:
        if seconds(of_side(small), for_s=0) > slowest:
            continue
        speed = 2 * side**3 / 1e9 / seconds(of_side(side))
        if speed > found.get(precision, {"gflop_per_s": 0})["gflop_per_s"]:
            found[precision] = {"gflop_per_s": speed, "by": by}
    source = torch.zeros(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    found["memory"] = {"gb_per_s": 2 * COPY_BYTES / 1e9 / seconds(lambda: target.copy_(source)), "by": "torch"}
    return found


def _integer_product(side: int, threads: int) -> Callable[[], object]:
    """uint8 x int8 by onnxruntime, as its quantised convolutions compute."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.integers(-64, 64, (side, side)).astype(np.int8), "b")
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    ends = [helper.make_tensor_value_info(*end, [side, side]) for end in (("a", TensorProto.UINT8), ("y", TensorProto.INT32))]
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    a = rng.integers(0, 255, (side, side)).astype(np.uint8)
    return lambda: session.run(None, {"a": a})


@dataclass(frozen=True)
class Work:
    """What a network asks for in one call: an estimate.

    Every weight is read once; every convolution or matrix product reads its inputs and writes its result once, in the element size of
    the precision, and whatever lies between two of them is fused into one and costs nothing. Caches that hold a whole activation make
    it less, operators that are not fused make it more.
    """

    planes: int
    """Of the input."""
    weights: int
    activations_per_pixel: float
    flop_per_pixel: float
    """Of convolutions and matrix products; multiply and add count as two."""

    def megabytes(self, pixels: int, precision: str) -> float:
        return (self.weights + self.activations_per_pixel * pixels) * ELEMENT_BYTES[precision] / 1e6


def work_of(model: ModelProto, side: int = 256) -> Work:
    """Of a graph of one input (N, C, H, W), seen at ``side`` x ``side`` px. Raises ``ModelError`` for others."""
    inputs = model.graph.input
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise ModelError(f"it takes {', '.join(value.name for value in inputs)}; models of one input (N, C, H, W) are measured")
    planes = inputs[0].type.tensor_type.shape.dim[1].dim_value
    graph = onnxslim.slim(model, input_shapes=[f"{inputs[0].name}:1,{planes},{side},{side}"]).graph  # type: ignore[union-attr]
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    flop = sum(_flop(node, shapes | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}) for node in graph.node)
    of_weights = set(weights)
    for node in graph.node:  # casts of weights, and their dequantisation
        if node.input and of_weights.issuperset(node.input):
            of_weights.update(node.output)
    moved = [name for node in graph.node if node.op_type in HEAVY for name in (*node.input, *node.output)]
    activations = sum(int(np.prod(shapes[name])) for name in moved if name and name not in of_weights)
    weighty = sum(count for count in weights.values() if count >= SMALLEST_WEIGHT)
    return Work(planes, weighty, activations / side**2, flop / side**2)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _flop(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type not in HEAVY:
        return 0
    given, kernel, made = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    if node.op_type == "ConvTranspose":  # each pixel of the input meets the whole kernel
        return 2 * int(np.prod(given)) * int(np.prod(kernel[1:]))
    return 2 * int(np.prod(made)) * (int(np.prod(kernel[1:])) if node.op_type == "Conv" else given[-1])


def machine() -> str:
    """The processor's name, generation (virtual machines often hide the rest of the name) and cores, and its GPU: what tells one table from
    another."""
    facts, flags = cpu_facts(), cpu_flags()
    short = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in flags]
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts:
        name += f", family {facts['cpu family']} model {facts.get('model', '?')}"
    gpu = _gpu_name()
    return f"{name}, {os.cpu_count()} cores" + (f" ({', '.join(short)})" if short else "") + (f", {gpu}" if gpu else "")


def cpu_facts() -> dict[str, str]:
    """What Linux says of its (last) processor; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def cpu_flags() -> set[str]:
    """Of an x86 processor under Linux, such as ``avx2``."""
    return set(cpu_facts().get("flags", "").split())


def _gpu_name() -> str | None:
    """Asked in a process of its own: a CUDA context here would count in the GPU memory of whatever is measured."""
    code = "from sdk.cuda.driver import open_driver; print(open_driver().device_name)"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or None


if __name__ == "__main__":
    print(json.dumps(ceilings(sys.argv[1], int(sys.argv[2]))))
