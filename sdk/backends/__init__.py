"""One file a runtime, imported only when used; ``open_backend`` chooses."""

from __future__ import annotations

import dataclasses
import logging
import os
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sdk.catalog import model_bytes, releases
from sdk.engines.file import ENGINE_SUFFIX, read_engine
from sdk.errors import DeviceError, EngineMismatchError, ModelError, OptionError, nearest

if TYPE_CHECKING:
    from sdk.engines.build import BuildOptions

DEVICES = ("auto", "cpu", "cuda")
BACKENDS = ("auto", "onnxruntime", "openvino", "tensorrt")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
BATCH = 4
"""Tiles at once of engines that are built on the way."""
_OF_THE_REST = (
    "With TensorRT, precision is that of what is not quantised: fp16, bf16 or fp32. Leave int8 out; files of `python -m export.precision` "
    "run in it by themselves."
)
_log = logging.getLogger(__name__)


class Backend(Protocol):
    """A model, loaded, on one device. ``run`` may be called from several threads."""

    @property
    def name(self) -> str:
        """The runtime: "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"."""
        ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str:
        """What it computes in: "fp32", "fp16", "bf16", "int8"."""
        ...

    @property
    def metadata(self) -> dict[str, str]:
        """The model's ``metadata_props``."""
        ...

    @property
    def tile(self) -> int | None:
        """Largest side of a tile it takes, px; None: any."""
        ...

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32."""
        ...


def open_backend(
    model: str | os.PathLike | Backend,
    device: str = "auto",
    *,
    backend: str = "auto",
    precision: str | None = None,
    threads: int | None = None,
    tile: int | None = None,
) -> tuple[Backend, str]:
    """Load a catalog name, an .onnx file or an .engine file; gives the backend and how to call the model in messages.

    A ``Backend``, such as a program's own, is given back as it is, and the rest is left to it. An .engine file runs on TensorRT. For
    the others, ``backend`` "auto" is:

    ======  =============================================================
    device
    ======  =============================================================
    auto    onnxruntime: on CUDA where that can be had, or the CPU
    cpu     onnxruntime
    cuda    TensorRT where it is installed, else onnxruntime with CUDA
    ======  =============================================================

    ``precision``, where None is the first of these:

    ===========  ===========================================================================================================
    backend
    ===========  ===========================================================================================================
    onnxruntime  what the file is: "fp32"; "int8" for Q/DQ models (``export.precision``); on CUDA also "fp16"
    openvino     "fp32", or "bf16" (f32 and bf16 in its own words; CPUs that have it); "int8" for Q/DQ models, and only for them
    tensorrt     "fp16", "bf16" or "fp32"; in Q/DQ models that of what is not quantised
    ===========  ===========================================================================================================

    TensorRT runs .onnx models through an engine for ``tile`` (default: the model's), which is built at the first use and cached
    (``sdk.engines.cache``; its ``watch_builds`` shows how far it is). threads: of the CPU. What was asked for by name and cannot be had
    is a ``DeviceError``, ``OptionError`` or ``MissingDependencyError``.
    """
    if not isinstance(model, (str, os.PathLike)):
        if not hasattr(model, "run") or not hasattr(model, "metadata"):
            raise OptionError(f"model is a {type(model).__name__}; give a name, a path or a Backend.")
        return model, f"the model on {model.name}"
    threads = thread_count(threads)
    if device not in DEVICES:
        raise OptionError(f"Device {device!r} is unknown.{nearest(str(device), DEVICES)}")
    if backend not in BACKENDS:
        raise OptionError(f"Backend {backend!r} is unknown.{nearest(str(backend), BACKENDS)}")
    if precision not in (None, *PRECISIONS):
        raise OptionError(f"Precision {precision!r} is unknown.{nearest(str(precision), PRECISIONS)}")
    path = Path(os.fspath(model))
    if path.suffix.lower() == ENGINE_SUFFIX and os.fspath(model) not in releases():
        if backend not in ("auto", "tensorrt"):
            raise OptionError(f"{path} is a TensorRT engine; the {backend} backend does not run it. Use the .onnx model it was built from.")
        return _open_engine_file(path, device, precision), str(path)
    data, where = model_bytes(model)
    if backend == "tensorrt" or (backend == "auto" and device == "cuda" and _has_tensorrt()):
        if device == "cpu":
            raise DeviceError("TensorRT runs on NVIDIA GPUs, not on the CPU; use device='cuda', or another backend.")
        if precision == "int8":
            raise OptionError(_OF_THE_REST)
        from sdk.engines.build import BuildOptions

        return open_cached_engine(data, where, BuildOptions(precision=precision or "fp16", tile=tile, batch=BATCH)), where
    if backend == "openvino":
        from sdk.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(data, device, threads, where, precision), where
    from sdk.backends.onnxruntime import OnnxRuntimeBackend

    opened = OnnxRuntimeBackend(data, device, threads, where)
    if precision == "int8" != opened.precision:
        raise not_quantised(where)
    if precision not in (None, opened.precision):
        raise OptionError(
            f"onnxruntime runs {where} in {opened.precision}, not {precision}; "
            "use backend='openvino' (--backend openvino; bf16, on the CPU) or backend='tensorrt' (--backend tensorrt; fp16, bf16)."
        )
    return opened, where


def not_quantised(where: str) -> OptionError:
    """What a runtime that runs Q/DQ files in int8 says to int8 for others."""
    return OptionError(f"{where} is not quantised; make its int8 file: python -m export.precision MODEL --data DIR.")


def thread_count(asked: int | None) -> int | None:
    """What was asked for, or None for one thread a core; an ``OptionError`` where it is no count."""
    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, Integral) or asked < 1):
        raise OptionError(f"threads is {asked!r}; it must be a whole number from 1, or left out, for one a core.")
    return None if asked is None else int(asked)


def _open_engine_file(path: Path, device: str, precision: str | None) -> Backend:
    if device == "cpu":
        raise DeviceError(f"{path} is an engine for NVIDIA GPUs and does not run on the CPU. Use the .onnx model it was built from.")
    engine = read_engine(path)
    if precision == "int8":
        raise OptionError(_OF_THE_REST)
    if precision not in (None, engine.header.precision):
        raise ModelError(f"{path} was built in {engine.header.precision}, not {precision}. {engine.header.rebuild_hint(str(path))}")
    from sdk.backends.tensorrt import TensorRtBackend
    from sdk.engines.cache import runtime_cache_of

    return TensorRtBackend(engine, where=str(path), runtime_cache=runtime_cache_of(engine))


def open_cached_engine(onnx: bytes, where: str, options: BuildOptions) -> Backend:
    """A model on the first GPU, through an engine for GPUs like it (whatever ``options`` name), from the cache or put there.

    One that TensorRT refuses, after a change of the driver for instance, is removed and built anew, once.
    """
    from sdk.backends.tensorrt import TensorRtBackend
    from sdk.cuda.driver import open_driver
    from sdk.engines.cache import cached_engine, forget, runtime_cache_of

    driver = open_driver()  # before a build of minutes for a GPU that is not there
    options = dataclasses.replace(options, compute_capability="{}.{}".format(*driver.compute_capability))
    gpu = driver.device_name
    engine = cached_engine(onnx, options, gpu=gpu, where=where)
    try:
        return TensorRtBackend(engine, driver, where, runtime_cache_of(engine))
    except EngineMismatchError as error:
        _log.warning("an engine of the cache is built anew: %s", error)
        forget(engine, gpu)
    engine = cached_engine(onnx, options, gpu=gpu, where=where)
    return TensorRtBackend(engine, driver, where, runtime_cache_of(engine))


def _has_tensorrt() -> bool:
    from sdk.engines.build import installed_flavours

    return bool(installed_flavours())
