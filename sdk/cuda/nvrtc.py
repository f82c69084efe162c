"""CUDA C++ -> machine code by NVRTC, NVIDIA's compiler as a library. It needs no GPU and no nvcc."""

from __future__ import annotations

from typing import Any

from sdk.errors import DeviceError, MissingDependencyError


def compile_cuda(source: str, compute_capability: tuple[int, int], name: str = "kernels.cu") -> bytes:
    """A cubin for GPUs of ``compute_capability``. Raises ``DeviceError`` with the compiler's log."""
    from cuda.bindings import nvrtc  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)

    def check(result: tuple[Any, ...]) -> Any:
        status, *values = result
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise DeviceError(f"NVRTC failed on {name} for compute capability {compute_capability} ({status.name}). {log()}")
        return values[0] if values else None

    program: Any = None

    def log() -> str:
        if program is None:
            return ""
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        text = b" " * size
        nvrtc.nvrtcGetProgramLog(program, text)
        return text.decode("utf-8", "replace").strip("\0 \n")

    try:
        program = check(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], []))
    except RuntimeError as error:
        if isinstance(error, DeviceError):
            raise
        raise MissingDependencyError(f"NVRTC cannot be loaded ({error}). Install it: pip install nvidia-cuda-nvrtc.") from error
    try:
        options = [f"--gpu-architecture=sm_{compute_capability[0]}{compute_capability[1]}".encode(), b"--std=c++17"]
        check(nvrtc.nvrtcCompileProgram(program, len(options), options))
        cubin = b" " * check(nvrtc.nvrtcGetCUBINSize(program))
        check(nvrtc.nvrtcGetCUBIN(program, cubin))
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return cubin
