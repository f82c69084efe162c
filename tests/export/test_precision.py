"""fp16 and int8 files: what is in them, what they cost, where they run, and when they are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import sdk
from export import precision as module
from export.benchmark import Model
from export.precision import LOST, MAY_LOSE, TO_FP32, Cost, PrecisionError, cost, make, make_int8, note, runner, whole_pictures
from export.quantise import (
    best_scale,
    convolutions,
    find_scales,
    name_of,
    quantise,
    rounded_to_fp16,
    with_float_weights,
    with_outputs,
)
from export.release import refuse_what_loses, release
from export.roofline import cpu_flags
from export.runners import RUNNERS
from sdk.backends import open_backend
from sdk.engines.build import BuildOptions, build_engine
from sdk.errors import DeviceError, ModelError, OptionError
from sdk.metadata import ModelMetadata
from sdk.onnx_precision import in_precision, precision_of
from training.config import load_recipe

FACTS = ModelMetadata("tiny", "inverse-halftoning", "t", "p", "Apache-2.0", "none", size_multiple=4, tile=64, kinds=("dither",))


def network(seed: int = 0) -> onnx.ModelProto:
    """1 -> 8 -> 8 -> 8 -> 1 planes by Conv and ConvTranspose with ReLU, weights stored as fp16 behind Casts, as our exporter does."""
    rng = np.random.default_rng(seed)
    shapes = {"w0": (8, 1, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 2, 2), "w3": (1, 8, 3, 3)}
    nodes = [helper.make_node("Cast", [f"{name}_fp16"], [name], to=1) for name in shapes]
    nodes.append(helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1] * 4))
    nodes.append(helper.make_node("Relu", ["c0"], ["r0"]))
    nodes.append(helper.make_node("Conv", ["r0", "w1"], ["c1"], pads=[1] * 4, strides=[2, 2]))
    nodes.append(helper.make_node("Relu", ["c1"], ["r1"]))
    nodes.append(helper.make_node("ConvTranspose", ["r1", "w2"], ["c2"], strides=[2, 2]))
    nodes.append(helper.make_node("Add", ["c2", "r0"], ["s"]))
    nodes.append(helper.make_node("Conv", ["s", "w3"], ["y"], pads=[1] * 4))
    tensors = [numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float16), f"{name}_fp16") for name, shape in shapes.items()]
    tensors.append(numpy_helper.from_array(rng.normal(0, 0.1, 8).astype(np.float32), "b0"))
    ends = [helper.make_tensor_value_info(name, 1, ["n", 1, "4*h", "4*w"]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, FACTS.to_props())
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def dots() -> list[np.ndarray]:
    return [np.random.default_rng(seed).random((1, 1, 32, 40)).round().astype(np.float32) for seed in range(3)]


@pytest.fixture(scope="module")
def plain() -> onnx.ModelProto:
    return with_float_weights(network())


@pytest.fixture(scope="module")
def int8(plain: onnx.ModelProto, dots: list[np.ndarray]) -> onnx.ModelProto:
    model = quantise(plain, find_scales(plain, dots, 1), keep=["y"])
    helper.set_model_props(model, replace(FACTS, name="tiny_int8", precision="int8").to_props())
    onnx.checker.check_model(model, full_check=True)
    return model


def noise_db(model: onnx.ModelProto, reference: onnx.ModelProto, batches: list[np.ndarray]) -> float:
    """How far the signal is above the difference."""
    pairs = [(runner(model, 1)(batch), runner(reference, 1)(batch)) for batch in batches]
    return float(10 * np.log10(np.var([b for _, b in pairs]) / np.mean([(a - b) ** 2 for a, b in pairs])))


# The graphs


def test_folding_the_casts_changes_nothing(plain: onnx.ModelProto, dots: list[np.ndarray]) -> None:
    assert not any(node.op_type == "Cast" for node in plain.graph.node)
    np.testing.assert_array_equal(runner(plain, 1)(dots[0]), runner(network(), 1)(dots[0]))


def test_int8_is_close_and_smaller(int8: onnx.ModelProto, plain: onnx.ModelProto, dots: list[np.ndarray]) -> None:
    assert noise_db(int8, plain, dots) > 35
    assert precision_of(int8.SerializeToString()) == "int8"
    stored = {tensor.name: tensor.data_type for tensor in int8.graph.initializer}
    assert [stored[f"w{i}_int8"] for i in range(3)] == [onnx.TensorProto.INT8] * 3
    assert stored["w3"] == stored["b0"] == onnx.TensorProto.FLOAT  # kept; biases always
    assert "w0" not in stored
    takes_r0 = [node for node in int8.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "r0"]
    assert len(takes_r0) == 1


def test_weights_are_scaled_by_output_channel(dots: list[np.ndarray]) -> None:
    """One channel a hundred times the others': with one scale they would vanish."""
    model = network()
    for name, axis in (("w1", 0), ("w2", 1)):
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == f"{name}_fp16")
        values = numpy_helper.to_array(tensor).astype(np.float32)
        factors = np.ones(values.shape[axis], np.float32)
        factors[0] = 100
        scaled = values * factors.reshape([-1 if i == axis else 1 for i in range(4)]) / 10
        tensor.CopyFrom(numpy_helper.from_array(scaled.astype(np.float16), tensor.name))
    floats = with_float_weights(model)
    probe = with_outputs(floats, ["c1"])
    quantised = with_outputs(quantise(floats, find_scales(floats, dots, 1), keep=["c2", "y"]), ["c1"])
    exact, rounded = (np.asarray(ReferenceEvaluator(each).run(["c1"], {"x": dots[0]})[0])[:, 1:] for each in (probe, quantised))
    assert np.sqrt(np.mean((exact - rounded) ** 2)) < 0.03 * exact.std()


def test_the_step_is_that_of_least_error() -> None:
    """Where a few values are far out, those are better clipped."""
    values = np.random.default_rng(0).standard_t(3, size=20_000).astype(np.float32)

    def error(scale: float) -> float:
        return float(np.mean((np.clip(np.round(values / scale), -128, 127) * scale - values) ** 2))

    found = best_scale(values)
    assert error(found) < 0.95 * error(np.abs(values).max() / 127)
    assert best_scale(np.zeros(5, np.float32)) > 0


def test_rounded_to_fp16_is_fp16(plain: onnx.ModelProto, dots: list[np.ndarray]) -> None:
    rounded = rounded_to_fp16(plain)
    onnx.checker.check_model(rounded, full_check=True)
    inner = runner(with_outputs(rounded, ["s"]), 1)
    assert inner(dots[0]).shape == dots[0].shape
    session_outputs = ReferenceEvaluator(with_outputs(rounded, ["s"])).run(["s"], {"x": dots[0]})[0]
    np.testing.assert_array_equal(session_outputs, np.asarray(session_outputs).astype(np.float16))
    half = onnx.load_from_string(in_precision(network().SerializeToString(), "fp16"))
    expected = np.asarray(ReferenceEvaluator(half).run(None, {"x": dots[0]})[0])
    exact = runner(plain, 1)(dots[0])
    errors = [np.sqrt(np.mean((each - exact) ** 2)) for each in (runner(rounded, 1)(dots[0]), expected)]
    assert 0 < errors[0] < 2 * errors[1]  # the reference also sums in fp16
    assert errors[1] < 3 * errors[0]


def test_rounded_to_fp16_rounds_input_constants_and_result_too(dots: list[np.ndarray]) -> None:
    """As the file in fp16 does; in none of the three does the graph differ from it."""
    ends = [helper.make_tensor_value_info(name, 1, ["n", 1, "h", "w"]) for name in "xy"]
    shift = numpy_helper.from_array(np.array([0.1], np.float32), "shift")
    graph = helper.make_graph([helper.make_node("Add", ["x", "shift"], ["y"])], "g", ends[:1], ends[1:], [shift])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    grey = dots[0] * np.float32(0.7) + np.float32(0.01)
    seen, tenth = grey.astype(np.float16).astype(np.float32), np.float32(np.float16(0.1))
    result = runner(rounded_to_fp16(model), 1)(grey)
    np.testing.assert_array_equal(result, (seen + tenth).astype(np.float16).astype(np.float32))
    assert not np.array_equal(result, runner(model, 1)(grey))


def test_convolutions_that_cost_most_stay_in_float(plain: onnx.ModelProto, dots: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [module.Pair(batch, (batch[0, 0] * 255).astype(np.uint8)) for batch in dots]
    names = [name_of(node) for node in convolutions(plain)]
    monkeypatch.setattr(module, "MAY_LOSE_ON_VAL", 1000.0)
    assert make_int8(plain, pairs, pairs, 1)[1] == [names[0], names[-1]]
    monkeypatch.setattr(module, "MAY_LOSE_ON_VAL", -1000.0)  # never reached: half of them, and no more
    model, keep = make_int8(plain, pairs, pairs, 1)
    assert keep[:2] == [names[0], names[-1]]
    assert sorted(keep) == sorted(names)
    np.testing.assert_allclose(runner(model, 1)(dots[0]), runner(plain, 1)(dots[0]), atol=1e-6)


def test_of_many_convolutions_half_stay_in_float_the_costliest_first(dots: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth has weights of very different sizes within each output channel, which one step for them all cannot hold."""
    rng, count = np.random.default_rng(0), 8
    planes = [1, *[6] * (count - 1), 1]
    weights = [rng.normal(0, 0.3, (after, before, 3, 3)).astype(np.float32) for before, after in pairwise(planes)]
    weights[4][:, 0] *= 300
    weights[3][0] /= 300
    nodes = [helper.make_node("Conv", [f"r{i}", f"w{i}"], [f"r{i + 1}"], pads=[1] * 4) for i in range(count)]
    ends = [helper.make_tensor_value_info(name, 1, ["n", 1, "h", "w"]) for name in ("r0", f"r{count}")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)])
    deep = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    pairs = [module.Pair(batch, (batch[0, 0] * 255).astype(np.uint8)) for batch in dots]
    monkeypatch.setattr(module, "MAY_LOSE_ON_VAL", -1000.0)
    _, keep = make_int8(deep, pairs, pairs, 1)
    assert len(keep) == 2 + count // 2
    assert keep[:3] == ["r1", f"r{count}", "r5"]


def test_too_small_a_graph_is_refused(plain: onnx.ModelProto, dots: list[np.ndarray]) -> None:
    small = onnx.ModelProto()
    small.CopyFrom(plain)
    del small.graph.node[2:]
    with pytest.raises(PrecisionError, match="fewer than three"):
        make_int8(small, [], [], 1)


# Where they run


def saturates() -> bool:
    """Whether this is an x86 CPU without VNNI, whose sums of two products of 8 bits are cut to 16."""
    return bool(cpu_flags()) and not {"avx512_vnni", "avx_vnni"} & cpu_flags()


def test_openvino_runs_int8_and_says_so(int8: onnx.ModelProto, plain: onnx.ModelProto, dots: list[np.ndarray], tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    paths = [tmp_path / f"{name}.onnx" for name in ("tiny_int8", "tiny")]
    onnx.save(int8, paths[0])
    onnx.save(network(), paths[1])
    for asked in (None, "int8"):
        restorer = sdk.InverseHalftoner(paths[0], backend="openvino", precision=asked)
        assert restorer.describe()["precision"] == "int8"
        assert (restorer.metadata.name, restorer.metadata.precision) == ("tiny_int8", "int8")
    result = open_backend(paths[0], "cpu", backend="openvino")[0].run(dots[0])
    exact = runner(plain, 1)(dots[0])
    least = 24 if saturates() else 30
    assert least < 10 * np.log10(exact.var() / np.mean((result - exact) ** 2)) < 70  # int8 it is, and close
    with pytest.raises(OptionError, match=r"tiny\.onnx is not quantised.*export\.precision"):
        sdk.InverseHalftoner(paths[1], backend="openvino", precision="int8")
    for wrong in ("fp32", "bf16"):
        with pytest.raises(OptionError, match=f"quantised to int8 and does not run in {wrong}"):
            sdk.InverseHalftoner(paths[0], backend="openvino", precision=wrong)
    assert sdk.InverseHalftoner(paths[0], device="cpu").describe()["precision"] == "int8"  # onnxruntime


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_the_quantised_graph(int8: onnx.ModelProto, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx wheel (pip install tensorrt-rtx)")
    try:
        engine = build_engine(int8.SerializeToString(), BuildOptions(flavour="tensorrt-rtx", precision=precision), where="tiny_int8.onnx")
    except DeviceError as error:
        pytest.skip(str(error))
    assert ModelMetadata.from_props(engine.header.metadata, "engine").precision == "int8"
    assert len(engine.plan) > 1000


# What they cost


def test_cost_is_counted_in_psnr() -> None:
    photo = np.full((8, 8), 100, np.uint8)
    pair = module.Pair(np.zeros((1, 1, 8, 8), np.float32), photo)
    fp32, variant = (np.full((8, 8), value / 255, np.float32) for value in (102, 104))
    found = cost([variant], [fp32], [pair])
    assert found.fp32 == pytest.approx(20 * np.log10(255 / 2))
    assert found.lost == pytest.approx(20 * np.log10(2))
    assert found.against_fp32 == pytest.approx(20 * np.log10(255 / 2), abs=1e-3)


@pytest.fixture
def photos(tmp_path: Path, photo: np.ndarray) -> Path:
    """val/ and test/kodak24/ of three and one small pictures."""
    for i in range(3):
        (tmp_path / "val").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "val" / f"{i}.png"), photo[100:230, 150 * i : 150 * i + 130])
    (tmp_path / "test" / "kodak24").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "test" / "kodak24" / "one.png"), photo[180:311, 100:250])
    return tmp_path


def test_pictures_fit_the_network(photos: Path) -> None:
    for name, planes in (("fast", 2), ("gif", 3), ("companding", 4), ("cdh-1step", 2)):
        metadata = sdk.catalog.metadata_of(name)
        (pair,) = whole_pictures(photos / "test" / "kodak24", load_recipe("cdh" if name == "cdh-1step" else name), metadata)
        assert pair.given.shape == (1, planes, *pair.photo.shape[:2])
        assert all(extent % metadata.size_multiple == 0 for extent in pair.photo.shape[:2])
        if name == "fast":
            assert set(np.unique(pair.given[:, 0])) == {0, 1}
            assert set(np.unique(pair.given[:, 1])) == {1 / 256}  # Floyd-Steinberg


def test_variants_of_a_released_model(
    photos: Path, tmp_path: Path, white: np.ndarray, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAY_LOSE_ON_VAL", 1000.0)  # the search for what costs most takes a minute
    costs = make("fast", photos, tmp_path / "out", None, ["fp16", "int8"], threads=1)
    note(tmp_path / "out", "fast", costs)
    assert costs["fp16"].lost < 0.01
    assert costs["fp16"].against_fp32 > 65
    assert costs["int8"].lost < 0.2  # of one small picture
    assert 35 < costs["int8"].against_fp32 < 65
    noted = json.loads((tmp_path / "out" / "precision.json").read_text())
    assert noted["fast_int8"]["may_be_released"] == (costs["int8"].lost <= MAY_LOSE)
    for precision in ("fp16", "int8"):
        path = tmp_path / "out" / f"fast_{precision}.onnx"
        metadata = sdk.InverseHalftoner(path, device="cpu").metadata
        assert (metadata.name, metadata.precision) == (f"fast_{precision}", precision)
        assert metadata.halo == sdk.catalog.metadata_of("fast").halo
        assert metadata.metrics == {LOST: round(costs[precision].lost, 4), TO_FP32: round(costs[precision].against_fp32, 2)}
    assert (tmp_path / "out" / "fast_int8.onnx").stat().st_size < 0.6 * sdk.releases()["fast"].path.stat().st_size
    part = white[:128, :128]
    results = [sdk.InverseHalftoner(m, device="cpu").run(part).astype(int) for m in ("fast", tmp_path / "out" / "fast_int8.onnx")]
    assert 0 < np.abs(results[0] - results[1]).mean() < 2
    assert "Kodak24" in capsys.readouterr().out
    int8 = next(runner for runner in RUNNERS if runner.precision == "int8")
    assert Model("fast", tmp_path / "out").file_for(int8) == str(tmp_path / "out" / "fast_int8.onnx")
    other = Model("fast", tmp_path / "out")
    other.metadata = replace(other.metadata, training={**other.metadata.training, "steps": 1})
    with pytest.raises(ModelError, match="made of other weights; make it anew"):
        other.file_for(int8)
    with pytest.raises(ModelError, match="is not an fp32 model"):
        make(str(tmp_path / "out" / "fast_int8.onnx"), photos, tmp_path, None, ["int8"], 1)


def test_what_loses_too_much_is_refused_with_the_figure(int8: onnx.ModelProto, tmp_path: Path) -> None:
    facts = replace(FACTS, name="tiny_int8", precision="int8")
    refuse_what_loses(FACTS, Path("tiny.onnx"))
    with pytest.raises(ModelError, match=r"does not say what its precision costs.*export\.precision"):
        refuse_what_loses(facts, Path("x.onnx"))
    with pytest.raises(ModelError, match=r"loses 0\.061 dB on Kodak24 against fp32; at most 0\.05"):
        refuse_what_loses(replace(facts, metrics={LOST: 0.061, TO_FP32: 44.0}), Path("x.onnx"))
    module.write(int8, replace(facts, metrics={LOST: 0.03, TO_FP32: 49.0}), tmp_path / "x.onnx")
    row = {"restorer": "tiny_int8", "dither": "floyd-steinberg", "set": "kodak24", "psnr": 20.5, "ssim": 0.5, "lpips": 0.4}
    (tmp_path / "e.json").write_text(json.dumps({"training": facts.training, "rows": [row]}))
    released = release(tmp_path / "x.onnx", tmp_path / "e.json", "int8 of tiny", folder=tmp_path)
    assert released.metrics[LOST] == 0.03
    assert "kinds = []" in (tmp_path / "models.toml").read_text()


def test_costs_are_printed() -> None:
    assert str(Cost(29.93, 29.90, 50.0)) == "29.900 dB, +0.030 dB lost of 29.930 dB; 50.00 dB against fp32"
