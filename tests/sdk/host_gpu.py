"""A GPU that is this process: ``kernels.cu`` compiled by g++, host memory, and engines that are numpy functions."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdk.cuda import kernels
from sdk.cuda.driver import DeviceBuffer, Extent, OutOfMemory, check_room
from sdk.cuda.kernels import NAMES
from sdk.errors import DeviceError, InferenceError

HERE = Path(__file__).parent
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
