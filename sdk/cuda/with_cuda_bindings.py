"""The driver layer on NVIDIA's cuda-bindings: the C functions of the CUDA driver, one to one."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any

import numpy as np
from cuda.bindings import driver as cu  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)

from sdk.cuda.driver import DeviceBuffer, Driver, Extent, OutOfMemory, check_room, no_gpu
from sdk.cuda.nvrtc import compile_cuda
from sdk.errors import DeviceError


def _check(result: tuple[Any, ...]) -> Any:
    """The values of a driver call without its status; an error with CUDA's name and text for it where it failed."""
    status, *values = result
    if status != cu.CUresult.CUDA_SUCCESS:
        text = cu.cuGetErrorString(status)[1]
        reason = f"{status.name}: {text.decode() if isinstance(text, bytes) else 'no text'}"
        if status == cu.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemory(reason)
        raise DeviceError(f"A CUDA call failed ({reason}). Check the GPU with nvidia-smi.")
    return values[0] if len(values) == 1 else tuple(values)


class CudaBindingsDriver(Driver):
    """``Driver`` on cuda-bindings 12 or 13."""

    has_graphs = True

    def __init__(self, device: int = 0):
        self.name = f"cuda-bindings {version('cuda-bindings')}"
        self.device = device
        self._turn = threading.RLock()
        try:
            _check(cu.cuInit(0))
            self._device = _check(cu.cuDeviceGet(device))
            self._context = _check(cu.cuDevicePrimaryCtxRetain(self._device))
        except (DeviceError, RuntimeError) as error:  # RuntimeError: there is no libcuda at all
            raise no_gpu(error) from error
        self.device_name = _check(cu.cuDeviceGetName(256, self._device)).split(b"\0")[0].decode("utf-8", "replace")
        attributes = cu.CUdevice_attribute
        self.compute_capability = (
            int(_check(cu.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, self._device))),
            int(_check(cu.cuDeviceGetAttribute(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, self._device))),
        )
        with self:
            self._stream = _check(cu.cuStreamCreate(cu.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self.stream = int(self._stream)
        self._release_with(self, lambda stream=self._stream: cu.cuStreamDestroy(stream))

    def __enter__(self) -> CudaBindingsDriver:
        self._turn.acquire()
        try:
            _check(cu.cuCtxPushCurrent(self._context))
        except DeviceError:
            self._turn.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            _check(cu.cuCtxPopCurrent())
        finally:
            self._turn.release()

    def allocate(self, nbytes: int) -> DeviceBuffer:
        pointer = _check(cu.cuMemAlloc(nbytes))
        return DeviceBuffer(int(pointer), nbytes, self._inside(lambda: cu.cuMemFree(pointer)))

    def pinned(self, shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = int(_check(cu.cuMemHostAlloc(nbytes, 0)))
        memory = (ctypes.c_uint8 * nbytes).from_address(address)  # the array holds it, and it is freed with the last view
        self._release_with(memory, lambda: cu.cuMemFreeHost(address))
        return np.ctypeslib.as_array(memory).view(dtype).reshape(shape)

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        check_room(source.nbytes, target.nbytes)
        _check(cu.cuMemcpyHtoDAsync(target.address, source.ctypes.data, source.nbytes, self._stream))

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        check_room(target.nbytes, source.nbytes)
        _check(cu.cuMemcpyDtoHAsync(target.ctypes.data, source.address, target.nbytes, self._stream))

    def load_kernels(self, code: bytes | str, names: Sequence[str]) -> dict[str, Any]:
        image = compile_cuda(code, self.compute_capability) if isinstance(code, str) else code
        module = _check(cu.cuModuleLoadData(image + b"\0"))  # PTX is text and must end; for binaries one more byte is nothing
        return {name: _check(cu.cuModuleGetFunction(module, name.encode())) for name in names}  # modules live as long as the process

    def launch(self, kernel: Any, grid: Extent, block: Extent, *arguments: DeviceBuffer | np.generic) -> None:
        values = [np.array(np.uint64(a.address) if isinstance(a, DeviceBuffer) else a) for a in arguments]
        pointers = np.array([value.ctypes.data for value in values], np.uint64)  # the driver copies what they point to at once
        _check(cu.cuLaunchKernel(kernel, *grid, *block, 0, self._stream, pointers.ctypes.data, 0))

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        _check(cu.cuStreamBeginCapture(self._stream, cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        try:
            enqueue()
        except BaseException:
            # Whatever it says: the stream must leave this state, and the first error counts.
            status, graph = cu.cuStreamEndCapture(self._stream)
            if status == cu.CUresult.CUDA_SUCCESS:
                cu.cuGraphDestroy(graph)
            raise
        graph = _check(cu.cuStreamEndCapture(self._stream))
        try:
            executable = _check(cu.cuGraphInstantiate(graph, 0))
        finally:
            cu.cuGraphDestroy(graph)

        def replay() -> None:
            _check(cu.cuGraphLaunch(executable, self._stream))

        self._release_with(replay, lambda: cu.cuGraphExecDestroy(executable))
        return replay

    def wait_for(self, stream: int) -> None:
        event = _check(cu.cuEventCreate(cu.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        try:
            _check(cu.cuEventRecord(event, cu.CUstream(stream)))
            _check(cu.cuStreamWaitEvent(self._stream, event, 0))
        finally:
            cu.cuEventDestroy(event)  # happens once the event has

    def device_of(self, address: int) -> int:
        status, number = cu.cuPointerGetAttribute(cu.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address)
        return int(number) if status == cu.CUresult.CUDA_SUCCESS else self.device

    def synchronize(self) -> None:
        _check(cu.cuStreamSynchronize(self._stream))

    def _inside(self, release: Callable[[], Any]) -> Callable[[], None]:
        """``release`` in the context, without holding the driver; its status has nobody to go to."""
        context = self._context

        def run() -> None:
            cu.cuCtxPushCurrent(context)
            # Garbage may be collected while this thread records a graph, which what waits for the GPU, as frees do, would spoil.
            _, before = cu.cuThreadExchangeStreamCaptureMode(cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
            try:
                release()
            finally:
                cu.cuThreadExchangeStreamCaptureMode(before)
                cu.cuCtxPopCurrent()

        return run

    def _release_with(self, owner: object, release: Callable[[], Any]) -> None:
        weakref.finalize(owner, self._inside(release)).atexit = False
