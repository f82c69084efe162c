"""TensorRT and TensorRT-RTX: engines on an NVIDIA GPU."""

from __future__ import annotations

import contextlib
import re
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sdk.cuda.driver import DeviceBuffer, Driver, OutOfMemory, open_driver
from sdk.engines.build import create_runtime, known_gpus, load_tensorrt
from sdk.engines.cache import for_gpu
from sdk.engines.file import Engine, Shape, write_atomically
from sdk.engines.log import Log
from sdk.errors import DeviceError, EngineMismatchError, InferenceError, ModelError


class TensorRtBackend:
    """Runs (N, C, H, W) float32 batches through an engine; safe to call from several threads: who holds the driver runs.

    ``run`` takes host arrays; ``enqueue`` takes memory on the GPU, for ``sdk.cuda.pipeline``. ``driver`` is the GPU to run on; the default
    is the first one. ``runtime_cache``: a file (``runtime_cache_of``) beside which TensorRT-RTX keeps the kernels that it compiles for
    the GPU at the first run, so that the next process need not; TensorRT has none.

    Raises ``EngineMismatchError`` for engines of another TensorRT or GPU, ``DeviceError`` without a GPU, ``MissingDependencyError``
    without the engine's flavour of TensorRT.
    """

    def __init__(self, engine: Engine, driver: Driver | None = None, where: str = "the engine", runtime_cache: Path | None = None):
        header = engine.header
        trt = load_tensorrt(header.flavour)
        header.check_version(str(trt.__version__), where)
        self.driver = driver or open_driver()
        header.check_gpu(self.driver.compute_capability, where, known_gpus(header.flavour))
        self.name = header.flavour
        self.device = f"cuda ({self.driver.device_name})"
        quantised = header.metadata.get("precision") == '"int8"'
        self.precision = f"int8, the rest in {header.precision}" if quantised else header.precision
        self.metadata = header.metadata
        self._shape: tuple[int, ...] | None = None
        """The input that the context was told last."""
        self._prepared: tuple[Shape, int, int] | None = None
        self._preparations = 0
        self._trt = trt
        with self.driver:
            self._log, self._engine = load_plan(trt, engine, where)
            self._context = (
                self._create_rtx_context(runtime_cache) if self.name == "tensorrt-rtx" else self._engine.create_execution_context()
            )
        if self._context is None:
            raise DeviceError(f"The memory of the GPU does not hold {where}; build it for a smaller tile or batch. {self._log.text()}")
        self._input, self._output = _ends(trt, self._engine, where)
        self._smallest, _, self._largest = (tuple(shape) for shape in self._engine.get_tensor_profile_shape(self._input.name, 0))
        with self.driver:
            self.result_planes = self._result_shape(self._smallest)[1]
            """C of its output, the same for all sizes."""

    def _create_rtx_context(self, kept: Path | None) -> Any:
        runtime_config = self._engine.create_runtime_config()
        # Lazily, kernels made for a shape take the place of others some time after its first run, which no CUDA graph would notice.
        trt = self._trt
        runtime_config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        if kept is None:
            return self._engine.create_execution_context(runtime_config)
        kept = for_gpu(kept, self.driver.device_name)
        runtime_cache = runtime_config.create_runtime_cache()
        try:
            stored = kept.read_bytes()
        except OSError:
            stored = b""
        if stored:
            runtime_cache.deserialize(stored)  # False for one of another GPU or driver: all is compiled anew
        runtime_config.set_runtime_cache(runtime_cache)
        weakref.finalize(self, _keep_kernels, runtime_cache, kept, stored, self.driver)
        return self._engine.create_execution_context(runtime_config)

    @property
    def tile(self) -> int:
        """Largest side of a tile it takes, px."""
        return min(self._largest[2:])

    @property
    def batch(self) -> int:
        """How many tiles it takes at once; ``run`` cuts larger batches up."""
        return self._largest[0]

    @property
    def planes(self) -> int:
        """C of its input."""
        return self._largest[1]

    @property
    def dtypes(self) -> tuple[np.dtype, np.dtype]:
        """Of its input and output, as ``enqueue`` takes them."""
        return self._input.dtype, self._output.dtype

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32. Tiles below the engine's smallest size are padded by reflection and cut again."""
        height, width = batch.shape[2:]
        parts = [batch[i : i + self.batch] for i in range(0, len(batch), self.batch)]
        try:
            with self.driver:
                staged = (self._run(self._padded(part))[: len(part), :, :height, :width] for part in parts)
                return np.concatenate([part.astype(np.float32) for part in staged])  # copies: the next part reuses the memory
        except DeviceError as error:
            raise InferenceError(f"{self.name} failed on a tile of {width}x{height} px: {error}") from error

    def shape_for(self, tiles: int, height: int, width: int) -> Shape:
        """The input that it takes for so many tiles of this size: (N, C, H, W), no less than its smallest in any extent.

        Raises ``InferenceError`` where tiles are too large for it.
        """
        if height > self._largest[2] or width > self._largest[3]:
            raise InferenceError(
                f"A tile of {width}x{height} px is larger than the engine's {self._largest[3]}x{self._largest[2]}; pass a smaller tile, "
                "or build the engine for a larger one."
            )
        n, c, h, w = (max(extent, least) for extent, least in zip((tiles, self.planes, height, width), self._smallest))
        return n, c, h, w

    def prepare(self, shape: Shape, source: int, target: int) -> int:
        """Tell the engine what ``enqueue`` will be given: this shape, this source, targets from this one on.

        Gives a number that is another one whenever it was told anything else, or ``run`` was called, since. Then CUDA graphs recorded
        before are void, since a graph fits one state of the context, and the next ``enqueue`` must be a plain one, since TensorRT takes
        a new shape in there. Call it within ``with backend.driver:``.
        """
        if self._prepared != (shape, source, target):
            self._result_shape(shape)
            self._prepared = shape, source, target
            self._preparations += 1
        return self._preparations

    def enqueue(self, shape: Shape, source: int, target: int) -> None:
        """Queue one batch on the driver's stream, from GPU memory at ``source`` to GPU memory at ``target``; nothing is copied.

        The source holds ``shape``, which is one of ``shape_for``, and the target as much of ``result_planes``, in ``dtypes``, at addresses
        that are multiples of 256. Call it within ``with backend.driver:``.
        """
        result_shape = self._result_shape(shape)
        if result_shape != (shape[0], self.result_planes, *shape[2:]):
            raise InferenceError(f"{self.name} makes {result_shape} of {shape}; only engines that keep the size are run in GPU memory.")
        self._execute(shape, source, target)

    def recordable(self) -> bool:
        """Whether ``enqueue`` can become part of a CUDA graph; TensorRT-RTX says when it cannot."""
        capturable = getattr(self._context, "is_stream_capturable", None)
        return capturable is None or bool(capturable(self.driver.stream))

    def _padded(self, part: np.ndarray) -> np.ndarray:
        tiles, _, height, width = part.shape
        missing = [most - extent for most, extent in zip(self.shape_for(tiles, height, width), part.shape)]
        missing[1] = 0  # planes are not made up
        return np.pad(part, [(0, extent) for extent in missing], mode="symmetric") if any(missing) else part

    def _run(self, part: np.ndarray) -> np.ndarray:
        """One batch that the engine takes as it is; the result lives in the staging array until the next call."""
        self._prepared = None  # the addresses will be others
        result_shape = self._result_shape(part.shape)
        self._input.fit(self.driver, part.shape)[...] = part
        result = self._output.fit(self.driver, result_shape)
        try:
            self.driver.copy_in(self._input.buffer, self._input.staged)
            self._execute(part.shape, self._input.buffer.address, self._output.buffer.address)
            self.driver.copy_out(result, self._output.buffer)
        finally:
            self.driver.synchronize()  # also what was queued before a failure, which is about memory that the next call fills or frees
        return result

    def _result_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of what comes out where ``shape`` goes in, which the engine is told here."""
        if shape != self._shape:
            self._shape = self._prepared = None
            if not self._context.set_input_shape(self._input.name, shape):
                raise InferenceError(f"{self.name} does not take an input of {shape}. {self._log.text()}")
            self._shape = shape
        return tuple(self._context.get_tensor_shape(self._output.name))

    def _execute(self, shape: tuple[int, ...], source: int, target: int) -> None:
        context, log = self._context, Log(self._trt)
        for end, address in ((self._input, source), (self._output, target)):
            context.set_tensor_address(end.name, address)
        if context.execute_async_v3(self.driver.stream):
            return
        if any(re.search("out.?of.?memory", message, re.IGNORECASE) for _, message in log.messages()):
            raise OutOfMemory(log.text())
        raise InferenceError(f"{self.name} failed on an input of {shape}. If memory ran out, use a smaller tile. {log.text()}")


def _keep_kernels(runtime_cache: Any, kept: Path, stored: bytes, driver: Driver) -> None:
    """Write what TensorRT-RTX compiled, when the backend goes or the program ends. It only saves time, so a failure is no error."""
    with contextlib.suppress(ModelError, DeviceError, RuntimeError), driver:
        content = bytes(runtime_cache.serialize())
        if content != stored:
            write_atomically(kept, content)


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


def load_plan(trt: ModuleType, engine: Engine, where: str) -> tuple[Log, Any]:
    """(log, ``ICudaEngine``) of a plan; TensorRT says no more than None where it fails, so the error carries its log."""
    log = Log(trt)
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
