"""The TensorRT backend: its logic on a stand-in for TensorRT, its refusals with the true TensorRT-RTX, its values on a GPU."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdk.backends import open_backend
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend, load_plan
from sdk.catalog import releases
from sdk.cuda.driver import DeviceBuffer, Driver, OutOfMemory
from sdk.engine_file import Engine, EngineHeader, read_engine, write_engine
from sdk.engines import BuildOptions, build_engine, describe_build
from sdk.errors import DeviceError, EngineMismatchError, InferenceError, MissingDependencyError, ModelError, OptionError
from tests.sdk.conftest import flavours_for

RTX = BuildOptions(flavour="tensorrt-rtx")
SHAPES = ((1, 1, 16, 16), (2, 1, 64, 64), (2, 1, 64, 64))


class FakeDriver:
    """Host memory for a GPU; counts how deep ``with`` is, which one thread holds at a time."""

    name, device, device_name, compute_capability, stream, has_graphs = "fake", 0, "Fake GPU", (8, 9), 7, False

    def __init__(self) -> None:
        self.depth = 0
        self.allocations = 0
        self.turn = threading.RLock()

    def __enter__(self) -> FakeDriver:
        self.turn.acquire()
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        self.turn.release()

    def allocate(self, nbytes: int) -> DeviceBuffer:
        assert self.depth
        self.allocations += 1
        if nbytes > 10**6:
            raise DeviceError("The memory of the GPU ran out")
        memory = ctypes.create_string_buffer(nbytes)
        return DeviceBuffer(ctypes.addressof(memory), nbytes, lambda: memory and None)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        assert self.depth
        assert source.nbytes <= target.nbytes
        ctypes.memmove(target.address, source.ctypes.data, source.nbytes)

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        assert target.nbytes <= source.nbytes
        ctypes.memmove(target.ctypes.data, source.address, target.nbytes)

    def synchronize(self) -> None:
        assert self.depth


class FakeContext:
    """One minus the input; notes the shapes it ran."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.ran: list[tuple[int, ...]] = []
        self.told: list[tuple[int, ...]] = []
        self.works = True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.told.append(tuple(shape))
        self.shape = tuple(shape)
        return name == "halftone" and all(a <= n <= b for a, n, b in zip(SHAPES[0], shape, SHAPES[2]))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        count = int(np.prod(self.shape))
        source, target = ((ctypes.c_float * count).from_address(self.addresses[name]) for name in ("halftone", "contone"))
        np.ctypeslib.as_array(target)[:] = 1 - np.ctypeslib.as_array(source)
        self.ran.append(self.shape)
        return self.works


@pytest.fixture
def fake_trt(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module ``tensorrt`` with what the backend uses of it, and nothing else."""
    context = FakeContext()
    names = ["halftone", "contone"]
    engine = SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: "in" if name == "halftone" else "out",
        get_tensor_dtype=lambda name: np.float32,
        get_tensor_profile_shape=lambda name, profile: SHAPES,
        create_execution_context=lambda: context,
    )

    class Logger:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            self.log.log(1, "not this plan") if plan == b"bad" else None
            return None if plan == b"bad" else engine

    module = SimpleNamespace(
        __name__="tensorrt",
        __version__="11.4.0.106",
        ILogger=Logger,
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT="in"),
        nptype=lambda dtype: dtype,
        context=context,
        engine=engine,
    )
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def engine_with(plan: bytes = b"good", **changes: Any) -> Engine:
    header = EngineHeader({"name": '"m"'}, "tensorrt", "11.4.0.106", "8.9", "fp16", SHAPES)
    return Engine(dataclasses.replace(header, **changes), plan)


def test_values_and_what_it_says_of_itself(fake_trt: SimpleNamespace) -> None:
    driver = FakeDriver()
    backend = TensorRtBackend(engine_with(), driver)
    assert (backend.name, backend.device, backend.precision) == ("tensorrt", "cuda (Fake GPU)", "fp16")
    assert (backend.tile, backend.batch, backend.metadata) == (64, 2, {"name": '"m"'})
    rng = np.random.default_rng(0)
    kept = []
    for n, h, w in [(1, 16, 16), (2, 64, 32), (1, 24, 64)]:
        x = rng.random((n, 1, h, w), np.float32)
        kept.append((backend.run(x), 1 - x))
    for result, expected in kept:  # checked at the end: no result may live in memory that the next call uses
        assert result.dtype == np.float32
        assert np.array_equal(result, expected)
    assert driver.depth == 0
    assert driver.allocations == 4  # grown once for each end, then kept


def test_int8_is_reported_with_what_the_rest_runs_in(fake_trt: SimpleNamespace) -> None:
    metadata = {"name": '"m_int8"', "precision": '"int8"'}
    assert TensorRtBackend(engine_with(metadata=metadata), FakeDriver()).precision == "int8, the rest in fp16"


def test_large_batches_are_cut_and_small_tiles_padded(fake_trt: SimpleNamespace) -> None:
    backend = TensorRtBackend(engine_with(), FakeDriver())
    x = np.random.default_rng(0).random((5, 1, 8, 40), np.float32)
    assert np.array_equal(backend.run(x), 1 - x)
    assert fake_trt.context.ran == [(2, 1, 16, 40), (2, 1, 16, 40), (1, 1, 16, 40)]


def test_padding_reflects(fake_trt: SimpleNamespace) -> None:
    seen: list[np.ndarray] = []
    backend = TensorRtBackend(engine_with(), FakeDriver())
    run = backend._run
    backend._run = lambda part: (seen.append(part), run(part))[1]  # type: ignore[method-assign]
    x = np.arange(8 * 16, dtype=np.float32).reshape(1, 1, 8, 16)
    backend.run(x)
    assert np.array_equal(seen[0][0, 0, 8:], x[0, 0, ::-1])


def test_threads_take_turns(fake_trt: SimpleNamespace) -> None:
    backend = TensorRtBackend(engine_with(), FakeDriver())
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).random((2, 1, 32, 32), np.float32)
        for _ in range(20):
            if not np.array_equal(backend.run(x), 1 - x):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_from_gpu_memory_to_gpu_memory(fake_trt: SimpleNamespace) -> None:
    """As the pipeline runs it: no host array, no copy, no wait."""
    driver = FakeDriver()
    backend = TensorRtBackend(engine_with(), driver)
    assert (backend.planes, backend.result_planes, backend.dtypes) == (1, 1, (np.float32, np.float32))
    assert backend.shape_for(2, 8, 40) == (2, 1, 16, 40)
    x, out = np.random.default_rng(0).random((2, 1, 16, 40), np.float32), np.empty((2, 1, 16, 40), np.float32)
    with driver:
        source, target = driver.allocate(x.nbytes), driver.allocate(x.nbytes)
        driver.copy_in(source, x)
        backend.enqueue(x.shape, source.address, target.address)
        driver.copy_out(out, target)
    assert np.array_equal(out, 1 - x)
    assert driver.allocations == 2
    with pytest.raises(InferenceError, match="72x64 px is larger than the engine's 64x64"):
        backend.shape_for(1, 64, 72)
    fake_trt.context.get_tensor_shape = lambda name: (2, 1, 32, 80)
    with driver, pytest.raises(InferenceError, match=r"makes \(2, 1, 32, 80\) of \(2, 1, 16, 40\)"):
        backend.enqueue(x.shape, source.address, target.address)


def test_what_makes_graphs_void(fake_trt: SimpleNamespace) -> None:
    """Another shape, other addresses, and ``run``, which has its own; not another batch of the same."""
    driver = FakeDriver()
    backend = TensorRtBackend(engine_with(), driver)
    small, large = (1, 1, 16, 16), (2, 1, 32, 32)
    with driver:
        source, target = driver.allocate(8192), driver.allocate(8192)
        first = backend.prepare(large, source.address, target.address)
        for _ in range(2):
            backend.enqueue(large, source.address, target.address)
            assert backend.prepare(large, source.address, target.address) == first
        numbers = [first, backend.prepare(large, source.address, target.address + 256)]
        numbers.append(backend.prepare(large, target.address, source.address))
        numbers.append(backend.prepare(small, source.address, target.address))
        numbers.append(backend.prepare(large, source.address, target.address))
        backend.run(np.zeros(large, np.float32))
        numbers.append(backend.prepare(large, source.address, target.address))
        backend.enqueue(small, source.address, target.address)  # without having said so
        numbers.append(backend.prepare(large, source.address, target.address))
        with pytest.raises(InferenceError, match="does not take an input"):
            backend.prepare((1, 3, 16, 16), source.address, target.address)
        numbers.append(backend.prepare(large, source.address, target.address))
    assert len(set(numbers)) == len(numbers)
    assert fake_trt.context.told == [(1, 1, 16, 16), large, small, large, small, large, (1, 3, 16, 16), large]  # no more than needed


def test_recordable_is_what_tensorrt_rtx_says_and_true_for_tensorrt(fake_trt: SimpleNamespace) -> None:
    backend = TensorRtBackend(engine_with(), FakeDriver())
    assert backend.recordable()
    fake_trt.context.is_stream_capturable = lambda stream: stream != 7
    assert not backend.recordable()


def test_memory_that_tensorrt_lacks_is_told_from_other_failures(fake_trt: SimpleNamespace) -> None:
    driver = FakeDriver()
    backend = TensorRtBackend(engine_with(), driver)
    fake_trt.context.works = False
    execute = fake_trt.context.execute_async_v3
    memory = (ctypes.c_float * 2 * 16 * 16)()
    for said, expected in [("OutOfMemory (Requested size was 9 bytes.)", OutOfMemory), ("an illegal memory access", InferenceError)]:
        fake_trt.context.execute_async_v3 = lambda stream, said=said: (backend._log.log(1, said), execute(stream))[1]
        with driver, pytest.raises(expected, match=re.escape(said)):
            backend.enqueue((1, 1, 16, 16), ctypes.addressof(memory), ctypes.addressof(memory))


def test_failures_while_running(fake_trt: SimpleNamespace) -> None:
    backend = TensorRtBackend(engine_with(), FakeDriver())
    with pytest.raises(InferenceError, match="72x64 px is larger than the engine's 64x64"):
        backend.run(np.zeros((1, 1, 64, 72), np.float32))
    with pytest.raises(InferenceError, match=r"does not take an input of \(1, 3, 64, 64\)"):
        backend.run(np.zeros((1, 3, 64, 64), np.float32))
    fake_trt.context.works = False
    with pytest.raises(InferenceError, match=r"failed on an input of \(1, 1, 64, 64\).*smaller tile.*TensorRT's log"):
        backend.run(np.zeros((1, 1, 64, 64), np.float32))


def test_memory_that_runs_out_is_an_inference_error(fake_trt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver()
    backend = TensorRtBackend(engine_with(), driver)
    monkeypatch.setattr(driver, "allocate", lambda nbytes: FakeDriver.allocate(driver, 10**9))
    with pytest.raises(InferenceError, match="tile of 64x64 px: The memory of the GPU ran out"):
        backend.run(np.zeros((1, 1, 64, 64), np.float32))
    assert driver.depth == 0


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
    config = SimpleNamespace(create_runtime_cache=lambda: FakeRuntimeCache(fake_trt.context), set_runtime_cache=caches.append)
    fake_trt.engine.create_runtime_config = lambda: config
    fake_trt.engine.create_execution_context = lambda given=None: fake_trt.context
    kept = tmp_path / "m.runtime"
    engine = engine_with(flavour="tensorrt-rtx")

    backend = TensorRtBackend(engine, FakeDriver(), runtime_cache=kept)
    backend.run(np.zeros((1, 1, 16, 16), np.float32))
    assert not kept.exists()
    del backend
    gc.collect()
    assert kept.read_bytes() == b"kernels"

    kept.write_bytes(b"kernels of before")
    TensorRtBackend(engine, FakeDriver(), runtime_cache=kept)
    assert caches[-1].read == b"kernels of before"

    TensorRtBackend(engine_with(), FakeDriver(), runtime_cache=tmp_path / "never")  # TensorRT has no such thing
    (tmp_path / "file").touch()
    TensorRtBackend(engine, FakeDriver(), runtime_cache=tmp_path / "file" / "x.runtime")  # cannot be written: no error
    gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m.runtime"]


@pytest.mark.parametrize("works_then", [True, False])
def test_an_engine_of_the_cache_that_is_refused_is_built_anew_once(
    fake_trt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_onnx: bytes, works_then: bool
) -> None:
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path))
    for module in ("sdk.cuda.driver", "sdk.engines"):
        monkeypatch.setattr(f"{module}.open_driver", FakeDriver)
    plans = [b"bad", b"good" if works_then else b"bad"]
    built: list[BuildOptions] = []

    def build(onnx: bytes, options: BuildOptions, *, where: str, **_: Any) -> Engine:
        built.append(options)
        return Engine(describe_build(onnx, options, where), plans[len(built) - 1])

    monkeypatch.setattr("sdk.engine_cache.build_engine", build)
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
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 8e-3), ("bf16", 6e-2)])
@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_engine_equals_onnx(gpu: Driver, flavour: str, precision: str, tolerance: float) -> None:
    if flavour not in flavours_for(gpu):
        pytest.skip(f"{flavour} is not installed, or not made for {gpu.device_name}")
    onnx = releases()["fast"].path.read_bytes()
    reference = OnnxRuntimeBackend(onnx, "cpu")
    backend = TensorRtBackend(build_engine(onnx, BuildOptions(flavour=flavour, precision=precision, tile=256, batch=2)), gpu)
    rng = np.random.default_rng(0)
    for shape in [(1, 2, 256, 256), (3, 2, 128, 200), (1, 2, 8, 8)]:
        x = rng.integers(0, 2, shape).astype(np.float32)
        x[:, 1] = rng.integers(0, 25, (shape[0], 1, 1)) / 256  # the method
        assert np.abs(backend.run(x) - reference.run(x)).max() < tolerance


@pytest.mark.gpu
def test_two_threads_on_the_gpu(gpu: Driver, small_onnx: bytes) -> None:
    flavour = next(iter(flavours_for(gpu)), None) or pytest.skip("no TensorRT for this GPU is installed")
    backend = TensorRtBackend(build_engine(small_onnx, BuildOptions(flavour=flavour)), gpu)
    inputs = [np.random.default_rng(seed).random((1, 1, 64, 64), np.float32) for seed in range(2)]
    expected = [backend.run(x) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(backend.run(inputs[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong


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
