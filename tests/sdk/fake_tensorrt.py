"""A stand-in for TensorRT, whose one network is one minus its input, and for the GPU under it."""

from __future__ import annotations

import ctypes
import dataclasses
import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdk.cuda.driver import DeviceBuffer
from sdk.engines.file import Engine, EngineHeader
from sdk.errors import DeviceError

SHAPES = ((1, 1, 16, 16), (2, 1, 64, 64), (2, 1, 64, 64))


class FakeDriver:
    """Host memory for a GPU; counts how deep ``with`` is, which one thread holds at a time."""

    name, device, device_name, compute_capability, stream, has_graphs = "fake", 0, "Fake GPU", (8, 9), 7, False

    def __init__(self) -> None:
        self.depth = 0
        self.allocations = 0
        self.turn = threading.RLock()

    def __enter__(self) -> FakeDriver:
        self.turn.acquire()
        self.depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        self.turn.release()

    def allocate(self, nbytes: int) -> DeviceBuffer:
        assert self.depth
        self.allocations += 1
        if nbytes > 10**6:
            raise DeviceError("The memory of the GPU ran out")
        memory = ctypes.create_string_buffer(nbytes)
        return DeviceBuffer(ctypes.addressof(memory), nbytes, lambda: memory and None)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        assert self.depth
        assert source.nbytes <= target.nbytes
        ctypes.memmove(target.address, source.ctypes.data, source.nbytes)

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        assert target.nbytes <= source.nbytes
        ctypes.memmove(target.ctypes.data, source.address, target.nbytes)

    def synchronize(self) -> None:
        assert self.depth


class FakeContext:
    """One minus the input; notes the shapes it ran."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.ran: list[tuple[int, ...]] = []
        self.told: list[tuple[int, ...]] = []
        self.works = True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.told.append(tuple(shape))
        self.shape = tuple(shape)
        return name == "halftone" and all(a <= n <= b for a, n, b in zip(SHAPES[0], shape, SHAPES[2]))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        count = int(np.prod(self.shape))
        source, target = ((ctypes.c_float * count).from_address(self.addresses[name]) for name in ("halftone", "contone"))
        np.ctypeslib.as_array(target)[:] = 1 - np.ctypeslib.as_array(source)
        self.ran.append(self.shape)
        return self.works


@pytest.fixture
def fake_trt(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module ``tensorrt`` with what the backend uses of it, and nothing else."""
    context = FakeContext()
    names = ["halftone", "contone"]
    engine = SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=lambda i: names[i],
        get_tensor_mode=lambda name: "in" if name == "halftone" else "out",
        get_tensor_dtype=lambda name: np.float32,
        get_tensor_profile_shape=lambda name, profile: SHAPES,
        create_execution_context=lambda: context,
    )

    class Logger:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            self.log.log(1, "not this plan") if plan == b"bad" else None
            return None if plan == b"bad" else engine

    module = SimpleNamespace(
        __name__="tensorrt",
        __version__="11.4.0.106",
        ILogger=Logger,
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT="in"),
        nptype=lambda dtype: dtype,
        context=context,
        engine=engine,
    )
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def engine_with(plan: bytes = b"good", **changes: Any) -> Engine:
    header = EngineHeader({"name": '"m"'}, "tensorrt", "11.4.0.106", "8.9", "fp16", SHAPES)
    return Engine(dataclasses.replace(header, **changes), plan)
