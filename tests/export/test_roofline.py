"""``export.roofline``: what a network computes and moves, and what a machine can do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import sdk
from export.benchmark import Model
from export.roofline import Work, ceilings, machine, work_of
from sdk.errors import ModelError
from tests.export.benchmark_cases import convolutions


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_activation_of_a_convolution_and_every_weight_moves_once(dtype: type) -> None:
    work = work_of(convolutions(dtype), side=32)
    assert work == Work(planes=1, weights=144, activations_per_pixel=1 + 8 + 8 + 1, flop_per_pixel=2 * 144)  # the ReLU is fused
    assert work.megabytes(1000, "fp32") == pytest.approx(4 * (144 + 18_000) / 1e6)
    assert work.megabytes(1000, "int8") == pytest.approx((144 + 18_000) / 1e6)


def test_released_models_are_counted() -> None:
    work = Model("fast", Path("runs")).work
    metadata = sdk.InverseHalftoner("fast", device="cpu").metadata
    assert work.planes == 2  # the picture, and the method of its dots
    assert work.weights == pytest.approx(metadata.parameters, rel=0.01)
    assert work.activations_per_pixel > 100
    assert work.flop_per_pixel / 1e3 == pytest.approx(metadata.kflop_per_pixel, rel=1e-3)  # which torch has counted


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


def test_the_gpus_name_is_asked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA context of this process would count in the GPU memory of those that are measured."""
    monkeypatch.setattr("sdk.cuda.driver.open_driver", None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "Some GPU\n", ""))
    assert machine().endswith(", Some GPU")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "DeviceError"))
    assert "GPU" not in machine()
