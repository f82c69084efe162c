"""Run an ONNX model on OpenVINO: on CPUs with AVX-512 BF16 or AMX, ``bf16`` takes about half the time of fp32; Q/DQ models run in int8."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from sdk.backends import not_quantised, thread_count
from sdk.errors import DeviceError, InferenceError, MissingDependencyError, ModelError, OptionError
from sdk.onnx_file import read_props
from sdk.onnx_precision import precision_of

PRECISIONS = ("fp32", "bf16", "int8")
SHAPES_KEPT = 4
"""Compiled for fixed shapes, since dynamic ones take more memory with every new size; a picture has one size of tile."""


class OpenVinoBackend:
    """A compiled ONNX graph on one CPU.

    precision: "fp32" or "bf16" is that of all arithmetic. "int8" is for the Q/DQ models of ``export.precision``, which run in nothing
    else: what they quantise is computed in int8, the rest in fp32. None: the file's, fp32 or int8.
    """

    name, tile = "openvino", None

    def __init__(
        self, model: bytes, device: str = "auto", threads: int | None = None, where: str = "the model", precision: str | None = None
    ):
        try:
            import openvino
        except ImportError as error:
            raise MissingDependencyError("The openvino backend needs OpenVINO: pip install 'inverse-halftoner[openvino]'.") from error
        if device not in ("auto", "cpu"):
            raise DeviceError(f"Device {device!r} was asked for; the openvino backend runs on the CPU. Use device='cpu' (--device cpu).")
        if precision not in (None, *PRECISIONS):
            raise OptionError(f"Precision {precision!r} is unknown to the openvino backend; use {' or '.join(map(repr, PRECISIONS))}.")
        quantised = precision_of(model, where) == "int8"
        if precision == "int8" and not quantised:
            raise not_quantised(where)
        if precision in ("fp32", "bf16") and quantised:
            raise OptionError(
                f"{where} is quantised to int8 and does not run in {precision}; use precision='int8', or the model it was made of."
            )
        self.metadata, self.device, self.precision = read_props(model, where), "cpu", precision or ("int8" if quantised else "fp32")
        self._core = openvino.Core()
        offered = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and "BF16" not in offered:
            raise DeviceError(f"This CPU has no bf16 arithmetic (it offers {', '.join(offered)}); use precision='fp32' (--precision fp32).")
        hint = "bf16" if precision == "bf16" else "f32"
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if count := thread_count(threads):
            self._settings["INFERENCE_NUM_THREADS"] = count
        try:
            self._model = self._core.read_model(model)
        except RuntimeError as error:
            raise ModelError(f"{where} cannot be loaded by OpenVINO ({error}). Export it again, or fetch a fresh copy.") from error
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._turn = threading.Lock()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32."""
        try:
            request = self._for_shape(batch.shape).create_infer_request()
            return request.infer([np.ascontiguousarray(batch)])[0].copy()
        except RuntimeError as error:
            raise InferenceError(
                f"OpenVINO failed on a tile of {batch.shape[-1]}x{batch.shape[-2]} px ({error}). If memory ran out, use a smaller tile."
            ) from error

    def _for_shape(self, shape: tuple[int, ...]) -> Any:
        with self._turn:  # threads that meet a new shape together compile it once
            compiled = self._compiled.get(shape)
            if compiled is None:
                fixed = self._model.clone()
                fixed.reshape(list(shape))
                compiled = self._core.compile_model(fixed, "CPU", self._settings)
            self._compiled[shape] = compiled
            self._compiled.move_to_end(shape)
            while len(self._compiled) > SHAPES_KEPT:
                self._compiled.popitem(last=False)
            return compiled
