"""Pictures that are in GPU memory already: taken from torch, CuPy, numba, JAX, and handed back.

Both ways by DLPack or by ``__cuda_array_interface__``: https://nvidia.github.io/numba-cuda/user/cuda_array_interface.html
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sdk.cuda import dlpack
from sdk.cuda.dlpack import Borrowed
from sdk.cuda.driver import DeviceBuffer, Driver
from sdk.errors import UnsupportedImageError
from sdk.images import ACCEPTED

LEGACY_STREAM = 1
"""``CU_STREAM_LEGACY``: the default stream, where those work who name none."""


class DeviceArray:
    """A picture in GPU memory: C-contiguous, ready to be read on any stream, freed when nobody holds it.

    ``torch.from_dlpack(array)``, ``cupy.from_dlpack(array)`` and ``numba.cuda.as_cuda_array(array)`` take it without a copy.
    """

    def __init__(self, driver: Driver, buffer: DeviceBuffer, shape: tuple[int, ...], dtype: np.typing.DTypeLike):
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._driver = driver
        self._buffer = buffer

    @classmethod
    def from_host(cls, driver: Driver, pixels: np.ndarray) -> DeviceArray:
        """A copy on the GPU."""
        pixels = np.ascontiguousarray(pixels)
        with driver:
            array = cls(driver, driver.allocate(pixels.nbytes), pixels.shape, pixels.dtype)
            driver.copy_in(array._buffer, pixels)
            driver.synchronize()
        return array

    def to_host(self) -> np.ndarray:
        """A copy as a numpy array."""
        pixels = np.empty(self.shape, self.dtype)
        with self._driver:
            self._driver.copy_out(pixels, self._buffer)
            self._driver.synchronize()
        return pixels

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self._buffer.address, False),
            "strides": None,
            "version": 3,
            "stream": None,  # nothing is queued any more
        }

    def __dlpack__(self, *, stream: int | None = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None) -> object:
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("This picture is lent where it is; copy it with to_host() or in the library that takes it.")
        return dlpack.lend(self._buffer.address, self.shape, self.dtype, self._driver.device, self._buffer)

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self._driver.device

    def __repr__(self) -> str:
        return f"DeviceArray({'x'.join(map(str, self.shape))}, {self.dtype}, GPU {self._driver.device})"


def is_device_array(array: object) -> bool:
    """Whether it lies in GPU memory and says so by one of the two protocols."""
    return _dlpack_device(array)[0] == dlpack.CUDA or hasattr(array, "__cuda_array_interface__")


def borrow(array: Any, driver: Driver) -> Borrowed:
    """Its memory, without a copy; what the driver queues from here on happens after what its owner has queued.

    DLPack is asked first, since torch says nothing of streams by the other protocol. Call within ``with driver:``.
    """
    kind, device = _dlpack_device(array)
    if kind == dlpack.CUDA:
        _check_device(device, driver)
        try:
            lent = array.__dlpack__(stream=driver.stream)
        except BufferError as error:  # of torch, where a gradient is asked for, or conjugation is put off
            raise UnsupportedImageError(f"The picture on the GPU cannot be lent: {error} In torch, detach() it first.") from error
        return dlpack.borrow(lent)
    found = array.__cuda_array_interface__
    if found.get("mask") is not None:
        raise UnsupportedImageError(f"Found a masked array on the GPU. Fill it first. {ACCEPTED}")
    _check_device(driver.device_of(found["data"][0]), driver)
    stream = found.get("stream") if found["version"] >= 3 else LEGACY_STREAM
    if stream is not None:
        driver.wait_for(stream)
    shape, dtype = tuple(found["shape"]), np.dtype(found["typestr"])
    strides = found.get("strides") or dlpack.contiguous(shape, dtype.itemsize)
    return Borrowed(found["data"][0], shape, tuple(strides), dtype, array)


def _check_device(device: int, driver: Driver) -> None:
    if device != driver.device:
        raise UnsupportedImageError(f"The picture is on GPU {device}, the model on GPU {driver.device}. Copy it there first.")


def _dlpack_device(array: Any) -> tuple[int, int]:
    """(type, number) of its device; (0, 0), which is none, for what does not know DLPack."""
    if not hasattr(array, "__dlpack_device__") or not hasattr(array, "__dlpack__"):
        return 0, 0
    kind, number = array.__dlpack_device__()
    return int(kind), int(number)
