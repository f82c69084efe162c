"""Memory that is kept from picture to picture and grows when it must."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdk.cuda.driver import DeviceBuffer, Driver


class WorkingMemory:
    """Named device buffers and page-locked arrays; use it within ``with driver:``, when nothing that is queued needs the old contents."""

    def __init__(self, driver: Driver):
        self.generation = 0
        """Changes whenever a device buffer goes: addresses of another generation are void."""
        self._driver = driver
        self._buffers: dict[str, DeviceBuffer] = {}
        self._pinned: dict[str, np.ndarray] = {}

    def buffer(self, name: str, nbytes: int) -> DeviceBuffer:
        """At least so many bytes."""
        if name not in self._buffers or self._buffers[name].nbytes < nbytes:
            self.generation += 1
            self._buffers.pop(name, None)  # frees the smaller one before the larger one is asked for
            self._buffers[name] = self._driver.allocate(nbytes)
        return self._buffers[name]

    def pinned(self, name: str, shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
        """A page-locked array, with whatever it held last."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name not in self._pinned or self._pinned[name].nbytes < nbytes:
            self._pinned.pop(name, None)
            self._pinned[name] = self._driver.pinned((nbytes,), np.uint8)
        return self._pinned[name][:nbytes].view(dtype).reshape(shape)

    def clear(self) -> None:
        """Give everything back."""
        self.generation += 1
        self._buffers.clear()
        self._pinned.clear()
