"""The TensorRT backend runs: its logic on a stand-in for TensorRT, its values on a GPU."""

from __future__ import annotations

import ctypes
import re
from types import SimpleNamespace

import numpy as np
import pytest

from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import releases
from sdk.cuda.driver import Driver, OutOfMemory
from sdk.engines.build import BuildOptions, build_engine
from sdk.errors import InferenceError
from tests.sdk.conftest import flavours_for, skip_without
from tests.sdk.fake_tensorrt import FakeDriver, engine_with
from tests.threads import in_threads


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

    in_threads(work, 4)
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
        fake_trt.context.execute_async_v3 = lambda stream, said=said: (backend._log.logger.log(1, said), execute(stream))[1]
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


# With a GPU


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 8e-3), ("bf16", 6e-2)])
@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_engine_equals_onnx(gpu: Driver, flavour: str, precision: str, tolerance: float) -> None:
    if flavour not in flavours_for(gpu):
        pytest.skip(f"{flavour} is not installed, or not made for {gpu.device_name}")
    skip_without(precision, gpu)
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

    in_threads(work)
    assert not wrong
