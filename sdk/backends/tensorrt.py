"""TensorRT and TensorRT-RTX: engines on an NVIDIA GPU."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import numpy as np

from sdk.cuda.driver import DeviceBuffer, Driver, open_driver
from sdk.engine_file import Engine
from sdk.engines import create_runtime, load_tensorrt, make_log
from sdk.errors import DeviceError, EngineMismatchError, InferenceError, ModelError


class TensorRtBackend:
    """Runs (N, C, H, W) float32 batches through an engine; safe to call from several threads, one at a time on the GPU.

    ``driver`` is the GPU to run on; the default is the first one. Raises ``EngineMismatchError`` for engines of another TensorRT or
    GPU, ``DeviceError`` without a GPU, ``MissingDependencyError`` without the engine's flavour of TensorRT.
    """

    def __init__(self, engine: Engine, driver: Driver | None = None, where: str = "the engine"):
        header = engine.header
        trt = load_tensorrt(header.flavour)
        header.check_version(str(trt.__version__), where)
        self._driver = driver or open_driver()
        header.check_gpu(self._driver.compute_capability, where)
        self.name = header.flavour
        self.device = f"cuda ({self._driver.device_name})"
        self.precision = header.precision
        self.metadata = header.metadata
        self._lock = threading.Lock()
        with self._driver:
            self._log, self._engine = load_plan(trt, engine, where)
            self._context = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceError(f"The memory of the GPU does not hold {where}; build it for a smaller tile or batch. {self._log.text()}")
        self._input, self._output = _ends(trt, self._engine, where)
        self._smallest, _, self._largest = (tuple(shape) for shape in self._engine.get_tensor_profile_shape(self._input.name, 0))

    @property
    def tile(self) -> int:
        """Largest side of a tile it takes, px."""
        return min(self._largest[2:])

    @property
    def batch(self) -> int:
        """How many tiles it takes at once; ``run`` cuts larger batches up."""
        return self._largest[0]

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32. Tiles below the engine's smallest size are padded by reflection and cut again."""
        height, width = batch.shape[2:]
        if height > self._largest[2] or width > self._largest[3]:
            raise InferenceError(
                f"A tile of {width}x{height} px is larger than the engine's {self._largest[3]}x{self._largest[2]}; pass a smaller tile, "
                "or build the engine for a larger one."
            )
        parts = [batch[i : i + self.batch] for i in range(0, len(batch), self.batch)]
        try:
            with self._lock, self._driver:
                staged = (self._run(self._padded(part))[: len(part), :, :height, :width] for part in parts)
                return np.concatenate([part.astype(np.float32) for part in staged])  # copies: the next part reuses the memory
        except DeviceError as error:
            raise InferenceError(f"{self.name} failed on a tile of {width}x{height} px: {error}") from error

    def _padded(self, part: np.ndarray) -> np.ndarray:
        missing = [max(0, least - extent) for least, extent in zip(self._smallest, part.shape)]
        return np.pad(part, [(0, extent) for extent in missing], mode="symmetric") if any(missing) else part

    def _run(self, part: np.ndarray) -> np.ndarray:
        """One batch that the engine takes as it is; the result lives in the staging array until the next call."""
        context, driver = self._context, self._driver
        if not context.set_input_shape(self._input.name, part.shape):
            raise InferenceError(f"{self.name} does not take an input of {part.shape}. {self._log.text()}")
        self._input.fit(driver, part.shape)[...] = part
        result = self._output.fit(driver, tuple(context.get_tensor_shape(self._output.name)))
        for end in (self._input, self._output):
            context.set_tensor_address(end.name, end.buffer.address)
        driver.copy_in(self._input.buffer, self._input.staged)
        if not context.execute_async_v3(driver.stream):
            raise InferenceError(
                f"{self.name} failed on an input of {part.shape}. If memory ran out, use a smaller tile. {self._log.text()}"
            )
        driver.copy_out(result, self._output.buffer)
        driver.synchronize()
        return result


class _End:
    """The input or the output: its memory on the GPU and its page-locked staging array, which grow when they must."""

    buffer: DeviceBuffer
    staged: np.ndarray
    """The part of the staging array in use, in the shape of the last call."""

    def __init__(self, name: str, dtype: np.dtype):
        self.name = name
        self.dtype = dtype
        self._staging = np.empty(0, dtype)

    def fit(self, driver: Driver, shape: tuple[int, ...]) -> np.ndarray:
        """Room for ``shape`` on both sides; gives the host's side."""
        count = int(np.prod(shape))
        if count > self._staging.size:
            self.buffer = driver.allocate(count * self.dtype.itemsize)
            self._staging = driver.pinned((count,), self.dtype)
        self.staged = self._staging[:count].reshape(shape)
        return self.staged


def load_plan(trt: ModuleType, engine: Engine, where: str) -> tuple[Any, Any]:
    """(log, ``ICudaEngine``) of a plan; TensorRT says no more than None where it fails, so the error carries its log."""
    log = make_log(trt)
    runtime = create_runtime(trt, log)
    loaded = runtime.deserialize_cuda_engine(engine.plan)
    if loaded is None:
        raise EngineMismatchError(
            f"{engine.header.flavour} {trt.__version__} cannot load {where} on this machine (built by {engine.header.version} for compute "
            f"capability {engine.header.compute_capability}). {engine.header.rebuild_hint(where)} {log.text()}"
        )
    return log, loaded


def _ends(trt: ModuleType, loaded: Any, where: str) -> tuple[_End, _End]:
    names = [loaded.get_tensor_name(i) for i in range(loaded.num_io_tensors)]
    inputs = [name for name in names if loaded.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"{where} has {len(inputs)} inputs and {len(outputs)} outputs; engines with one of each are run.")
    first, second = (_End(name, np.dtype(trt.nptype(loaded.get_tensor_dtype(name)))) for name in (inputs[0], outputs[0]))
    return first, second
