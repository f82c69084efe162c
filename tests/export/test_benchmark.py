"""The benchmark: what it counts, what it measures again, what it says of what it cannot run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import sdk
from export import benchmark as module
from export.benchmark import Book, Model, benchmark, chosen, in_process, open_models
from export.benchmark_page import write_page
from export.roofline import Work, ceilings, machine, work_of
from export.runners import RUNNERS, Case, Runner, TorchBackend, case_from, measure, network_call, open_case, peak_mib, timed, to_text
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import metadata_of
from sdk.errors import MissingDependencyError, ModelError
from sdk.onnx_precision import in_precision

ORT, OPENVINO = (Runner(name, "cpu", "fp32", name) for name in ("onnxruntime", "openvino"))
EAGER = Runner("torch eager", "cpu", "fp32", "torch")


def case(runner: Runner = ORT, size: int = 64, batch: int = 1) -> Case:
    return Case("fast", runner, size, batch, threads=1, repeats=2, planes=2)


# What is counted


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


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_activation_of_a_convolution_and_every_weight_moves_once(dtype: type) -> None:
    work = work_of(convolutions(dtype), side=32)
    assert work == Work(planes=1, weights=144, activations_per_pixel=1 + 8 + 8 + 1)  # the ReLU is fused
    assert work.megabytes(1000, "fp32") == pytest.approx(4 * (144 + 18_000) / 1e6)
    assert work.megabytes(1000, "int8") == pytest.approx((144 + 18_000) / 1e6)


def test_released_models_are_counted() -> None:
    work = Model("fast", Path("runs")).work
    metadata = sdk.InverseHalftoner("fast", device="cpu").metadata
    assert work.planes == 2  # the picture, and the method of its dots
    assert work.weights == pytest.approx(metadata.parameters, rel=0.01)
    assert work.activations_per_pixel > 100


def test_models_of_two_inputs_are_refused() -> None:
    model = convolutions()
    model.graph.input.append(helper.make_tensor_value_info("noise", 1, ["n", 1, "h", "w"]))
    with pytest.raises(ModelError, match="it takes x, noise"):
        work_of(model)


def test_ceilings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.roofline.FOR_S", 0.0)
    monkeypatch.setattr("export.roofline.COPY_BYTES", 1 << 20)
    monkeypatch.setattr("export.roofline.EMULATED", 1e-9)
    found = ceilings("cpu", 1, side=64)
    assert set(found) == {"fp32", "bf16", "int8", "memory"}
    assert all(figures["gflop_per_s"] > 0 for precision, figures in found.items() if precision != "memory")
    assert found["memory"]["gb_per_s"] > 0
    assert "cores" in machine()


def test_what_a_machine_emulates_has_no_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.roofline.COPY_BYTES", 1 << 20)
    took = iter([1.0, 1.0, 2.0, 9.0, 3.0, 0.5, 4.0, 5.0, 1.0])  # fp32; each product small, then whole unless it was left out; the copy
    monkeypatch.setattr("export.roofline.best_seconds", lambda work, for_s=None: next(took))
    found = ceilings("cpu", 1, side=64)
    assert set(found) == {"fp32", "int8", "memory"}  # bf16 took nine times as long as fp32
    assert found["int8"] == {"gflop_per_s": 2 * 64**3 / 1e9 / 0.5, "by": "torch"}


# One measurement


def test_a_row_has_both_latencies_and_the_memory_of_its_process() -> None:
    row = measure(case(batch=2))
    for part in ("end_to_end", "network"):
        assert 0 < row[part]["p50_s"] <= row[part]["p95_s"]
        assert row[part]["repeats"] == 2
    assert 50 < row["peak_mib"] < 1.05 * peak_mib()  # the system counts it by pages of each thread, later
    assert 0 <= row["other_work"] <= 1
    assert row["gpu_mib"] is None
    assert row["ran"] == "onnxruntime on cpu in fp32"


@pytest.mark.parametrize("model", ["fast", "prl", "scan", "gif", "colour", "companding"])
def test_torch_computes_the_same_network(model: str) -> None:
    """As the released file, from its weights."""
    asked = replace(case(EAGER), model=model)
    torch_backend = open_case(asked)
    assert isinstance(torch_backend, TorchBackend)
    metadata = metadata_of(model)
    planes = {"grey": 1, "rgb": 3}[metadata.input_color] + len(metadata.conditions)
    side = 2 * metadata.size_multiple if model == "companding" else 64
    values = np.random.default_rng(0).random((1, planes, side, side + metadata.size_multiple)).round().astype(np.float32)
    values[:, planes - len(metadata.conditions) :] = 3 / 8 if model == "companding" else 1 / 256
    expected = OnnxRuntimeBackend(sdk.releases()[model].path.read_bytes(), "cpu", 1).run(values)
    assert np.abs(torch_backend.run(values) - expected).max() < 1e-4
    network_call(torch_backend, replace(asked, planes=planes))()


def test_engines_are_timed_on_gpu_memory() -> None:
    """One copy in when the call is made; each call queues one batch and waits."""

    class FakeDriver:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def allocate(self, nbytes: int) -> SimpleNamespace:
            self.calls.append(f"allocate {nbytes}")
            return SimpleNamespace(address=nbytes)

        def copy_in(self, target: Any, source: np.ndarray) -> None:
            self.calls.append(f"copy {source.dtype} {source.shape}")

        def synchronize(self) -> None:
            self.calls.append("wait")

    class FakeEngine(TensorRtBackend):
        planes, dtypes = 1, (np.dtype(np.float32), np.dtype(np.float32))  # type: ignore[assignment]

        def __init__(self) -> None:
            self.driver: Any = FakeDriver()

        def shape_for(self, tiles: int, height: int, width: int) -> tuple[int, int, int, int]:
            return max(tiles, 2), 1, height, width  # a smallest batch of two

        def enqueue(self, shape: tuple[int, ...], source: int, target: int) -> None:
            self.driver.calls.append(f"run {shape} {source} {target}")

    engine = FakeEngine()
    run = network_call(engine, case(Runner("tensorrt", "cuda", "fp16", "tensorrt")))
    assert engine.driver.calls == ["allocate 32768"] * 2 + ["copy float32 (2, 1, 64, 64)", "wait"]
    run()
    run()
    assert engine.driver.calls[4:] == ["run (2, 1, 64, 64) 32768 32768", "wait"] * 2


def test_bit_depth_models_are_given_few_bits() -> None:
    row = measure(Case("companding", ORT, 64, 1, threads=1, repeats=1, planes=4))
    assert row["end_to_end"]["p50_s"] > 0


def test_repeats_stop_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.runners.LONGEST_S", 0.0)
    assert timed(lambda: None, repeats=50)["repeats"] == 3


def test_calls_that_do_not_count_come_first() -> None:
    calls: list[int] = []
    assert timed(lambda: calls.append(1), repeats=4, warm_ups=3)["repeats"] == 4
    assert len(calls) == 7


def test_engines_are_opened_as_the_sdk_opens_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels that TensorRT-RTX kept, so that a row is what users get."""
    asked: list[Any] = []
    monkeypatch.setattr("export.runners.open_cached_engine", lambda onnx, where, options: asked.append(options))
    open_case(case(Runner("tensorrt-rtx", "cuda", "int8", "tensorrt-rtx"), batch=8))
    assert (asked[0].flavour, asked[0].precision, asked[0].batch) == ("tensorrt-rtx", "fp16", 8)


def test_the_gpus_name_is_asked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA context of this process would count in the GPU memory of those that are measured."""
    monkeypatch.setattr("sdk.cuda.driver.open_driver", None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "Some GPU\n", ""))
    assert machine().endswith(", Some GPU")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "DeviceError"))
    assert "GPU" not in machine()


def test_cases_survive_the_way_to_their_process() -> None:
    assert case_from(to_text(case(EAGER))) == case(EAGER)


def test_a_process_that_fails_is_a_reason() -> None:
    assert in_process("export.runners", "no json", timeout=60)["skipped"].startswith("it failed (exit status 1): json.decoder")


def test_the_error_is_told_from_the_advice_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Traceback\ntorch._inductor.exc.InductorError: no CUDA toolkit\n\nSet TORCHDYNAMO_VERBOSE=1 for more\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", said))
    assert in_process("x", timeout=5) == {"skipped": "it failed (exit status 1): torch._inductor.exc.InductorError: no CUDA toolkit"}


def test_torch_compile_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.runners.COMPILERS", ("no-such-compiler",))
    with pytest.raises(MissingDependencyError, match="needs a C\\+\\+ compiler"):
        open_case(case(Runner("torch.compile", "cpu", "fp32", "torch")))


def test_a_process_that_hangs_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("python", options["timeout"])

    monkeypatch.setattr(subprocess, "run", late)
    assert in_process("export.runners", "{}", timeout=5) == {"skipped": "it took longer than 5 s"}


def test_a_runner_without_its_gpu_says_so() -> None:
    no_gpu = to_text(case(Runner("onnxruntime", "cuda", "fp32", "onnxruntime")))
    if "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    answer = in_process("export.runners", no_gpu, timeout=120)
    assert "offers" in answer["skipped"]
    assert answer["whatever_the_model"]


# The book


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Stands in for the processes; the cases it was asked for."""
    asked: list[Case] = []

    def answer(name: str, *arguments: str, timeout: float) -> dict[str, Any]:
        if name == "export.roofline":
            return {"fp32": {"gflop_per_s": 100.0 + len(asked), "by": "torch"}, "memory": {"gb_per_s": 10.0, "by": "torch"}}
        asked.append(case_from(arguments[0]))
        if asked[-1].runner.runtime == "openvino":
            return {"skipped": "no such thing", "whatever_the_model": True}
        latency = {"p50_s": 0.5 * asked[-1].batch, "p95_s": 0.6, "repeats": 2}
        return {"end_to_end": latency, "network": latency, "peak_mib": 100.0, "gpu_mib": None, "other_work": 0.2, "ran": "x"}

    monkeypatch.setattr(module, "in_process", answer)
    return asked


def options(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"threads": 1, "repeats": 2, "again": False, "timeout": 60, **changes})


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model("fast", tmp_path_factory.mktemp("variants"))


def test_what_was_measured_is_not_measured_again(answers: list[Case], fast: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(ORT, 64, 1), (ORT, 64, 2)]
    benchmark([fast], cases[:1], options(), Book(tmp_path, "a machine"))
    assert len(answers) == 1
    benchmark([fast], cases, options(), Book(tmp_path, "a machine"))
    assert [asked.batch for asked in answers] == [1, 2]
    benchmark([fast], cases, options(again=True), Book(tmp_path, "a machine"))
    assert len(answers) == 4
    monkeypatch.setattr(Runner, "version", property(lambda _: "99.0"))
    benchmark([fast], cases, options(), Book(tmp_path, "a machine"))
    assert len(answers) == 6
    rows = json.loads((tmp_path / "a-machine.json").read_text())["rows"]
    assert [(row["batch"], row["version"]) for row in rows] == [(1, "99.0"), (2, "99.0")]  # the old ones are replaced


def test_ceilings_are_the_best_that_was_ever_reached(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    for _ in range(2):
        benchmark([fast], [(ORT, 64, 1)], options(again=True), Book(tmp_path, "m"))
    found = Book(tmp_path, "m").content["ceilings"]["cpu, 1 threads"]
    assert found["fp32"]["gflop_per_s"] == 102.0
    slower = {"fp32": {"gflop_per_s": 5.0, "by": "torch"}}
    book = Book(tmp_path, "m")
    module.in_process = lambda *_, **__: slower  # type: ignore[assignment] - monkeypatch puts it back
    book.measure_ceilings("cpu", 1)
    assert book.content["ceilings"]["cpu, 1 threads"]["fp32"]["gflop_per_s"] == 102.0


def test_what_cannot_run_is_tried_once_and_named(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    int8 = Runner("openvino", "cpu", "int8", "openvino")
    absent = Runner("tensorrt", "cuda", "fp16", "no such package")
    benchmark([fast], [(OPENVINO, 64, 1), (OPENVINO, 128, 1), (int8, 64, 1), (absent, 64, 1), (ORT, 64, 1)], options(), book)
    assert [asked.runner.runtime for asked in answers] == ["openvino", "onnxruntime"]
    text = write_page(tmp_path)
    assert "fast on openvino, cpu fp32, 64x64; fast on openvino, cpu fp32, 128x128: no such thing" in text
    assert "python -m export.precision fast --data DIR" in text
    assert "no such package is not installed" in text
    assert "None measured yet. On a machine with one:" in text


def test_a_model_of_two_inputs_is_left_out_and_named(tmp_path: Path) -> None:
    two = convolutions()
    two.graph.input.append(helper.make_tensor_value_info("reference", 1, ["n", 1, "h", "w"]))
    helper.set_model_props(two, sdk.InverseHalftoner("fast", device="cpu").metadata.to_props())
    onnx.save(two, tmp_path / "two.onnx")
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    assert open_models([str(tmp_path / "two.onnx")], tmp_path, book) == []
    assert "two.onnx on any: it takes x, reference; models of one input" in write_page(tmp_path)
    assert [model.asked for model in open_models(["fast"], tmp_path, book)] == ["fast"]


def test_a_file_of_another_precision_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(in_precision(sdk.releases()["fast"].path.read_bytes(), "fp16"))
    book = Book(tmp_path, "m")
    assert open_models([str(tmp_path / "half.onnx")], tmp_path, book) == []
    assert "it is in fp16; name the model it was made of" in book.content["left_out"][str(tmp_path / "half.onnx")]


def test_machines_that_differ_at_the_end_have_books_of_their_own(tmp_path: Path) -> None:
    xeon = "Intel Xeon Processor, family 6 model 207, 16 cores (avx2, avx512f, avx512_vnni, avx512_bf16, amx_bf16), NVIDIA "
    first, second = (Book(tmp_path, xeon + gpu).path.name for gpu in ("H100 80GB HBM3", "H200"))
    assert first != second
    assert len(first) <= 80 + len(".json")
    assert Book(tmp_path, "a machine").path.name == "a-machine.json"


def test_what_is_in_the_table_is_not_among_what_was_not_measured(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path, "m")
    benchmark([fast], [(ORT, 64, 1)], options(), book)
    (row,) = book.content["rows"]
    book.skip(row, "its file was not there that day")
    benchmark([fast], [(ORT, 64, 1)], options(), book)
    assert len(answers) == 1
    assert Book(tmp_path, "m").content["skipped"] == []


def test_models_of_one_name_are_not_measured_together(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(sdk.releases()["fast"].path.read_bytes())
    with pytest.raises(ModelError, match=r"fast and .*copy\.onnx are both called 'fast'"):
        open_models(["fast", str(copy)], tmp_path, Book(tmp_path, "a machine"))


def test_page_and_chart(answers: list[Case], fast: Model, tmp_path: Path) -> None:
    book = Book(tmp_path / "evaluations" / "benchmarks", "m")
    benchmark([fast], [(ORT, 1000, 1), (EAGER, 1000, 1)], options(), book)
    text = write_page(tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| fast | torch eager"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    gflop = sdk.InverseHalftoner("fast", device="cpu").metadata.kflop_per_pixel
    assert cells[1:7] == ["torch eager, cpu fp32*", "1000x1000", "500.0", "600.0", "2.00", "1.00"]  # *: other programs took 20 %
    assert cells[10] == f"{gflop:.0f}"
    assert cells[13:] == [f"{2 * gflop:.0f}", f"{2 * gflop / 101:.0%} / {2 * gflop / 101:.0%}"]
    chart = cv2.imread(str(tmp_path / "images" / "benchmarks.png"))
    assert chart is not None
    assert chart.std() > 10
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == text


def test_runners_by_words() -> None:
    assert chosen(RUNNERS, None) == list(RUNNERS)
    assert {runner.precision for runner in chosen(RUNNERS, ["openvino"])} == {"fp32", "bf16", "int8"}
    assert all(runner.device == "cuda" for runner in chosen(RUNNERS, ["CUDA"]))
    with pytest.raises(ModelError, match="No runner is called quantum"):
        chosen(RUNNERS, ["quantum"])


@pytest.mark.slow
def test_the_command_measures_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export.benchmark", "--models", "fast", "--sizes", "64", "--repeats", "1", "--threads", "1"]
    command += ["--runners", "onnxruntime, cpu fp32", "-o", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "fast, onnxruntime, cpu fp32, 1x64x64: end to end" in first.stdout, first.stderr
    second = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "1x64x64: end to end" not in second.stdout
    assert "| fast | onnxruntime, cpu fp32" in second.stdout
