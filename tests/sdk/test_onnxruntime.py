"""onnxruntime with bound buffers: the same code on the CPU, which every machine has, and on CUDA."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import sdk
from sdk.backends import onnxruntime as module
from sdk.backends import open_backend
from sdk.backends.onnxruntime import SHAPES_KEPT, BoundSession, OnnxRuntimeBackend, load_cuda_libraries
from sdk.cuda.driver import Driver
from sdk.errors import DeviceError, InferenceError, ModelError, OptionError
from sdk.onnx_precision import in_precision


@pytest.fixture
def plain(small_onnx: bytes) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(small_onnx, "cpu", threads=1)


def batch(tiles: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((tiles, 1, height, width), dtype=np.float32)


def test_bound_buffers_give_what_run_gives(plain: OnnxRuntimeBackend) -> None:
    bound = BoundSession(plain.session, "cpu")
    kept = []
    for seed, shape in enumerate([(1, 64, 64), (2, 16, 24), (1, 64, 64), (2, 16, 24)]):
        values = batch(*shape, seed=seed)
        kept.append((bound.run(values), plain.run(values)))
    for bound_result, result in kept:  # also later: nobody writes into a result that was given out
        np.testing.assert_array_equal(bound_result, result)


def test_buffers_stay_for_the_next_tile(plain: OnnxRuntimeBackend) -> None:
    bound = BoundSession(plain.session, "cpu")
    bound.run(batch(1, 64, 64))
    first = bound._bindings[1, 1, 64, 64]
    bound.run(batch(1, 64, 64, seed=1))
    assert bound._bindings[1, 1, 64, 64] is first
    for width in range(8, 8 * (SHAPES_KEPT + 3), 8):
        bound.run(batch(1, 64, width))
    assert len(bound._bindings) == SHAPES_KEPT


def test_threads_take_turns(plain: OnnxRuntimeBackend) -> None:
    bound, wrong = BoundSession(plain.session, "cpu"), []

    def work(seed: int) -> None:
        values = batch(1, 32, 32, seed=seed)
        expected = plain.run(values)
        wrong.extend(seed for _ in range(20) if not np.array_equal(bound.run(values), expected))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_backend_on_another_device_runs_bound(plain: OnnxRuntimeBackend) -> None:
    plain._bound = SimpleNamespace(run=lambda values: 1 - values)  # type: ignore[assignment]
    np.testing.assert_array_equal(plain.run(batch(1, 8, 8)), 1 - batch(1, 8, 8))


def test_on_device_can_be_repeated(plain: OnnxRuntimeBackend) -> None:
    run = plain.on_device(batch(2, 16, 16))
    run()
    run()
    with pytest.raises(InferenceError, match="tile of 16x16"):
        plain.on_device(np.zeros((1, 2, 16, 16), np.float32))


def test_cuda_libraries_are_loaded_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(ort, "preload_dlls", lambda: print("Failed to load libcudnn.so.9"), raising=False)
    assert load_cuda_libraries() == "Failed to load libcudnn.so.9"
    assert capsys.readouterr().out == ""
    monkeypatch.delattr(ort, "preload_dlls")
    assert load_cuda_libraries() == ""


def test_a_silent_fall_back_of_onnxruntime_is_an_error_with_what_was_missing(small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu without cuDNN gives a session on the CPU, and a line on stdout."""
    session, asked = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]), []
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, providers: asked.extend(providers) or session)
    monkeypatch.setattr(module, "load_cuda_libraries", lambda: "Failed to load libcudnn.so.9")
    with pytest.raises(DeviceError, match=r"would run on the CPU.*libcudnn\.so\.9"):
        OnnxRuntimeBackend(small_onnx, "cuda")
    assert asked == [("CUDAExecutionProvider", {"use_tf32": "0"})]  # fp32 is what was asked for


@pytest.mark.parametrize("way", ["raises", "goes on without"])
def test_auto_is_the_cpu_where_cuda_cannot_start(
    small_onnx: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """onnxruntime-gpu on a machine without a GPU. What is asked for by name is an error all the same."""
    session = ort.InferenceSession

    def without_gpu(model: bytes, options: Any, providers: list[tuple[str, dict]]) -> Any:
        if providers[0][0] == "CUDAExecutionProvider" and way == "raises":
            raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient")
        return session(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", without_gpu)
    monkeypatch.setattr(module, "load_cuda_libraries", lambda: "Failed to load libcudnn.so.9")
    backend = OnnxRuntimeBackend(small_onnx, "auto", threads=1)
    assert (backend.device, backend.precision) == ("cpu", "fp32")
    assert backend.run(batch(1, 16, 16)).shape == (1, 1, 16, 16)
    assert "onnxruntime runs on the CPU" in caplog.text
    with pytest.raises((DeviceError, ModelError), match=r"driver version|libcudnn"):
        OnnxRuntimeBackend(small_onnx, "cuda")
    with pytest.raises(ModelError):
        OnnxRuntimeBackend(b"no model", "auto")


def test_precision_is_the_files_own(small_onnx: bytes) -> None:
    with pytest.raises(OptionError, match="in fp32, not bf16"):
        open_backend(sdk.releases()["fast"].path, "cpu", precision="bf16")
    half = OnnxRuntimeBackend(in_precision(small_onnx, "fp16"), "cpu")
    assert half.precision == "fp32"  # that is what its CPU kernels compute in


def test_an_opened_backend_is_taken_as_it_is(white: np.ndarray) -> None:
    """So programs can bring their own runtime, and the benchmark brings torch."""

    class Negative:
        name, device, precision, tile = "mine", "cpu", "fp32", None

        def __init__(self, metadata: dict[str, str]):
            self.metadata = metadata

        def run(self, values: np.ndarray) -> np.ndarray:
            return 1 - values[:, :1]

    mine: Any = Negative(open_backend("fast", "cpu")[0].metadata)
    restorer = sdk.InverseHalftoner(mine)
    assert restorer.describe()["backend"] == "mine"
    part = white[:64, :64]
    np.testing.assert_array_equal(restorer.run(part), np.where(part, 0, 255))


@pytest.mark.gpu
def test_cuda_gives_what_the_cpu_gives(gpu: Driver, plain: OnnxRuntimeBackend, small_onnx: bytes) -> None:
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("needs onnxruntime-gpu in place of onnxruntime")
    backend = OnnxRuntimeBackend(small_onnx, "cuda")
    for shape in ((1, 64, 64), (3, 16, 24), (1, 64, 64)):
        assert np.abs(backend.run(batch(*shape)) - plain.run(batch(*shape))).max() < 1e-4  # TF32 would differ by more
    backend.on_device(batch(1, 64, 64))()


def test_the_callers_array_is_left_alone(plain: OnnxRuntimeBackend) -> None:
    bound, first = BoundSession(plain.session, "cpu"), batch(1, 32, 32, seed=0)
    before = first.copy()
    bound.run(first)
    bound.run(batch(1, 32, 32, seed=1))
    assert np.array_equal(first, before)
