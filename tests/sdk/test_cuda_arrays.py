"""Arrays in GPU memory: other libraries' are read where they are, and ours are taken by them."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sdk.cuda import dlpack
from sdk.cuda.device_array import DeviceArray
from sdk.errors import UnsupportedImageError
from tests.sdk.host_gpu import HostGpu, at
from tests.sdk.kernel_cases import Case, OnGpu, picture_of, reference


class ByDlpack:
    """What ``OnGpu`` is, by DLPack, over numpy's own capsules."""

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


OUTLIVES = """
import ctypes
import numpy as np
import torch
from sdk.cuda import dlpack

dlpack.CUDA = 1  # the CPU's number
memory = ctypes.create_string_buffer(64)

class Lent:
    def __dlpack__(self, **_):
        return dlpack.lend(ctypes.addressof(memory), (16,), np.dtype(np.float32), 0, memory)

    def __dlpack_device__(self):
        return 1, 0

class App:
    def __init__(self):
        self.picture, self.left = torch.from_dlpack(Lent()), Lent().__dlpack__()
        self.show = self.draw  # a cycle: it is found when Python ends, after the module's names are gone

    def draw(self):
        pass

app = App()
"""


def test_arrays_that_outlive_python_do_not_crash_it() -> None:
    pytest.importorskip("torch", reason="needs torch")
    done = subprocess.run([sys.executable, "-c", OUTLIVES], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


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
