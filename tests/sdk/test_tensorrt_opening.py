"""Opening engines: what TensorRT or we refuse, what is kept in the cache, and which backend is chosen."""

from __future__ import annotations

import dataclasses
import gc
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdk.backends import open_backend
from sdk.backends.tensorrt import TensorRtBackend, load_plan
from sdk.catalog import releases
from sdk.cuda.driver import Driver
from sdk.engines.build import BuildOptions, build_engine, describe_build
from sdk.engines.file import Engine, read_engine, write_engine
from sdk.errors import DeviceError, EngineMismatchError, MissingDependencyError, ModelError, OptionError
from tests.sdk.conftest import RTX, flavours_for
from tests.sdk.fake_tensorrt import FakeContext, FakeDriver, engine_with

# On a stand-in


def test_refusals_before_tensorrt_sees_the_plan(fake_trt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_trt.Runtime = None
    fake_trt.ComputeCapability = SimpleNamespace(__members__=dict.fromkeys(["NONE", "CURRENT", "SM75", "SM86", "SM120"]))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt)
    with pytest.raises(EngineMismatchError, match=r"8\.6, 12\.0; this one has 8\.9\. TensorRT-RTX is not made for it.*--flavour tensorrt "):
        TensorRtBackend(engine_with(flavour="tensorrt-rtx", compute_capability="any"), FakeDriver())
    with pytest.raises(EngineMismatchError, match=r"built by tensorrt 10\.16\.1\.11; here is 11\.4\.0\.106"):
        TensorRtBackend(engine_with(version="10.16.1.11"), FakeDriver())
    with pytest.raises(EngineMismatchError, match=r"capability 12\.0; this one has 8\.9"):
        TensorRtBackend(engine_with(compute_capability="12.0"), FakeDriver())


def test_refusals_by_tensorrt(fake_trt: SimpleNamespace) -> None:
    with pytest.raises(EngineMismatchError, match=r"cannot load p\.engine.*Rebuild it here.*not this plan"):
        TensorRtBackend(engine_with(b"bad"), FakeDriver(), "p.engine")
    fake_trt.engine.create_execution_context = lambda: None
    with pytest.raises(DeviceError, match="memory of the GPU does not hold"):
        TensorRtBackend(engine_with(), FakeDriver())
    fake_trt.engine.create_execution_context = lambda: fake_trt.context
    fake_trt.engine.get_tensor_mode = lambda name: "in"
    with pytest.raises(ModelError, match="2 inputs and 0 outputs"):
        TensorRtBackend(engine_with(), FakeDriver())


class FakeRuntimeCache:
    """What TensorRT-RTX's holds: the bytes read, and a kernel once something ran."""

    def __init__(self, context: FakeContext) -> None:
        self.context, self.read = context, b""

    def deserialize(self, stored: bytes) -> bool:
        self.read = stored
        return True

    def serialize(self) -> bytes:
        return self.read or b"kernels"[: 7 * len(self.context.ran)]


def test_tensorrt_rtx_keeps_its_kernels_beside_the_engine(
    fake_trt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_trt)
    fake_trt.ComputeCapability = SimpleNamespace(__members__={"SM89": 89})
    caches: list[Any] = []
    fake_trt.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    config = SimpleNamespace(create_runtime_cache=lambda: FakeRuntimeCache(fake_trt.context), set_runtime_cache=caches.append)
    fake_trt.engine.create_runtime_config = lambda: config
    fake_trt.engine.create_execution_context = lambda given=None: fake_trt.context
    given, kept = tmp_path / "m.runtime", tmp_path / "m-Fake_GPU.runtime"
    engine = engine_with(flavour="tensorrt-rtx")

    backend = TensorRtBackend(engine, FakeDriver(), runtime_cache=given)
    assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
    backend.run(np.zeros((1, 1, 16, 16), np.float32))
    assert not kept.exists()
    del backend
    gc.collect()
    assert kept.read_bytes() == b"kernels"

    kept.write_bytes(b"kernels of before")
    TensorRtBackend(engine, FakeDriver(), runtime_cache=given)
    assert caches[-1].read == b"kernels of before"

    TensorRtBackend(engine_with(), FakeDriver(), runtime_cache=tmp_path / "never")  # TensorRT has no such thing
    (tmp_path / "file").touch()
    TensorRtBackend(engine, FakeDriver(), runtime_cache=tmp_path / "file" / "x.runtime")  # cannot be written: no error
    gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m-Fake_GPU.runtime"]


@pytest.mark.parametrize("works_then", [True, False])
def test_an_engine_of_the_cache_that_is_refused_is_built_anew_once(
    fake_trt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_onnx: bytes, works_then: bool
) -> None:
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path))
    for module in ("sdk.cuda.driver", "sdk.engines.build"):
        monkeypatch.setattr(f"{module}.open_driver", FakeDriver)
    plans = [b"bad", b"good" if works_then else b"bad"]
    built: list[BuildOptions] = []

    def build(onnx: bytes, options: BuildOptions, *, where: str, **_: Any) -> Engine:
        built.append(options)
        return Engine(describe_build(onnx, options, where), plans[len(built) - 1])

    monkeypatch.setattr("sdk.engines.cache.build_engine", build)
    (tmp_path / "small.onnx").write_bytes(small_onnx)
    if works_then:
        for _ in range(2):
            assert open_backend(tmp_path / "small.onnx", "cuda", backend="tensorrt")[0].name == "tensorrt"
    else:
        with pytest.raises(EngineMismatchError, match=r"Rebuild it here: inverse-halftoner build small\.onnx -o FILE\.engine"):
            open_backend(tmp_path / "small.onnx", "cuda", backend="tensorrt")
    assert [options.compute_capability for options in built] == ["8.9", "8.9"]
    (kept,) = tmp_path.rglob("*.engine")
    assert read_engine(kept).plan == plans[1]


def test_flavour_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependencyError, match=r"inverse-halftoner\[tensorrt\]"):
        TensorRtBackend(engine_with(), FakeDriver())


# The true TensorRT-RTX, without a GPU


@pytest.fixture(scope="session")
def rtx_engine(small_onnx: bytes) -> Engine:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx wheel (pip install tensorrt-rtx)")
    return build_engine(small_onnx, RTX)


def test_loading_without_a_gpu_is_our_error_with_tensorrts_words(no_gpu: None, rtx_engine: Engine) -> None:
    trt = __import__("tensorrt_rtx")
    with pytest.raises(EngineMismatchError, match=r"cannot load x\.engine on this machine.*cudaError 35"):
        load_plan(trt, rtx_engine, "x.engine")
    with pytest.raises(EngineMismatchError, match=r"cannot load x\.engine"):
        load_plan(trt, Engine(rtx_engine.header, b"no plan at all"), "x.engine")


def test_engine_without_a_gpu(no_gpu: None, rtx_engine: Engine, tmp_path: Path) -> None:
    write_engine(tmp_path / "x.engine", rtx_engine)
    for device in ("auto", "cuda"):
        with pytest.raises(DeviceError, match=r"No NVIDIA GPU can be used.*nvidia-smi"):
            open_backend(tmp_path / "x.engine", device)
    foreign = Engine(dataclasses.replace(rtx_engine.header, version="0.9"), rtx_engine.plan)
    with pytest.raises(EngineMismatchError, match=r"built by tensorrt-rtx 0\.9; here is 1"):  # said even before a GPU is looked for
        TensorRtBackend(foreign)


# Choosing


def test_onnx_models_run_as_before() -> None:
    for device in ("auto", "cpu"):
        backend, where = open_backend("fast", device, threads=1)
        assert (backend.name, backend.precision, backend.tile, where) == ("onnxruntime", "fp32", None, "model 'fast'")
    backend, where = open_backend(releases()["fast"].path, "cpu")
    assert where.endswith("fast.onnx")


def test_what_cannot_be_had_is_an_error(tmp_path: Path, no_gpu: None) -> None:
    with pytest.raises(OptionError, match="'tpu' is unknown"):
        open_backend("fast", "tpu")
    with pytest.raises(DeviceError, match="does not run on the CPU"):
        open_backend(tmp_path / "x.engine", "cpu")
    with pytest.raises(ModelError, match="cannot be read"):
        open_backend(tmp_path / "x.engine")
    with pytest.raises(OptionError, match=r"fp32, not fp16; use backend='openvino' .--backend openvino"):
        open_backend("fast", "cpu", precision="fp16")
    with pytest.raises((DeviceError, MissingDependencyError)):
        open_backend("fast", "cuda", backend="tensorrt")


def test_cuda_without_tensorrt_is_onnxruntimes(monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceError, match="onnxruntime-gpu in place of onnxruntime"):
        open_backend("fast", "cuda")


def test_precision_of_an_engine_file(rtx_engine: Engine, tmp_path: Path) -> None:
    write_engine(tmp_path / "x.engine", rtx_engine)
    with pytest.raises(ModelError, match=r"built in fp16, not fp32\. Rebuild it here"):
        open_backend(tmp_path / "x.engine", precision="fp32")
    for model in (tmp_path / "x.engine", "fast"):
        with pytest.raises(OptionError, match=r"precision is that of what is not quantised: fp16, bf16 or fp32\. Leave int8 out"):
            open_backend(model, "cuda", backend="tensorrt", precision="int8")
    with pytest.raises(OptionError, match=r"'fast' is not quantised; make its int8 file: python -m export\.precision"):
        open_backend("fast", "cpu", precision="int8")


def test_kernels_of_an_engine_file_are_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that TensorRT-RTX, which compiles on the GPU, does so once."""
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "cache"))
    kept: list[Path | None] = []
    monkeypatch.setattr(TensorRtBackend, "__init__", lambda self, engine, where, runtime_cache=None: kept.append(runtime_cache))
    write_engine(tmp_path / "x.engine", engine_with(flavour="tensorrt-rtx"))
    open_backend(tmp_path / "x.engine")
    (kernels,) = kept
    assert kernels is not None
    assert (kernels.parent, kernels.suffix) == (tmp_path / "cache" / "engines", ".runtime")


# With a GPU


@pytest.mark.gpu
def test_cuda_builds_once(gpu: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not flavours_for(gpu):
        pytest.skip("no TensorRT for this GPU is installed")
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path))
    backend, _ = open_backend("fast", "cuda", tile=256)
    assert backend.precision == "fp16"
    assert backend.tile == 256
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")}
    open_backend("fast", "cuda", tile=256)
    assert len(written) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.engine")} == written
