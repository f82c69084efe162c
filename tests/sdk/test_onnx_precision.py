"""Half precision made in the graph, checked by the onnx package and by its reference evaluator, which rounds as fp16 does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import releases
from sdk.errors import ModelError, OptionError
from sdk.onnx_file import read_props
from sdk.onnx_precision import in_precision
from sdk.protobuf import decode, encode

FLOAT, FLOAT16, BFLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16


def with_graph(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray]) -> bytes:
    """A model of one input and one output with these nodes."""
    x = onnx.helper.make_tensor_value_info("x", FLOAT, [1, 1, 4, 4])
    y = onnx.helper.make_tensor_value_info("y", FLOAT, ["n", "c", "h", "w"])
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], [onnx.numpy_helper.from_array(v, k) for k, v in tensors.items()])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def run(model: bytes, x: np.ndarray) -> np.ndarray:
    evaluator = ReferenceEvaluator(onnx.load_from_string(model))
    return np.asarray(evaluator.run(None, {evaluator.input_names[0]: x})[0])


@pytest.mark.parametrize("name", sorted(releases()))
def test_released_models_survive_decoding(name: str) -> None:
    data = releases()[name].path.read_bytes()
    assert encode(decode(data, name)) == data
    assert in_precision(data, "fp32") == data


@pytest.mark.parametrize(("precision", "kind"), [("fp16", FLOAT16), ("bf16", BFLOAT16)])
@pytest.mark.parametrize("name", sorted(releases()))
def test_released_models_become_half_all_through(name: str, precision: str, kind: int) -> None:
    data = releases()[name].path.read_bytes()
    half = in_precision(data, precision)
    model = onnx.load_from_string(half)
    if precision == "fp16":  # Conv of opset 20 has no bf16: TensorRT builds it all the same
        onnx.checker.check_model(model, full_check=True)
    assert read_props(half) == read_props(data)
    assert [end.type.tensor_type.elem_type for end in (*model.graph.input, *model.graph.output)] == [FLOAT, FLOAT]
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    assert kinds - {onnx.TensorProto.INT64} == {kind}
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert [node.output[0] for node in casts if node.attribute[0].i == FLOAT] == [end.name for end in model.graph.output]
    scales = {name for node in model.graph.node if node.op_type == "Resize" for name in node.input[1:3]}  # float32 by definition
    stored = {node.input[0] for node in casts}  # what is stored as fp16, and cast
    weights = [tensor for tensor in model.graph.initializer if tensor.name not in scales]
    assert {tensor.data_type for tensor in weights if tensor.name not in stored} <= {kind, onnx.TensorProto.INT64}
    assert {tensor.data_type for tensor in weights if tensor.name in stored} == {FLOAT16}
    assert len(half) <= len(data) + 1024


def test_fp16_rounds_and_stays_close(small_onnx: bytes) -> None:
    x = np.random.default_rng(1).integers(0, 2, (1, 1, 16, 24)).astype(np.float32)
    expected, half = run(small_onnx, x), run(in_precision(small_onnx, "fp16"), x)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - expected).max() < 4e-3


def test_onnxruntime_takes_the_result(small_onnx: bytes) -> None:
    x = np.ones((2, 1, 8, 16), np.float32)
    backend = OnnxRuntimeBackend(in_precision(small_onnx, "fp16"), "cpu")
    assert np.abs(backend.run(x) - OnnxRuntimeBackend(small_onnx, "cpu").run(x)).max() < 4e-3


def test_bf16_rounds_to_nearest_even() -> None:
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-9, -1e30, np.inf, 0.1], np.float32)
    model = with_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"w": values})
    tensor = onnx.load_from_string(in_precision(model, "bf16")).graph.initializer[0]
    bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
    assert tensor.data_type == BFLOAT16
    import ml_dtypes

    assert np.array_equal(bits.view(np.float32), values.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_scales_of_resize_stay_float32() -> None:
    node = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    model = with_graph([node], {"scales": np.array([1, 1, 2, 2], np.float32)})
    half = onnx.load_from_string(in_precision(model, "fp16"))
    onnx.checker.check_model(half, full_check=True)
    assert half.graph.initializer[0].data_type == FLOAT


def test_constants_inside_nodes_are_converted() -> None:
    constant = onnx.helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array([2.5], np.float32)))
    model = with_graph([constant, onnx.helper.make_node("Mul", ["x", "c"], ["y"])], {})
    half = in_precision(model, "fp16")
    onnx.checker.check_model(onnx.load_from_string(half), full_check=True)
    assert np.array_equal(run(half, np.full((1, 1, 4, 4), 2, np.float32)), np.full((1, 1, 4, 4), 5, np.float32))


def test_too_large_for_fp16_is_refused_and_fits_bf16() -> None:
    model = with_graph([onnx.helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.array([1e5], np.float32)})
    with pytest.raises(ModelError, match=r"w has values beyond 65504.*bf16"):
        in_precision(model, "fp16")
    assert in_precision(model, "bf16")


def test_inner_graphs_are_refused() -> None:
    z = onnx.helper.make_tensor_value_info("z", FLOAT, None)
    inner = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["z"])], "inner", [], [z])
    model = with_graph([onnx.helper.make_node("If", ["on"], ["y"], then_branch=inner, else_branch=inner)], {"on": np.array(True)})
    with pytest.raises(ModelError, match=r"If with a graph of its own.*fp32"):
        in_precision(model, "fp16")


@pytest.mark.parametrize("data", [b"", b"not an onnx file", b"\x3a\xff\xff\xff\xff\x0f", b"\x3a"])
def test_what_is_no_onnx_file(data: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX file"):
        in_precision(data, "fp16", "x.onnx")


def test_unknown_precision(small_onnx: bytes) -> None:
    with pytest.raises(OptionError, match="fp16"):
        in_precision(small_onnx, "fp61")
