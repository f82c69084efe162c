"""The OpenVINO backend computes what onnxruntime computes, and refuses what it cannot do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import DeviceError, InferenceError, ModelError, OptionError

openvino = pytest.importorskip("openvino", reason="openvino is not installed (pip install '.[openvino]')")
from sdk.backends.openvino import SHAPES_KEPT, OpenVinoBackend  # noqa: E402

MODEL = sdk.releases()["fast"].path.read_bytes()
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="module")
def dots() -> np.ndarray:
    """(1, 2, H, W): dots, and the plane that says Floyd-Steinberg made them."""
    dots = np.random.default_rng(0).random((1, 2, 96, 128)).round().astype(np.float32)
    dots[:, 1] = 1 / 256
    return dots


def test_fp32_equals_onnxruntime(dots: np.ndarray) -> None:
    backend, reference = OpenVinoBackend(MODEL), OnnxRuntimeBackend(MODEL, "cpu")
    assert backend.metadata == reference.metadata
    negative = dots.copy()
    negative[:, 0] = 1 - dots[:, 0]  # and told the same method
    for batch in (dots, dots[..., :64, :72], np.concatenate([dots, negative])):
        assert np.abs(backend.run(batch) - reference.run(batch)).max() < 1e-4


@pytest.mark.skipif(not HAS_BF16, reason="this CPU has no bf16 arithmetic")
def test_bf16_is_close(dots: np.ndarray) -> None:
    difference = OpenVinoBackend(MODEL, precision="bf16").run(dots) - OnnxRuntimeBackend(MODEL, "cpu").run(dots)
    assert np.sqrt((difference**2).mean()) < 1 / 255


@pytest.mark.skipif(HAS_BF16, reason="this CPU has bf16 arithmetic")
def test_bf16_is_refused_where_there_is_none() -> None:
    with pytest.raises(DeviceError, match="no bf16"):
        OpenVinoBackend(MODEL, precision="bf16")


def test_compiled_shapes_are_few(dots: np.ndarray) -> None:
    backend = OpenVinoBackend(MODEL)
    for width in range(16, 16 + 8 * (SHAPES_KEPT + 3), 8):
        backend.run(dots[..., :16, :width])
    assert len(backend._compiled) == SHAPES_KEPT


def test_threads_that_meet_a_new_shape_together_compile_it_once(dots: np.ndarray) -> None:
    backend, compiled = OpenVinoBackend(MODEL), []
    compile_model = backend._core.compile_model

    class Core:
        @staticmethod
        def compile_model(*arguments: Any) -> Any:
            compiled.append(1)
            return compile_model(*arguments)

    backend._core = Core()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(backend.run, [dots[..., :32, :40]] * 4))
    assert len(compiled) == 1
    assert all(np.array_equal(result, results[0]) for result in results)


def test_refusals(dots: np.ndarray) -> None:
    with pytest.raises(DeviceError, match="runs on the CPU"):
        OpenVinoBackend(MODEL, device="cuda")
    with pytest.raises(OptionError, match="'fp32' or 'bf16'"):
        OpenVinoBackend(MODEL, precision="int3")


def test_options_that_do_not_exist_are_refused_by_every_backend() -> None:
    for backend in ("onnxruntime", "openvino", "tensorrt"):
        with pytest.raises(OptionError, match=r"'fp17' is unknown\. Did you mean 'fp16'"):
            sdk.InverseHalftoner("fast", backend=backend, precision="fp17")
        with pytest.raises(OptionError, match="threads is 0; it must be a whole number from 1"):
            sdk.InverseHalftoner("fast", backend=backend, threads=0)
    with pytest.raises(OptionError, match="threads"):
        OpenVinoBackend(MODEL, threads=0)
    with pytest.raises(ModelError):
        OpenVinoBackend(b"no model")
    with pytest.raises(InferenceError, match="tile of 20x16"):
        OpenVinoBackend(MODEL).run(np.zeros((1, 3, 16, 20), np.float32))


def test_through_the_sdk(white: np.ndarray) -> None:
    part = white[:200, :232]
    restorer = sdk.InverseHalftoner("fast", backend="openvino", tile=192, overlap=64)
    described = restorer.describe()
    assert (described["backend"], described["device"], described["precision"]) == ("openvino", "cpu", "fp32")
    reference = sdk.InverseHalftoner("fast", device="cpu", tile=192, overlap=64).run(part)
    assert np.abs(restorer.run(part).astype(int) - reference).max() <= 1
    with pytest.raises(OptionError, match="'fp16' is unknown to the openvino backend"):
        sdk.InverseHalftoner("fast", backend="openvino", precision="fp16")
    with pytest.raises(OptionError, match="Did you mean 'openvino'"):
        sdk.InverseHalftoner("fast", backend="openvin")
