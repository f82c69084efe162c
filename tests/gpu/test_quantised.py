"""Q/DQ engines and kept kernels, on an NVIDIA GPU."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from export.quantise import find_scales, quantise, with_float_weights
from export.runners import Case, Runner, measure
from sdk.backends import open_cached_engine
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.cuda.driver import Driver
from sdk.engines.build import BuildOptions, build_engine
from sdk.engines.file import FLAVOURS
from tests.export.test_precision import FACTS, network
from tests.sdk.conftest import flavours_for

pytestmark = pytest.mark.gpu


@pytest.fixture(params=FLAVOURS)
def flavour(gpu: Driver, request: pytest.FixtureRequest) -> str:
    if request.param not in flavours_for(gpu):
        pytest.skip(f"{request.param} is not installed, or not made for {gpu.device_name}")
    return request.param


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_int8_engine_gives_what_int8_onnx_gives(gpu: Driver, flavour: str, precision: str) -> None:
    plain = with_float_weights(network())
    dots = [np.random.default_rng(seed).random((1, 1, 64, 64)).round().astype(np.float32) for seed in range(3)]
    int8 = quantise(plain, find_scales(plain, dots, 1), keep=["y"])
    helper.set_model_props(int8, replace(FACTS, name="tiny_int8", precision="int8").to_props())
    data = int8.SerializeToString()
    engine = build_engine(data, BuildOptions(flavour=flavour, precision=precision))
    backend = TensorRtBackend(engine, gpu)
    assert backend.precision == f"int8, the rest in {precision}"
    reference = OnnxRuntimeBackend(data, "cpu")
    exact = OnnxRuntimeBackend(plain.SerializeToString(), "cpu")
    for batch in dots:  # sums are rounded in another order, so a value may fall on the other side of a step
        lost = np.sqrt(np.mean((reference.run(batch) - exact.run(batch)) ** 2))
        assert np.sqrt(np.mean((backend.run(batch) - reference.run(batch)) ** 2)) < lost


def test_tensorrt_rtx_keeps_its_kernels(gpu: Driver, flavour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if flavour != "tensorrt-rtx":
        pytest.skip("TensorRT compiles nothing at run time")
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "cache"))
    onnx.save(network(), tmp_path / "tiny.onnx")
    dots = np.random.default_rng(0).random((1, 1, 64, 64)).round().astype(np.float32)
    results = []
    for _ in range(2):
        backend = open_cached_engine((tmp_path / "tiny.onnx").read_bytes(), "tiny.onnx", BuildOptions(flavour=flavour))
        results.append(backend.run(dots))
        del backend
        gc.collect()
        (kept,) = tmp_path.rglob("*.runtime")
        assert kept.stat().st_size > 0
    np.testing.assert_array_equal(*results)


def test_the_benchmark_measures_an_engine(gpu: Driver, flavour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "cache"))
    row = measure(Case("fast", Runner(flavour, "cuda", "fp16", flavour), 256, 2, threads=1, repeats=3, planes=2))
    assert 0 < row["network"]["p50_s"] < row["end_to_end"]["p50_s"]
    assert row["gpu_mib"] > 0
