"""A whole picture through an engine without leaving the GPU: one upload, tiles cut, restored and blended there, one download.

What ``sdk.tiling.infer_tiled`` does around a backend with ``to_unit`` and ``from_unit``, to the last bit, by the kernels of
``kernels.cu``. All work is queued on the driver's one stream; for a picture like the one before, as a CUDA graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from sdk.analysis.methods import PATTERNS, every_nth
from sdk.cuda.device_array import DeviceArray, borrow, is_device_array
from sdk.cuda.dlpack import Borrowed, contiguous
from sdk.cuda.driver import Driver, OutOfMemory
from sdk.cuda.gather import PlacedAxis, gather_axis
from sdk.cuda.kernels import JOB, Kernels
from sdk.cuda.pictures import Layout, layout_of
from sdk.cuda.working_memory import WorkingMemory
from sdk.errors import DeviceError, InferenceError, UnsupportedImageError
from sdk.images import ACCEPTED

KEPT = 8
"""So many graphs are kept, and tables of so many lengths."""
ALIGNMENT = 256
"""Bytes; TensorRT wants addresses that are multiples of it."""

Tell = Callable[[np.ndarray | None], float]
"""The value of the plane that conditions an engine, of how often each pattern of pixels occurs; given None, it counts itself."""
Key = TypeVar("Key")
Value = TypeVar("Value")
_log = logging.getLogger(__name__)


class TileEngine(Protocol):
    """What the pipeline needs of an engine on the driver's GPU; ``TensorRtBackend`` is one."""

    @property
    def batch(self) -> int:
        """Most tiles at once."""
        ...

    @property
    def planes(self) -> int:
        """Of its input: those of its output, then conditions."""
        ...

    @property
    def result_planes(self) -> int:
        """Of its output: 1 (grey) or 3 (RGB)."""
        ...

    @property
    def dtypes(self) -> tuple[np.dtype, np.dtype]:
        """Of its input and output: float32 or float16."""
        ...

    def shape_for(self, tiles: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The (N, C, H, W) that it takes for so many tiles, C = ``planes``, no less in any extent; ``InferenceError`` where they are too
        large."""
        ...

    def prepare(self, shape: tuple[int, int, int, int], source: int, target: int) -> int:
        """Tell it what ``enqueue`` will be given: this shape, this source, targets from this one on.

        Gives a number that is another one whenever it was told anything else, or ran for others, since. Then what was recorded of it
        before is void, and its next run must be a plain one.
        """
        ...

    def enqueue(self, shape: tuple[int, int, int, int], source: int, target: int) -> None:
        """Queue one batch, from device memory at ``source``, of this shape, to device memory at ``target``, of as many tiles."""
        ...

    def recordable(self) -> bool:
        """Whether ``enqueue`` can become part of a CUDA graph now."""
        ...


class GpuPipeline:
    """Restores pictures on one GPU; safe to call from several threads, which take turns.

    ``tile``, ``overlap``, ``multiple`` and ``threshold`` are what they are to ``Network``. Where memory runs out, ``batch``, the number
    of tiles at once, is halved as far as the engine takes fewer, and stays so. Make it in any context; ``release`` gives back the memory it
    keeps between pictures.
    """

    def __init__(self, engine: TileEngine, driver: Driver, *, tile: int, overlap: int, multiple: int = 1, threshold: float | None = None):
        self.batch = engine.batch
        self.records = driver.has_graphs
        """Whether graphs are made; no longer, once recording one has failed."""
        self._engine = engine
        self._driver = driver
        self._tiling = (tile, overlap, multiple)
        self._threshold = -1 if threshold is None else threshold
        self._memory = WorkingMemory(driver)
        self._axes: dict[int, PlacedAxis] = {}
        self._fewest = engine.shape_for(1, 1, 1)[0]
        self._graphs: dict[bytes, Callable[[], None] | None] = {}
        self._generation: tuple[int, int] | None = None
        with driver:
            self._kernels = Kernels(driver)

    def run(self, picture: Any, *, bits_width: int | None = None, unclipped: bool = False, condition: float | Tell = 0.0) -> Any:
        """HxW or HxWxC, C = 1, 3 or 4 (RGBA) -> the same shape and dtype, but bool as uint8; alpha as it was.

        A numpy array gives a numpy array, an array in GPU memory a ``DeviceArray``, which is ready when this returns. Floats are taken
        to be in [0, 1]: nobody looks through them here. ``bits_width`` says that ``picture`` holds rows of so many px as bits, 1 = white,
        the most significant first: uint8 as of ``numpy.packbits(..., axis=1)``. ``unclipped`` gives the model's own float32 values,
        which may leave [0, 1]. ``condition``: for engines that take one, or what makes it of how often each pattern of pixels occurs
        (``sdk.analysis.methods``).

        Raises ``UnsupportedImageError``, ``OptionError``, and ``InferenceError`` where the GPU fails.
        """
        if not isinstance(picture, np.ndarray) and not is_device_array(picture):
            raise UnsupportedImageError(f"Found a {type(picture).__name__}; give a numpy array or an array in GPU memory. {ACCEPTED}")
        try:
            with self._driver:
                while True:
                    try:
                        return self._run(picture, bits_width, unclipped, condition)
                    except OutOfMemory:
                        if self.batch == self._fewest:  # of a fixed shape there would be more batches, none smaller
                            raise
                        self.batch = max(self.batch // 2, self._fewest)
                        self.release()
        except DeviceError as error:
            shape = "x".join(map(str, getattr(picture, "shape", "?")))
            raise InferenceError(f"The GPU failed on a picture of {shape}: {error}") from error

    def release(self) -> None:
        """Give all memory back; the next picture takes what it needs."""
        with self._driver:
            self._driver.synchronize()
            self._graphs.clear()
            self._axes.clear()
            self._memory.clear()

    def _run(self, picture: Any, bits_width: int | None, unclipped: bool, condition: float | Tell) -> np.ndarray | DeviceArray:
        driver, memory = self._driver, self._memory
        try:
            if isinstance(picture, np.ndarray):
                layout = layout_of(picture.shape, picture.dtype, bits_width, unclipped)
                target = memory.buffer("restored", layout.target_bytes)
                self._restore(self._upload(picture), layout, target.address, condition)
                staged = memory.pinned("restored", layout.target_shape, layout.target_dtype)
                driver.copy_out(staged, target)
                driver.synchronize()
                return staged.copy()
            source = borrow(picture, driver)
            layout = layout_of(source.shape, source.dtype, bits_width, unclipped)
            target = driver.allocate(layout.target_bytes)
            self._restore(source, layout, target.address, condition)
            return DeviceArray(driver, target, layout.target_shape, layout.target_dtype)
        finally:
            driver.synchronize()  # after an error, too: what is queued reads the caller's memory, and ours

    def _upload(self, picture: np.ndarray) -> Borrowed:
        staged = self._memory.pinned("picture", picture.shape, picture.dtype)
        staged[...] = picture
        buffer = self._memory.buffer("picture", picture.nbytes)
        self._driver.copy_in(buffer, staged)
        return Borrowed(buffer.address, picture.shape, contiguous(picture.shape, picture.itemsize), picture.dtype, buffer)

    def _restore(self, source: Borrowed, layout: Layout, target: int, condition: float | Tell) -> None:
        """Queue everything between the picture in GPU memory and the restored one."""
        engine, memory = self._engine, self._memory
        rows, columns = self._axis(layout.height), self._axis(layout.width)
        job = self._described(source, layout, rows, columns)
        if job["conditions"]:
            job["condition"] = condition(self._count_patterns(job)) if callable(condition) else condition
        tiles = max(1, int(job["colours"]) // engine.result_planes) * rows.tiles * columns.tiles
        batches = -(-tiles // self.batch)
        shape = engine.shape_for(-(-tiles // batches), rows.tile, columns.tile)  # evenly full, since a graph wants one shape
        inputs, results = engine.dtypes
        values = int(np.prod(shape)) // engine.planes * engine.result_planes
        stride = -(-values * results.itemsize // ALIGNMENT) * ALIGNMENT
        job["batch"], _, job["rows"]["extent"], job["columns"]["extent"] = shape
        job["inputs"] = memory.buffer("inputs", int(np.prod(shape)) * inputs.itemsize).address
        job["results"] = memory.buffer("results", batches * stride).address
        job["result_batch"] = stride // results.itemsize

        def enqueue() -> None:
            for i in range(batches):
                job["first_tile"] = i * shape[0]
                self._kernels.unpack(job)
                engine.enqueue(shape, int(job["inputs"]), int(job["results"]) + i * stride)

        generation = memory.generation, engine.prepare(shape, int(job["inputs"]), int(job["results"]))
        self._queue(enqueue, generation, job.tobytes())
        job["target"] = target
        self._kernels.blend(job)

    def _described(self, source: Borrowed, layout: Layout, rows: PlacedAxis, columns: PlacedAxis) -> np.void:
        """The job, but for what depends on how tiles are batched."""
        job: np.void = np.zeros(1, JOB)[0]
        layout.describe(job, source)
        job["rows"], job["columns"] = rows.fields, columns.fields
        job["half_inputs"], job["half_results"] = (dtype == np.float16 for dtype in self._engine.dtypes)
        job["threshold"] = self._threshold
        job["planes"] = self._engine.result_planes
        job["conditions"] = self._engine.planes - self._engine.result_planes
        if job["colours"] > 1 and not self._has_colour(job):
            job["colours"] = 1  # grey stored as RGB is restored once, and stays exactly grey
        return job

    def _has_colour(self, job: np.void) -> bool:
        flag, answer = self._memory.buffer("flag", 4), self._memory.pinned("flag", (1,), np.int32)
        answer[...] = 0
        job["has_colour"] = flag.address
        self._driver.copy_in(flag, answer)
        self._kernels.find_colour(job)
        self._driver.copy_out(answer, flag)
        self._driver.synchronize()
        return bool(answer[0])

    def _count_patterns(self, job: np.void) -> np.ndarray:
        """int32 (PATTERNS,); waits for it."""
        buffer, counts = self._memory.buffer("patterns", 4 * PATTERNS), self._memory.pinned("patterns", (PATTERNS,), np.int32)
        counts[...] = 0
        job["patterns"], job["every_nth"] = buffer.address, every_nth(int(job["rows"]["length"]), int(job["columns"]["length"]))
        self._driver.copy_in(buffer, counts)
        self._kernels.count_patterns(job)
        self._driver.copy_out(counts, buffer)
        self._driver.synchronize()
        return counts

    def _queue(self, enqueue: Callable[[], None], generation: tuple[int, int], key: bytes) -> None:
        """``key`` holds all that a graph freezes; those of another ``generation`` of memory and engine are void.

        What comes first is queued plainly, since first runs allocate and take in a new shape; the second is recorded.
        """
        if generation != self._generation:
            self._graphs.clear()
            self._generation = generation
        replay = self._graphs.get(key)
        if replay is None and key in self._graphs and self.records and self._engine.recordable():
            try:
                replay = self._driver.record(enqueue)
            except (DeviceError, InferenceError) as error:
                self.records = False
                _log.warning("no more CUDA graphs are made, batches are queued one by one, to the same result: %s", error)
        _keep(self._graphs, key, replay)
        (replay or enqueue)()

    def _axis(self, length: int) -> PlacedAxis:
        axis = self._axes.get(length) or PlacedAxis(self._driver, gather_axis(length, *self._tiling))
        _keep(self._axes, length, axis)
        return axis


def _keep(kept: dict[Key, Value], key: Key, value: Value) -> None:
    """Among the ``KEPT`` used last."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
