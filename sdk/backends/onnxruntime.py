"""onnxruntime: the backend that works everywhere."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from sdk.errors import DeviceError, InferenceError, ModelError, OptionError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend:
    """Runs (N, C, H, W) float32 batches; safe to call from several threads."""

    name = "onnxruntime"
    precision = "fp32"
    tile = None  # it takes any

    def __init__(self, model: bytes, device: str = "auto", threads: int | None = None, where: str = "the model"):
        available = ort.get_available_providers()
        if device == "auto":
            device = "cuda" if PROVIDERS["cuda"] in available else "cpu"
        if device not in PROVIDERS:
            raise DeviceError(f"Device {device!r} is unknown; use 'auto', 'cpu' or 'cuda'.")
        if PROVIDERS[device] not in available:
            raise DeviceError(
                f"Device {device!r} was asked for, but this onnxruntime offers {', '.join(available)}. "
                "Install onnxruntime-gpu in place of onnxruntime, or use device='cpu'."
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            if threads < 1:
                raise OptionError(f"threads is {threads}; it must be 1 or more, or None for one a core.")
            options.intra_op_num_threads = threads
        try:
            self.session = ort.InferenceSession(model, options, providers=[PROVIDERS[device]])
        except Exception as error:  # onnxruntime's exceptions share no base class but Exception
            raise ModelError(f"{where} cannot be loaded by onnxruntime ({error}). Export it again, or fetch a fresh copy.") from error
        if self.session.get_providers()[0] != PROVIDERS[device]:
            raise DeviceError(
                f"onnxruntime could not start {PROVIDERS[device]} and would run on the CPU; check the CUDA and cuDNN libraries."
            )
        self.device = device
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32."""
        name = self.session.get_inputs()[0].name
        try:
            return np.asarray(self.session.run(None, {name: np.ascontiguousarray(batch)})[0])
        except Exception as error:  # no common base class here either
            raise InferenceError(
                f"onnxruntime failed on a tile of {batch.shape[-1]}x{batch.shape[-2]} px ({error}). If memory ran out, use a smaller tile."
            ) from error
