"""``export.runners``: one measurement, in a process of its own, and why there is none."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import sdk
from export.benchmark import in_process
from export.runners import Case, Runner, TorchBackend, case_from, measure, network_call, open_case, peak_mib, timed, to_text
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import metadata_of
from sdk.errors import MissingDependencyError
from tests.export.benchmark_cases import EAGER, ORT, case


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
    assert timed(lambda: calls.append(1), repeats=4, warm_ups=(3, 0.0))["repeats"] == 4
    assert len(calls) == 7


def test_short_calls_are_repeated_for_a_while() -> None:
    calls: list[float] = []
    began = time.perf_counter()
    found = timed(lambda: (calls.append(1), time.sleep(0.002)), repeats=2, warm_ups=(1, 0.02), for_s=0.05)
    assert time.perf_counter() - began > 0.07
    assert len(calls) > found["repeats"] + 1 > 3


def test_engines_are_opened_as_the_sdk_opens_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels that TensorRT-RTX kept, so that a row is what users get."""
    asked: list[Any] = []
    monkeypatch.setattr("export.runners.open_cached_engine", lambda onnx, where, options: asked.append(options))
    open_case(case(Runner("tensorrt-rtx", "cuda", "int8", "tensorrt-rtx"), batch=8))
    assert (asked[0].flavour, asked[0].precision, asked[0].batch) == ("tensorrt-rtx", "fp16", 8)


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
