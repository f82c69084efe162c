"""``kernels.cu`` compiled by g++, and the pipeline around it on host memory, against numpy; what needs a GPU is in tests/gpu."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdk.analysis.methods import TABLE, count_patterns
from sdk.catalog import tomllib
from sdk.cuda import dlpack, kernels
from sdk.cuda.device_array import DeviceArray
from sdk.cuda.driver import DeviceBuffer, Extent, OutOfMemory, check_room
from sdk.cuda.gather import gather_axis
from sdk.cuda.kernels import ARCHITECTURES, JOB, NAMES, build_fatbin, prebuilt_path
from sdk.cuda.pipeline import KEPT, GpuPipeline
from sdk.errors import DeviceError, InferenceError, MissingDependencyError, OptionError, UnsupportedImageError
from sdk.images import from_unit, is_grey, picture_from_array, picture_to_array, to_unit
from sdk.tiling import infer_tiled, spans

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUARD = 64
"""Bytes around each piece of fake GPU memory that nobody may write."""
Function = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """kernels.cu as it is, compiled by g++ over the shim."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler (g++)")
    folder = tmp_path_factory.mktemp("kernels")
    launchers = "".join(f"LAUNCHER({name}, Job)\n" for name in NAMES)
    source = f'#include "cuda_shim.h"\n#include "kernels.cu"\n{launchers}extern "C" int size_of_job() {{ return sizeof(Job); }}\n'
    (folder / "all.cpp").write_text(source, encoding="utf-8")
    flags = ["-std=c++20", "-O2", "-ffp-contract=off", "-fno-strict-aliasing", "-Wall", "-Werror", "-shared", "-fPIC"]
    folders = [f"-I{HERE}", f"-I{kernels.SOURCE.parent}"]
    command = [compiler, *flags, *folders, "-o", str(folder / "kernels.so"), str(folder / "all.cpp")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return ctypes.CDLL(str(folder / "kernels.so"))


class HostGpu:
    """A ``Driver`` whose GPU is this process: the kernels are the compiled ones, a graph is a list of what was queued.

    Memory begins as NaN, is aligned to 256 bytes as CUDA's, and is watched at both ends.
    """

    name, device, device_name, compute_capability, stream, has_graphs = "host", 0, "Host", (8, 9), 7, True

    def __init__(self, library: ctypes.CDLL, memory: int = 1 << 40):
        self.left = memory
        self.allocated = 0
        self.waited_for: list[int] = []
        self.done: list[str] = []
        self.refuses_to_record = False
        self.of_other_gpus: set[int] = set()
        self._library = library
        self._turn = threading.RLock()
        self._depth = 0
        self._recording: list[tuple[str, Callable[[], None]]] | None = None

    def __enter__(self) -> HostGpu:
        self._turn.acquire()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._turn.release()

    def allocate(self, nbytes: int) -> DeviceBuffer:
        assert self._depth
        assert self._recording is None, "nothing is allocated while a graph is recorded"
        if nbytes > self.left:
            raise OutOfMemory(f"{nbytes} of {self.left} bytes asked for")
        memory = np.full(nbytes + 2 * GUARD + 256, 255, np.uint8)
        address = -(-(memory.ctypes.data + GUARD) // 256) * 256
        self.left -= nbytes
        self.allocated += nbytes
        start = address - memory.ctypes.data

        def free() -> None:
            self.left += nbytes
            self.allocated -= nbytes
            if (memory[:start] != 255).any() or (memory[start + nbytes :] != 255).any():
                self.done.append("written outside")

        return DeviceBuffer(address, nbytes, free)

    def pinned(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        assert self._depth
        return np.empty(shape, dtype)

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        check_room(source.nbytes, target.nbytes)
        assert source.flags.c_contiguous
        self.queue("copy in", lambda: ctypes.memmove(target.address, source.ctypes.data, source.nbytes))

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        check_room(target.nbytes, source.nbytes)
        assert target.flags.c_contiguous
        self.queue("copy out", lambda: ctypes.memmove(target.ctypes.data, source.address, target.nbytes))

    def load_kernels(self, code: bytes | str, names: Sequence[str]) -> dict[str, Any]:
        assert code == kernels.SOURCE.read_text(encoding="utf-8")
        return {name: (name, self._library[f"launch_{name}"]) for name in names}

    def launch(self, kernel: Any, grid: Extent, block: Extent, *arguments: Any) -> None:
        name, function = kernel
        (job,) = (np.array(argument).copy() for argument in arguments)  # as CUDA does at once
        assert min(grid) > 0
        assert max(grid[1:]) < 65536
        pointers = [(ctypes.c_uint * 3)(*extents) for extents in (grid, block)]
        self.queue(name, lambda: function(ctypes.c_void_p(job.ctypes.data), *pointers))

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        if self.refuses_to_record:
            raise DeviceError("A CUDA call failed (CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED).")
        recorded = self._recording = []
        try:
            enqueue()
        finally:
            self._recording = None

        def replay() -> None:
            self.done.append("graph")
            for _, work in recorded:
                work()

        return replay

    def wait_for(self, stream: int) -> None:
        self.waited_for.append(stream)

    def device_of(self, address: int) -> int:
        return int(address in self.of_other_gpus)

    @property
    def is_recording(self) -> bool:
        return self._recording is not None

    def synchronize(self) -> None:
        assert self._depth
        assert self._recording is None

    def queue(self, name: str, work: Callable[[], Any]) -> None:
        assert self._depth
        if self._recording is not None:
            self._recording.append((name, work))
        else:
            self.done.append(name)
            work()


@dataclass
class HostEngine:
    """A ``TileEngine`` that is a numpy function of (N, C, H, W) float32; notes what it was given.

    As TensorRT's context it must be told nothing new between a recording and its replays, and run once before the recording. Its
    result has one plane less than its input for each of its ``conditions``, which are the last ones.
    """

    gpu: HostGpu
    function: Function
    result_planes: int = 1
    dtypes: tuple[np.dtype, np.dtype] = (np.dtype(np.float32), np.dtype(np.float32))
    batch: int = 4
    smallest: tuple[int, int, int] = (1, 8, 8)
    """N, H, W."""
    conditions: int = 0
    can_record: bool = True
    fails: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=lambda: [()])
    """Shapes and addresses, each that differs from the one before."""
    ran: int = 0
    """How many of them there were at the last run."""
    seen: list[np.ndarray] = field(default_factory=list)
    """float32 (C, H, W), one a tile."""

    @property
    def planes(self) -> int:
        return self.result_planes + self.conditions

    def shape_for(self, tiles: int, height: int, width: int) -> tuple[int, int, int, int]:
        assert tiles <= self.batch
        n, h, w = (max(pair) for pair in zip((tiles, height, width), self.smallest))
        return n, self.planes, h, w

    def prepare(self, shape: tuple[int, int, int, int], source: int, target: int) -> int:
        if self.told[-1] != (shape, source, target):
            self.told.append((shape, source, target))
        return len(self.told)

    def enqueue(self, shape: tuple[int, int, int, int], source: int, target: int) -> None:
        if self.fails:
            raise InferenceError("the engine failed")
        if self.told[-1][:2] != (shape, source):
            self.prepare(shape, source, target)
        state = len(self.told)
        assert self.ran == state or not self.gpu.is_recording, "recorded right after a change"
        self.ran = state
        assert source % 256 == 0
        assert target % 256 == 0
        given = at(source, shape, self.dtypes[0])
        made = at(target, (shape[0], self.result_planes, *shape[2:]), self.dtypes[1])

        def work() -> None:
            assert state == len(self.told), "a graph of another state of the engine"
            self.shapes.append(shape)
            self.seen += list(given.astype(np.float32))
            made[...] = self.function(given.astype(np.float32))[:, : self.result_planes]

        self.gpu.queue("engine", work)

    def recordable(self) -> bool:
        return self.can_record


def at(address: int, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Memory as an array."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), dtype).reshape(shape)


def soft(x: np.ndarray) -> np.ndarray:
    """Something of a network: it looks at neighbours and at borders, and leaves [0, 1]."""
    x = np.concatenate([x[..., 1:, :], x[..., -1:, :]], axis=-2) * np.float32(0.45) + x * np.float32(0.8)
    return x - np.concatenate([x[..., :1], x[..., :-1]], axis=-1) * np.float32(0.11)


def picture_of(shape: tuple[int, ...], dtype: np.typing.DTypeLike, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, 2 if dtype == np.bool_ else np.iinfo(dtype).max + 1, shape).astype(dtype)


@dataclass(frozen=True)
class Case:
    height: int
    width: int
    channels: int | None = None
    dtype: np.typing.DTypeLike = np.uint8
    bits: bool = False
    tile: int = 32
    overlap: int = 8
    multiple: int = 8
    planes: int = 1
    half: tuple[bool, bool] = (False, False)
    batch: int = 3
    fixed: bool = False
    threshold: float | None = None
    unclipped: bool = False
    on_device: bool = False
    condition: float | None = None

    def picture(self, seed: int = 0) -> np.ndarray:
        extents = (self.height, self.width) + (() if self.channels is None else (self.channels,))
        return picture_of(extents, np.bool_ if self.bits else self.dtype, seed)

    def engine(self, gpu: HostGpu, function: Function = soft) -> HostEngine:
        first, second = (np.dtype(np.float16 if half else np.float32) for half in self.half)
        smallest = (self.batch, self.tile, self.tile) if self.fixed else (1, self.multiple, self.multiple)
        return HostEngine(gpu, function, self.planes, (first, second), self.batch, smallest, self.condition is not None)

    def pipeline(self, engine: HostEngine) -> GpuPipeline:
        tiling = {"tile": self.tile, "overlap": self.overlap, "multiple": self.multiple}
        return GpuPipeline(engine, engine.gpu, **tiling, threshold=self.threshold)

    def run(self, pipeline: GpuPipeline, picture: np.ndarray) -> np.ndarray:
        width = {"bits_width": self.width} if self.bits else {}
        given: Any = np.packbits(picture, axis=1) if self.bits else picture
        options: Any = width | {"unclipped": self.unclipped, "condition": self.condition or 0.0}
        return pipeline.run(OnGpu(given), **options).to_host() if self.on_device else pipeline.run(given, **options)


def reference(picture: np.ndarray, case: Case, function: Function = soft) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the SDK does on the CPU, by ``sdk.tiling`` and ``sdk.images``; and the tiles the network is given."""
    seen: list[np.ndarray] = []
    to_engine, from_engine = (np.float16 if half else np.float32 for half in case.half)

    def infer(part: np.ndarray) -> np.ndarray:
        values = to_unit(part)
        if case.threshold is not None:
            values = (values > case.threshold).astype(np.float32)
        values = np.repeat(values, 3, axis=1) if values.shape[1] < case.planes else values
        height, width = values.shape[2:]
        if case.fixed:
            values = np.pad(values, ((0, 0), (0, 0), (0, case.tile - height), (0, case.tile - width)), mode="symmetric")
        if case.condition is not None:
            values = np.concatenate([values, np.full_like(values[:, :1], case.condition)], axis=1)
        given = values.astype(to_engine).astype(np.float32)
        seen.append(given[0])
        made = function(given)[:, : case.planes].astype(from_engine).astype(np.float32)[..., :height, :width]
        return made.mean(axis=1, keepdims=True) if part.shape[1] < case.planes else made

    def restore(pixels: np.ndarray) -> np.ndarray:
        unit = infer_tiled(pixels, infer, case.tile, case.overlap, case.multiple)
        return unit if case.unclipped else from_unit(unit, pixels.dtype)

    if picture.ndim == 3 and picture.shape[2] == 1:
        return restore(picture[..., 0])[..., None], seen
    split = picture_from_array(picture)
    if split.pixels.ndim == 3 and is_grey(split.pixels):
        one = restore(np.ascontiguousarray(split.pixels[..., 0]))
        return picture_to_array(split.with_pixels(np.repeat(one[..., None], 3, axis=-1))), seen
    if case.planes == 3 or split.pixels.ndim == 2:
        return picture_to_array(split.with_pixels(restore(split.pixels))), seen
    planes = [restore(np.ascontiguousarray(split.pixels[..., c])) for c in range(3)]
    return picture_to_array(split.with_pixels(np.stack(planes, axis=-1))), seen


@st.composite
def cases(draw: st.DrawFn) -> Case:
    multiple = draw(st.sampled_from([1, 2, 8]))
    tile = multiple * draw(st.integers(max(2, 16 // multiple), 48 // multiple))
    bits = draw(st.booleans()) and draw(st.booleans())
    return Case(
        height=draw(st.integers(8, 90)),
        width=draw(st.integers(8, 90)),
        channels=None if bits else draw(st.sampled_from([None, 1, 3, 4])),
        dtype=draw(st.sampled_from([np.bool_, np.uint8, np.uint16, np.float32])),
        bits=bits,
        tile=tile,
        overlap=draw(st.integers(0, min(tile // 3, tile - multiple))),
        multiple=multiple,
        planes=draw(st.sampled_from([1, 3])),
        half=(draw(st.booleans()), draw(st.booleans())),
        batch=draw(st.integers(1, 5)),
        fixed=draw(st.booleans()),
        threshold=draw(st.sampled_from([None, None, 0.3, 0.5])),
        unclipped=draw(st.booleans()) and draw(st.booleans()),
        on_device=draw(st.booleans()),
        condition=draw(st.sampled_from([None, None, 0.0, 5 / 256])),
    )


# The kernels


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 99))
@example(Case(9, 8, multiple=8, tile=16, overlap=0), 0)  # padded by nearly its own height
@example(Case(48, 48, multiple=8, tile=32, overlap=10), 0)  # a pixel that lies in three tiles
@example(Case(8, 8, multiple=1, tile=48, fixed=True, channels=4, dtype=np.bool_, planes=3), 0)
def test_pictures_come_out_as_by_numpy(library: ctypes.CDLL, case: Case, seed: int) -> None:
    """To the last bit, from all kinds to all kinds; and the network sees the very same tiles."""
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    picture = case.picture(seed)
    expected, tiles = reference(picture, case)
    pipeline = case.pipeline(engine)
    restored = case.run(pipeline, picture)
    assert restored.dtype == expected.dtype
    np.testing.assert_array_equal(restored, expected)
    assert len(engine.seen) >= len(tiles)
    np.testing.assert_array_equal(engine.seen[: len(tiles)], tiles)
    assert len(set(engine.shapes)) == 1
    pipeline.release()
    gc.collect()
    assert gpu.allocated == 0
    assert "written outside" not in gpu.done


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_every_level(library: ctypes.CDLL, dtype: type, threshold: float | None) -> None:
    """0.2 is a level itself, of 8 bits and of 16."""
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 16)
    case = Case(*levels.shape, dtype=dtype, tile=64, overlap=16, threshold=threshold, batch=64)
    expected, _ = reference(levels, case, lambda x: x)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: x)), levels)
    np.testing.assert_array_equal(restored, expected)
    if threshold is None:
        np.testing.assert_array_equal(restored, levels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_rounding_at_every_half_and_beside_it(library: ctypes.CDLL, dtype: type) -> None:
    """A network that answers exactly between two levels, and one float to either side."""
    white = 65535 if dtype == np.uint16 else 255
    halves = ((np.arange(white + 1) - 0.5) / white).astype(np.float32)
    answers = np.concatenate([np.nextafter(halves, np.float32(-1)), halves, np.nextafter(halves, np.float32(2))])
    answers = np.concatenate([answers, np.float32([-3, 1.5, 1e30, -1e30, np.inf, -np.inf])])
    answers = np.resize(answers, -(-answers.size // 512) * 512).reshape(1, 1, -1, 64)
    case = Case(*answers.shape[2:], dtype=dtype, tile=4096, overlap=0)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: answers)), np.zeros(answers.shape[2:], dtype))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(restored, from_unit(answers[0, 0], dtype))


def test_halves_are_numpys(library: ctypes.CDLL) -> None:
    """Every half that is a number, out of the engine and into it."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32).reshape(256, 256)
    halves = np.where(np.isfinite(halves), halves, 0)
    case = Case(256, 256, dtype=np.float32, tile=256, overlap=0, half=(True, True), unclipped=True)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: x)), halves)
    np.testing.assert_array_equal(restored, halves)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 99))
@example(Case(700, 3100, dtype=np.bool_, tile=256, overlap=32, condition=0.0), 0)  # so large that not all bands of rows are looked at
def test_patterns_are_counted_as_by_numpy(library: ctypes.CDLL, case: Case, seed: int) -> None:
    """But those of plain surroundings, which are left out."""
    case, told = replace(case, condition=0.0), []
    picture = case.picture(seed)
    given: Any = np.packbits(picture, axis=1) if case.bits else picture
    width = {"bits_width": case.width} if case.bits else {}
    case.pipeline(case.engine(HostGpu(library))).run(given, **width, condition=lambda counts: told.append(counts.copy()) or 0.0)
    pixels = picture if picture.ndim == 2 else picture[..., 0] if picture.shape[2] == 1 else picture[..., :3]
    white = to_unit(pixels) > (0.5 if case.threshold is None else case.threshold)
    expected = np.sum([count_patterns(plane) for plane in np.moveaxis(np.atleast_3d(white), -1, 0)], axis=0)
    expected.reshape(-1, 2)[[0, -1]] = 0
    np.testing.assert_array_equal(told, [expected])


@pytest.mark.parametrize("planes", [1, 3])
def test_patterns_of_grey_stored_as_rgb_are_counted_once(library: ctypes.CDLL, planes: int) -> None:
    case, told = Case(40, 60, channels=3, planes=planes, condition=0.0), []
    grey = picture_of((40, 60), np.bool_, 0)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    pipeline.run(np.repeat(grey[..., None], 3, axis=2), condition=lambda counts: told.append(counts.copy()) or 0.0)
    expected = count_patterns(grey)
    expected.reshape(-1, 2)[[0, -1]] = 0
    np.testing.assert_array_equal(told, [expected])


def test_structs_are_of_one_size(library: ctypes.CDLL) -> None:
    assert library.size_of_job() == JOB.itemsize


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_gather_gives_the_weights_of_the_tiles(data: st.DataObject) -> None:
    """For everything that ``spans`` promises to work for, at most two neighbours count in a pixel, and by its own weights."""
    multiple = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    tile = multiple * data.draw(st.integers(1, 16))
    overlap = data.draw(st.integers(0, min(tile // 3, tile - multiple)))
    length = data.draw(st.integers(1, 900))
    tiles = spans(length + -length % multiple, tile, overlap, multiple)
    expected = np.zeros((len(tiles) + 1, length), np.float32)
    for weights, span in zip(expected, tiles):
        weights[span.start : span.slice.stop] = span.weights[: length - span.start]
    axis = gather_axis(length, tile, overlap, multiple)
    found = np.zeros_like(expected)
    for i in (1, 0):
        found[axis.first + i, np.arange(length)] = axis.weights[:, i]
    np.testing.assert_array_equal(found, expected)
    assert axis.starts.tolist() == [span.start for span in tiles]


# The pipeline


def test_one_upload_and_one_download_a_picture(library: ctypes.CDLL) -> None:
    case = Case(90, 70, batch=4)
    gpu = HostGpu(library)
    pipeline = case.pipeline(case.engine(gpu))
    case.run(pipeline, case.picture())
    gpu.done.clear()
    case.run(pipeline, case.picture(1))  # in a graph
    gpu.done.clear()
    case.run(pipeline, case.picture(2))
    assert gpu.done == ["copy in", "graph", "blend", "copy out"]


def test_batches_are_evenly_full(library: ctypes.CDLL) -> None:
    """Nine tiles, at most four at once: three times three. Three, at most two at once: the second time one is repeated."""
    for width, batch, shapes in [(96, 4, [(3, 1, 32, 32)] * 3), (24, 2, [(2, 1, 32, 24)] * 2)]:
        case = Case(96, width, overlap=0, multiple=1, batch=batch)
        engine = case.engine(HostGpu(library))
        case.run(case.pipeline(engine), case.picture())
        assert engine.shapes == shapes


def test_graphs_give_what_plain_runs_give(library: ctypes.CDLL) -> None:
    case, other = Case(70, 50, channels=3, planes=3), Case(24, 130, dtype=np.uint16)  # tiles of 32x32 and 24x32 px
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    pipeline = case.pipeline(engine)
    third = Case(70, 50, dtype=np.bool_)
    for seed, each in enumerate([case, other, third] * 2 + [case] * 4 + [other] * 4 + [third] * 4 + [case, third] * 4):
        picture = each.picture(seed)
        expected, _ = reference(picture, Case(**{**vars(each), "planes": 3}))
        np.testing.assert_array_equal(each.run(pipeline, picture), expected)
    assert gpu.done.count("graph") == 3 * 3 + 7  # the last ones all have one shape
    assert len(pipeline._graphs) <= KEPT


def test_graphs_are_void_once_the_engine_ran_for_others(library: ctypes.CDLL) -> None:
    """Two pipelines on one engine, whose graphs and buffers know nothing of each other."""
    case = Case(70, 50)
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    one, other = case.pipeline(engine), case.pipeline(engine)
    for seed, pipeline in enumerate([one, one, one, other, one, one, other, other, one, other]):
        picture = case.picture(seed)
        np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
    assert gpu.done.count("graph") == 2 + 1 + 1


def test_a_graph_is_void_once_memory_has_moved(library: ctypes.CDLL) -> None:
    small, large = Case(40, 40), Case(200, 200)
    pipeline = small.pipeline(small.engine(HostGpu(library)))
    for seed, case in enumerate([small, small, small, large, small, small, small]):
        picture = case.picture(seed)
        np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])


def test_without_graphs(library: ctypes.CDLL, caplog: pytest.LogCaptureFixture) -> None:
    """A driver that has none, an engine that is not ready, a recording that fails: the same result by plain runs."""
    caplog.set_level(logging.WARNING, "sdk.cuda.pipeline")
    case = Case(70, 70)
    for change in ("has none", "not ready", "fails"):
        gpu = HostGpu(library)
        engine = case.engine(gpu)
        gpu.has_graphs, engine.can_record, gpu.refuses_to_record = change != "has none", change != "not ready", change == "fails"
        pipeline = case.pipeline(engine)
        for seed in range(3):
            picture = case.picture(seed)
            np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
        assert "graph" not in gpu.done
        assert pipeline.records == (change == "not ready")
        engine.can_record = True
        case.run(pipeline, case.picture())
        assert ("graph" in gpu.done) == (change == "not ready")
    (said,) = caplog.messages  # once, by the one that fails
    assert "no more CUDA graphs" in said
    assert "STREAM_CAPTURE_UNSUPPORTED" in said


def test_memory_that_runs_out_halves_the_batch(library: ctypes.CDLL) -> None:
    """64 tiles of 32x32 px, 4 KiB each; there is room for 2 at once, and then for none."""
    case = Case(256, 256, overlap=0, multiple=1, batch=16)
    picture, expected = case.picture(), reference(case.picture(), case)[0]
    unbatched = 64 * 4096 + 2 * picture.nbytes + 2 * 256 * 12 + 64
    pipeline = case.pipeline(case.engine(HostGpu(library, memory=unbatched + 3 * 4096)))
    for _ in range(3):
        np.testing.assert_array_equal(case.run(pipeline, picture), expected)
        assert pipeline.batch == 2
    small = case.pipeline(case.engine(HostGpu(library, memory=unbatched)))
    with pytest.raises(InferenceError, match=r"failed on a picture of 256x256: The memory of the GPU ran out .*smaller tile"):
        case.run(small, picture)
    assert small.batch == 1


def test_batches_of_fixed_size_are_not_halved(library: ctypes.CDLL) -> None:
    """They would be more, and no smaller."""
    case = Case(96, 96, overlap=0, multiple=1, batch=4, fixed=True)
    gpu = HostGpu(library, memory=40_000)
    pipeline = case.pipeline(case.engine(gpu))
    with pytest.raises(InferenceError, match="The memory of the GPU ran out"):
        case.run(pipeline, case.picture())
    assert pipeline.batch == 4
    gpu.left = 1 << 40
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])


def test_memory_runs_out_for_the_engine(library: ctypes.CDLL) -> None:
    case = Case(80, 80, batch=8)
    engine = case.engine(HostGpu(library))
    enqueue = engine.enqueue

    def tight(shape: tuple[int, int, int, int], source: int, target: int) -> None:
        if shape[0] > 3:
            raise OutOfMemory("TensorRT's log: out of memory")
        enqueue(shape, source, target)

    engine.enqueue = tight  # type: ignore[method-assign]
    pipeline = case.pipeline(engine)
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])
    assert pipeline.batch == 2


def test_an_engine_that_fails(library: ctypes.CDLL) -> None:
    case = Case(40, 40)
    engine = case.engine(HostGpu(library))
    pipeline = case.pipeline(engine)
    case.run(pipeline, case.picture())
    engine.fails = True
    for on_device in (False, True):
        with pytest.raises(InferenceError, match="the engine failed"):
            Case(40, 40, on_device=on_device).run(pipeline, case.picture())
    engine.fails = False
    np.testing.assert_array_equal(case.run(pipeline, case.picture()), reference(case.picture(), case)[0])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_rgb_stays_grey_with_a_network_of_rgb(library: ctypes.CDLL, channels: int) -> None:
    case = Case(64, 96, channels=channels, planes=3)
    picture = case.picture()
    picture[..., 1] = picture[..., 2] = picture[..., 0]
    restored = case.run(case.pipeline(case.engine(HostGpu(library))), picture)
    np.testing.assert_array_equal(restored, reference(picture, case)[0])
    assert is_grey(restored[..., :3])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_rgb_is_restored_once(library: ctypes.CDLL, channels: int) -> None:
    case = Case(64, 96, channels=channels, overlap=0, multiple=1)
    engine = case.engine(HostGpu(library))
    pipeline = case.pipeline(engine)
    picture = case.picture()
    picture[..., 1] = picture[..., 2] = picture[..., 0]
    restored = case.run(pipeline, picture)
    np.testing.assert_array_equal(restored, reference(picture, case)[0])
    assert len(engine.seen) == 6
    picture[63, 95, 2] ^= 1
    np.testing.assert_array_equal(case.run(pipeline, picture), reference(picture, case)[0])
    assert len(engine.seen) == 6 + 18


def test_threads_take_turns(library: ctypes.CDLL) -> None:
    case = Case(60, 60)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    wrong: list[int] = []

    def work(seed: int) -> None:
        picture = case.picture(seed)
        expected = reference(picture, case)[0]
        for _ in range(10):
            if not np.array_equal(case.run(pipeline, picture), expected):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_what_is_no_picture(library: ctypes.CDLL) -> None:
    pipeline = Case(8, 8).pipeline(Case(8, 8).engine(HostGpu(library)))
    for wrong, said in [
        (np.zeros((9, 9)), "float64"),
        (np.zeros((9, 9, 2), np.uint8), r"shape \(9, 9, 2\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((7, 9), np.uint8), "9x7 px"),
        ([[1, 2]], "Found a list"),
        (OnGpu(np.zeros((9, 9), np.int64)), "int64"),
    ]:
        with pytest.raises(UnsupportedImageError, match=said):
            pipeline.run(wrong)
    with pytest.raises(OptionError, match=r"rows of 2 bytes hold 1\.\.16"):
        pipeline.run(np.zeros((9, 2), np.uint8), bits_width=17)
    with pytest.raises(UnsupportedImageError, match="packed bits"):
        pipeline.run(np.zeros((9, 2), np.uint16), bits_width=16)


# Arrays in GPU memory


class OnGpu:
    """An array on the fake GPU, as a library with ``__cuda_array_interface__`` hands it out."""

    def __init__(self, array: np.ndarray, **changes: Any):
        self.array = array
        self.shape = array.shape
        given: dict[str, Any] = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, False), "version": 3}
        strides = None if array.flags.c_contiguous else array.strides
        self.__cuda_array_interface__ = {**given, "strides": strides, "stream": None, **changes}


class ByDlpack:
    """The same by DLPack, over numpy's own capsules."""

    def __init__(self, array: np.ndarray, device: int = 0):
        self.array = array
        self.shape = array.shape
        self.device = device
        self.streams: list[int] = []

    def __dlpack__(self, *, stream: int) -> object:
        self.streams.append(stream)
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.device


@pytest.mark.parametrize("protocol", [OnGpu, ByDlpack])
@pytest.mark.parametrize("layout", ["planes", "cut", "flipped"])
def test_strides(library: ctypes.CDLL, protocol: type, layout: str) -> None:
    """Views are read where they are: torch's planes, a part of a larger picture, a picture upside down."""
    case = Case(50, 40, channels=3, dtype=np.uint16, planes=3)
    whole = case.picture()
    view = {
        "planes": np.ascontiguousarray(whole.transpose(2, 0, 1)).transpose(1, 2, 0),
        "cut": np.pad(whole, ((3, 5), (7, 2), (0, 0)))[3:-5, 7:-2],
        "flipped": whole[::-1],
    }[layout]
    assert not view.flags.c_contiguous
    restored = case.pipeline(case.engine(HostGpu(library))).run(protocol(view))
    assert isinstance(restored, DeviceArray)
    np.testing.assert_array_equal(restored.to_host(), reference(np.ascontiguousarray(view), case)[0])


def test_streams_are_waited_for(library: ctypes.CDLL) -> None:
    case = Case(40, 40)
    gpu = HostGpu(library)
    pipeline = case.pipeline(case.engine(gpu))
    for changes in ({"stream": 5}, {"stream": None}, {"version": 2}):
        pipeline.run(OnGpu(case.picture(), **changes))
    assert gpu.waited_for == [5, 1]  # version 2 has no word for streams: the default one
    given = ByDlpack(case.picture())
    pipeline.run(given)
    assert given.streams == [gpu.stream]


def test_what_cannot_be_borrowed(library: ctypes.CDLL) -> None:
    case = Case(40, 40)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    with pytest.raises(UnsupportedImageError, match="on GPU 1, the model on GPU 0"):
        pipeline.run(ByDlpack(case.picture(), device=1))
    elsewhere = OnGpu(case.picture())
    pipeline._driver.of_other_gpus.add(elsewhere.array.ctypes.data)
    with pytest.raises(UnsupportedImageError, match="on GPU 1, the model on GPU 0"):
        pipeline.run(elsewhere)
    with pytest.raises(UnsupportedImageError, match="masked"):
        pipeline.run(OnGpu(case.picture(), mask=object()))


def test_borrowed_memory_is_held_until_it_is_read_and_no_longer(library: ctypes.CDLL) -> None:
    case = Case(40, 40)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    given = ByDlpack(case.picture())
    gone = weakref.ref(given)
    references = sys.getrefcount(given.array)
    pipeline.run(given)
    still = sys.getrefcount(given.array)
    assert still == references
    del given
    gc.collect()
    assert gone() is None


def test_a_result_goes_on_as_an_input(library: ctypes.CDLL) -> None:
    """Both protocols of our own array, through our own pipeline."""
    case = Case(40, 48, channels=3, planes=3)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    once = pipeline.run(OnGpu(case.picture()))
    twice = reference(reference(case.picture(), case)[0], case)[0]
    np.testing.assert_array_equal(pipeline.run(once).to_host(), twice)
    interface = once.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"], interface["version"], interface["stream"]) == ((40, 48, 3), "|u1", 3, None)
    np.testing.assert_array_equal(at(interface["data"][0], once.shape, np.uint8), once.to_host())
    assert repr(once) == "DeviceArray(40x48x3, uint8, GPU 0)"


def test_from_host_and_back(library: ctypes.CDLL) -> None:
    gpu = HostGpu(library)
    for dtype in (np.uint8, np.uint16, np.float32):
        picture = picture_of((9, 11, 3), dtype, 0)[:, ::-1]
        np.testing.assert_array_equal(DeviceArray.from_host(gpu, picture).to_host(), picture)
    gc.collect()
    assert gpu.allocated == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_true_consumers_read_our_capsules(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    """numpy and torch take it from us where we call the fake GPU's memory the CPU's; the memory lives as long as they hold it."""
    monkeypatch.setattr(dlpack, "CUDA", 1)
    gpu = HostGpu(library)
    picture = picture_of((9, 11, 3), dtype, 0)
    consumers: list[Callable[[Any], Any]] = [np.from_dlpack]
    if importlib.util.find_spec("torch"):
        consumers.append(importlib.import_module("torch").from_dlpack)
    for consume in consumers:
        taken = consume(DeviceArray.from_host(gpu, picture))
        gc.collect()
        assert gpu.allocated == picture.nbytes
        np.testing.assert_array_equal(np.asarray(taken), picture)
        del taken
        gc.collect()
        assert gpu.allocated == 0
    capsule: Any = DeviceArray.from_host(gpu, picture).__dlpack__()
    assert gpu.allocated == picture.nbytes
    del capsule  # nobody took it
    gc.collect()
    assert gpu.allocated == 0
    assert not dlpack._handed_out


def test_true_producers_are_understood() -> None:
    given = [np.zeros((3, 4, 2), dtype)[::2, 1:] for dtype in (np.bool_, np.uint8, np.uint16, np.float32, np.float16, np.int64)]
    if importlib.util.find_spec("torch"):
        torch = importlib.import_module("torch")
        given += [torch.zeros((2, 3, 4), dtype=dtype).permute(1, 2, 0) for dtype in (torch.bool, torch.uint8, torch.float32)]
    for array in given:
        found, seen = dlpack.borrow(array.__dlpack__()), np.asarray(array)
        assert (found.address, found.shape, found.strides) == (seen.ctypes.data, seen.shape, seen.strides)
        assert found.dtype == seen.dtype
    assert dlpack.borrow(np.zeros(3, np.complex64).__dlpack__()).dtype is None


def test_what_a_consumer_cannot_have(library: ctypes.CDLL) -> None:
    array = DeviceArray.from_host(HostGpu(library), np.zeros((8, 8), np.uint8))
    for wish in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="to_host"):
            array.__dlpack__(**wish)
    assert array.__dlpack__(stream=2, max_version=(1, 0), dl_device=(2, 0), copy=False)


# The compilers


@pytest.mark.slow
def test_nvcc_compiles_for_all_gpus_without_spills(tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed (CUDA toolkit)")
    report = build_fatbin(tmp_path / "kernels.fatbin")
    used = re.findall(r"entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", report, re.DOTALL)
    assert {(name, int(arch)) for name, arch, _, _ in used} == {(name, 10 * a + b) for name in NAMES for a, b in ARCHITECTURES}
    for name, arch, spilled, registers in used:
        assert int(spilled) == 0, (name, arch)
        assert int(registers) <= 64, (name, arch)  # blocks of 256 threads: four of them on a multiprocessor at the least
    assert (tmp_path / "kernels.fatbin").stat().st_size < 1 << 20


def test_nothing_is_fused_or_flushed(tmp_path: Path) -> None:
    """In the PTX all arithmetic carries its rounding, which ptxas then may not fuse; divisions are exact, subnormals are kept."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed (CUDA toolkit)")
    ptx = tmp_path / "kernels.ptx"
    subprocess.run(["nvcc", "-std=c++17", "-ptx", "-arch=compute_75", "-o", str(ptx), str(kernels.SOURCE)], check=True, capture_output=True)
    used = set(re.findall(r"\b((?:fma|mad|add|sub|mul|div)\.[\w.]*f32)", ptx.read_text(encoding="utf-8")))
    assert used == {"add.rn.f32", "mul.rn.f32", "div.rn.f32"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_for_every_gpu(architecture: tuple[int, int]) -> None:
    """Without a GPU and without CUDA's headers, as on a user's machine."""
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    from sdk.cuda.nvrtc import compile_cuda

    cubin = compile_cuda(kernels.SOURCE.read_text(encoding="utf-8"), architecture)
    assert cubin.startswith(b"\x7fELF")
    assert all(name.encode() in cubin for name in kernels.NAMES)


def test_prebuilt_kernels_are_taken_where_they_fit(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded: list[bytes | str] = []
    gpu = HostGpu(library)
    monkeypatch.setattr(gpu, "load_kernels", lambda code, names: loaded.append(code))
    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "SOURCE", tmp_path / "kernels.cu")
    kernels.SOURCE.write_text("// one", encoding="utf-8")
    prebuilt_path().write_bytes(b"built of one")
    kernels.Kernels(gpu)
    kernels.SOURCE.write_text("// two", encoding="utf-8")
    for _ in range(3):  # and only once
        kernels.Kernels(gpu)
    assert loaded == [b"built of one", "// two"]


def test_nvcc_that_is_not_there_or_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="CUDA toolkit"):
        build_fatbin(tmp_path / "kernels.fatbin")
    monkeypatch.setattr(shutil, "which", lambda name: "false")
    with pytest.raises(DeviceError, match=r"nvcc failed on kernels\.cu"):
        build_fatbin(tmp_path / "kernels.fatbin")


def test_the_wheel_holds_the_kernels_and_the_table_of_methods() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "sdk.cuda" in tools["packages"]
    assert any(kernels.SOURCE.match(pattern) for pattern in tools["package-data"]["sdk"])
    assert any(prebuilt_path().match(pattern) for pattern in tools["package-data"]["sdk"])
    assert any(TABLE.match(pattern) for pattern in tools["package-data"]["sdk"])
