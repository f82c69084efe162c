"""onnxruntime: the backend that works everywhere; on NVIDIA GPUs with buffers that stay there from tile to tile."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

from sdk.backends import thread_count
from sdk.errors import DeviceError, InferenceError, ModelError, OptionError, nearest
from sdk.onnx_precision import precision_of

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
OPTIONS = {"cpu": {}, "cuda": {"use_tf32": "0"}}
"""fp32 shall be that: from Ampere on TF32, of 10 bits of mantissa, is the default for it."""
SHAPES_KEPT = 4
"""Buffers of so many shapes of batch stay on a GPU; a picture has one size of tile."""
_log = logging.getLogger(__name__)


class OnnxRuntimeBackend:
    """Runs (N, C, H, W) float32 batches; safe to call from several threads.

    ``device`` "auto" is CUDA where that can be had, or the CPU. ``precision`` is that of the file: there is nothing to choose. (Its CPU
    kernels compute fp16 files in fp32, and say so.)
    """

    name = "onnxruntime"
    tile = None  # it takes any

    def __init__(self, model: bytes, device: str = "auto", threads: int | None = None, where: str = "the model"):
        available = ort.get_available_providers()
        automatic = device == "auto"
        if automatic:
            device = "cuda" if PROVIDERS["cuda"] in available else "cpu"
        if device not in PROVIDERS:
            raise OptionError(f"Device {device!r} is unknown.{nearest(str(device), ('auto', *PROVIDERS))}")
        if PROVIDERS[device] not in available:
            raise DeviceError(
                f"Device {device!r} was asked for, but this onnxruntime offers {', '.join(available)}. "
                "Install onnxruntime-gpu in place of onnxruntime, or use device='cpu' (--device cpu)."
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if count := thread_count(threads):
            options.intra_op_num_threads = count
        try:
            self.session = open_session(model, options, device, where)
        except (DeviceError, ModelError) as error:
            if not automatic or device == "cpu":
                raise
            _log.warning("onnxruntime runs on the CPU: %s", error)
            device = "cpu"
            self.session = open_session(model, options, device, where)
        stored = precision_of(model, where)
        self.precision = "fp32" if device == "cpu" and stored in ("fp16", "bf16") else stored
        self.device = device
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self._bound = None if device == "cpu" else BoundSession(self.session, device)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32."""
        with _plain_errors(batch):
            if self._bound is not None:
                return self._bound.run(np.ascontiguousarray(batch))
            name = self.session.get_inputs()[0].name
            return np.asarray(self.session.run(None, {name: np.ascontiguousarray(batch)})[0])

    def on_device(self, batch: np.ndarray) -> Callable[[], None]:
        """The same as a call to repeat, which runs the network where ``batch`` is then, and leaves the result there: for benchmarks."""
        bound = self._bound or BoundSession(self.session, self.device)
        with _plain_errors(batch):
            return bound.on_device(np.ascontiguousarray(batch))


class BoundSession:
    """A session with its input and output bound to memory of a device, which is kept for the next batch of the same shape.

    ``session.run`` would allocate and copy through pageable memory for every tile. One thread runs at a time. ``device`` is "cuda", or
    "cpu", where the same code runs for the tests.
    """

    def __init__(self, session: ort.InferenceSession, device: str):
        self._session, self._device, self._turn = session, device, threading.Lock()
        self._input, self._output = session.get_inputs()[0].name, session.get_outputs()[0].name
        self._bindings: OrderedDict[tuple[int, ...], tuple[Any, Any]] = OrderedDict()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """One batch, C-contiguous; the result is the caller's own."""
        with self._turn:
            binding, source = self._for_shape(batch)
            source.update_inplace(batch)
            binding.synchronize_inputs()
            self._session.run_with_iobinding(binding)
            result = binding.copy_outputs_to_cpu()[0]
            return result.copy() if self._device == "cpu" else result  # on the CPU that is the bound memory itself

    def on_device(self, batch: np.ndarray) -> Callable[[], None]:
        binding, source = self._for_shape(batch)
        source.update_inplace(batch)

        def run() -> None:
            with self._turn:
                self._session.run_with_iobinding(binding)  # waits, unless told otherwise

        return run

    def _for_shape(self, batch: np.ndarray) -> tuple[Any, Any]:
        """(binding, input on the device) of batches like this one; the first of a shape is run once to see the shape of its output."""
        found = self._bindings.get(batch.shape)
        if found is None:
            # A copy: on the CPU the value is the array's own memory, and later batches would be written into the caller's array.
            source = ort.OrtValue.ortvalue_from_numpy(batch.copy(), self._device, 0)
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(self._input, source)
            binding.bind_output(self._output, self._device, 0)
            self._session.run_with_iobinding(binding)
            target = ort.OrtValue.ortvalue_from_shape_and_type(binding.get_outputs()[0].shape(), np.float32, self._device, 0)
            binding.clear_binding_outputs()
            binding.bind_ortvalue_output(self._output, target)
            found = binding, source
        self._bindings[batch.shape] = found
        self._bindings.move_to_end(batch.shape)
        while len(self._bindings) > SHAPES_KEPT:
            self._bindings.popitem(last=False)
        return found


def open_session(model: bytes, options: ort.SessionOptions, device: str, where: str) -> ort.InferenceSession:
    """A session on "cpu" or "cuda", or an error: onnxruntime itself goes on without CUDA where that fails."""
    said = load_cuda_libraries() if device == "cuda" else ""
    try:
        session = ort.InferenceSession(model, options, providers=[(PROVIDERS[device], OPTIONS[device])])
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise ModelError(f"{where} cannot be loaded by onnxruntime ({error}). Export it again, or fetch a fresh copy.") from error
    if session.get_providers()[0] != PROVIDERS[device]:
        raise DeviceError(
            f"onnxruntime could not start {PROVIDERS[device]} and would run on the CPU; check the CUDA and cuDNN libraries. {said}"
        )
    return session


def load_cuda_libraries() -> str:
    """Load CUDA and cuDNN from NVIDIA's wheels or torch's, where this onnxruntime knows how (1.21 and later); gives what it said."""
    preload = getattr(ort, "preload_dlls", None)
    if preload is None:
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as said:  # it prints what it does not find; the session tells whether that matters
        preload()
    return said.getvalue().strip()


@contextlib.contextmanager
def _plain_errors(batch: np.ndarray):
    try:
        yield
    except Exception as error:  # no common base class here either
        raise InferenceError(
            f"onnxruntime failed on a tile of {batch.shape[-1]}x{batch.shape[-2]} px ({error}). If memory ran out, use a smaller tile."
        ) from error
