"""The driver layer on PyCUDA, which has no CUDA graphs: ``record`` gives back what it was given."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import pycuda  # pyright: ignore[reportMissingImports]
import pycuda.driver as cuda  # pyright: ignore[reportMissingImports]

from sdk.cuda.driver import DeviceBuffer, Driver, Extent, OutOfMemory, check_room, no_gpu
from sdk.errors import DeviceError, MissingDependencyError


class PyCudaDriver(Driver):
    """``Driver`` on PyCUDA. CUDA C++ given as text is compiled by nvcc, which must be installed then."""

    has_graphs = False

    def __init__(self, device: int = 0):
        self.name = f"pycuda {pycuda.VERSION_TEXT}"
        self.device = device
        self._turn = threading.RLock()
        try:
            cuda.init()
            found = cuda.Device(device)
            self._context = found.retain_primary_context()
        except cuda.Error as error:
            raise no_gpu(error) from error
        self.device_name = found.name()
        self.compute_capability = found.compute_capability()
        with self:
            self._streams = [cuda.Stream(1)]  # CU_STREAM_NON_BLOCKING; in a list, so that the last reference to it can go in the context
        self.stream = int(self._stream.handle)
        weakref.finalize(self, self._inside(self._streams.clear)).atexit = False

    @property
    def _stream(self) -> Any:
        return self._streams[0]

    def __enter__(self) -> PyCudaDriver:
        self._turn.acquire()
        try:
            self._context.push()
        except BaseException:
            self._turn.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            cuda.Context.pop()
        finally:
            self._turn.release()

    def allocate(self, nbytes: int) -> DeviceBuffer:
        memory = _checked(lambda: cuda.mem_alloc(nbytes))
        return DeviceBuffer(int(memory), nbytes, self._inside(memory.free))

    def pinned(self, shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
        kept = _checked(lambda: cuda.pagelocked_empty(tuple(shape), np.dtype(dtype)))
        memory = (ctypes.c_uint8 * kept.nbytes).from_address(kept.ctypes.data)  # the array holds it, and it is freed with the last view
        weakref.finalize(memory, self._inside(kept.base.free)).atexit = False
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        check_room(source.nbytes, target.nbytes)
        _checked(lambda: cuda.memcpy_htod_async(target.address, source, self._stream))

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        check_room(target.nbytes, source.nbytes)
        _checked(lambda: cuda.memcpy_dtoh_async(target, source.address, self._stream))

    def load_kernels(self, code: bytes | str, names: Sequence[str]) -> dict[str, Any]:
        if isinstance(code, str):
            from pycuda.compiler import compile as compile_by_nvcc  # pyright: ignore[reportMissingImports]

            source, target = code, f"sm_{self.compute_capability[0]}{self.compute_capability[1]}"
            try:  # without PyCUDA's cache: its folder may be read-only, or there is no home
                code = _checked(lambda: compile_by_nvcc(source, arch=target, no_extern_c=True, cache_dir=False))
            except OSError as error:
                raise MissingDependencyError(
                    f"PyCUDA compiles our kernels by nvcc, which cannot be run here ({error}). Put CUDA's bin folder, such as "
                    "/usr/local/cuda/bin, into PATH; or build them once for all GPUs: python -m sdk.cuda.kernels."
                ) from error
        image = code
        module = _checked(lambda: cuda.module_from_buffer(image))
        return {name: _checked(lambda name=name: module.get_function(name)) for name in names}

    def launch(self, kernel: Any, grid: Extent, block: Extent, *arguments: DeviceBuffer | np.generic) -> None:
        values = [np.uint64(a.address) if isinstance(a, DeviceBuffer) else a for a in arguments]
        _checked(lambda: kernel(*values, grid=grid, block=block, stream=self._stream))

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        return enqueue

    def wait_for(self, stream: int) -> None:
        _checked(cuda.Context.synchronize)  # PyCUDA knows its own streams only, so all of them are waited for

    def device_of(self, address: int) -> int:
        return self.device

    def synchronize(self) -> None:
        _checked(self._stream.synchronize)

    def _inside(self, release: Callable[[], Any]) -> Callable[[], None]:
        """``release`` in the context: in threads where it is not current PyCUDA frees nothing, and says nothing."""
        context = self._context

        def run() -> None:
            context.push()
            try:
                release()
            finally:
                cuda.Context.pop()

        return run


def _checked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except cuda.MemoryError as error:
        raise OutOfMemory(error) from error
    except (cuda.Error, cuda.CompileError) as error:
        raise DeviceError(f"A CUDA call failed ({error}). Check the GPU with nvidia-smi.") from error
