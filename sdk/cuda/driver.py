"""The thin layer between the SDK and the CUDA driver: one small interface, two implementations.

``cuda-bindings`` (default) are NVIDIA's own wheels: they import without a GPU, bring NVRTC and graphs. PyCUDA is for machines that have
it already, as Jetson images do. Both work on the device's primary context, so that torch, onnxruntime, TensorRT and this SDK share
one memory space; both leave whatever context is current as they found it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import numpy as np

from sdk.errors import DeviceError, MissingDependencyError, OptionError, nearest

DRIVERS = ("cuda-bindings", "pycuda")
Extent: TypeAlias = tuple[int, int, int]


class OutOfMemory(DeviceError):
    """The memory of the GPU ran out; less of it may do."""

    def __init__(self, reason: object):
        super().__init__(f"The memory of the GPU ran out ({reason}). Use a smaller tile or batch, or close other programs on it.")


class DeviceBuffer:
    """Memory on the GPU: ``address`` and ``nbytes``. Freed when nobody holds it any more."""

    def __init__(self, address: int, nbytes: int, free: Callable[[], None]):
        self.address = address
        self.nbytes = nbytes
        weakref.finalize(self, free).atexit = False  # at exit the process gives everything back, and CUDA may be gone already


class Driver(Protocol):
    """One GPU and one stream on it. Every call but the constructor belongs into ``with driver:``, which one thread holds at a time.

    Copies, launches and replays are queued on the stream and return at once; ``synchronize`` waits for them. Until then the host
    arrays and buffers in use must live. Failures are a ``DeviceError``, with CUDA's own name for it; ``OutOfMemory`` where that is it.
    """

    name: str
    """The package and its version."""
    device: int
    """The number of the GPU."""
    device_name: str
    compute_capability: tuple[int, int]
    stream: int
    """``CUstream`` as a number, as TensorRT takes it; never the default stream."""
    has_graphs: bool
    """Whether ``record`` makes a CUDA graph."""

    def __enter__(self) -> Driver: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Memory on the GPU, not initialised."""
        ...

    def pinned(self, shape: Sequence[int], dtype: np.typing.DTypeLike) -> np.ndarray:
        """A page-locked host array, not initialised: copies from and to it need no detour and do not block."""
        ...

    def copy_in(self, target: DeviceBuffer, source: np.ndarray) -> None:
        """Host -> device; the C-contiguous ``source`` is at most as large as ``target``."""
        ...

    def copy_out(self, target: np.ndarray, source: DeviceBuffer) -> None:
        """Device -> host; fills the C-contiguous ``target``."""
        ...

    def load_kernels(self, code: bytes | str, names: Sequence[str]) -> dict[str, Any]:
        """Kernels by their ``extern "C"`` names. bytes: PTX, cubin or fatbin; str: CUDA C++, compiled here."""
        ...

    def launch(self, kernel: Any, grid: Extent, block: Extent, *arguments: DeviceBuffer | np.generic) -> None:
        """Queue a kernel; numbers are numpy scalars, since their widths must be the kernel's. A struct is a scalar of an aligned dtype."""
        ...

    def record(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """What ``enqueue`` queues, as one call that queues it again: a CUDA graph where there are graphs, else ``enqueue`` itself.

        A graph freezes shapes and addresses. Run ``enqueue`` once before, since first runs allocate, which cannot be recorded.
        """
        ...

    def wait_for(self, stream: int) -> None:
        """What is queued from here on happens after all that is queued on another ``stream`` (a ``CUstream``) by now."""
        ...

    def device_of(self, address: int) -> int:
        """The number of the GPU that holds this memory; its own for what CUDA does not know, and with PyCUDA, which cannot ask."""
        ...

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        ...


def open_driver(name: str = "auto", device: int = 0) -> Driver:
    """The driver layer of GPU number ``device``; "auto" takes the first of ``DRIVERS`` that is installed.

    Raises ``MissingDependencyError`` where none is, and ``DeviceError`` where there is no usable GPU.
    """
    if name not in ("auto", *DRIVERS):
        raise OptionError(f"The CUDA driver layer {name!r} is unknown.{nearest(name, ['auto', *DRIVERS])}")
    if name != "pycuda":
        try:
            from sdk.cuda.with_cuda_bindings import CudaBindingsDriver
        except ImportError as error:
            if name != "auto":
                raise MissingDependencyError(
                    f"cuda-bindings cannot be imported ({error}). Install it: pip install cuda-bindings."
                ) from error
        else:
            return CudaBindingsDriver(device)
    try:
        from sdk.cuda.with_pycuda import PyCudaDriver
    except ImportError as error:
        if "libcuda" in str(error):  # PyCUDA is linked against the driver and does not even import without it
            raise no_gpu(error) from error
        missing = "Neither cuda-bindings nor pycuda can" if name == "auto" else "pycuda cannot"
        raise MissingDependencyError(
            f"{missing} be imported ({error}). Install 'inverse-halftoner[tensorrt]', which brings cuda-bindings, or "
            "'inverse-halftoner[pycuda]', which is compiled on this machine."
        ) from error
    return PyCudaDriver(device)


def no_gpu(reason: object) -> DeviceError:
    """The error of a machine without a usable NVIDIA GPU."""
    return DeviceError(
        f"No NVIDIA GPU can be used here ({reason}). Check with nvidia-smi that a GPU and its driver are there, or use device='cpu' "
        "with an .onnx model."
    )


def check_room(inside: int, outside: int) -> None:
    """A copy must fit: the driver would write past the end."""
    if inside > outside:
        raise DeviceError(f"A copy of {inside} bytes does not fit into {outside} bytes; allocate more.")
