"""The driver layers: on a libcuda made of malloc and memcpy, and on a GPU where there is one."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdk.cuda.driver import DRIVERS, Driver, open_driver
from sdk.errors import DeviceError, MissingDependencyError, OptionError

HERE = Path(__file__).parent
KERNEL = 'extern "C" __global__ void negate(float *v, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) v[i] = -v[i]; }'


def needs(layer: str) -> None:
    if importlib.util.find_spec({"cuda-bindings": "cuda", "pycuda": "pycuda"}[layer]) is None:
        pytest.skip(f"{layer} is not installed (pip install {layer})")


def linked_by_pycuda() -> set[str]:
    """All functions of libcuda that PyCUDA wants to find there, called or not."""
    spec = importlib.util.find_spec("pycuda")
    assert spec is not None
    assert spec.origin is not None
    binary = next(Path(spec.origin).parent.glob("_driver*.so")).read_bytes()
    return {name.decode() for name in re.findall(rb"\0(cu[A-Z]\w+)(?=\0)", binary)}


def run_contract(layer: str, **environment: str) -> None:
    """In a process of its own: a library once loaded stays, and no other test may find the fake one."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(HERE / "driver_contract.py")]
    environment = {**os.environ, "DRIVER": layer, **environment}
    result = subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "passed" in result.stdout
    assert "skipped" not in result.stdout


@pytest.mark.parametrize("layer", DRIVERS)
@pytest.mark.skipif(sys.platform != "linux", reason="the fake libcuda is for Linux")
def test_contract_on_a_fake_libcuda(layer: str, compile_c, tmp_path: Path) -> None:
    needs(layer)
    source = tmp_path / "fake_cuda.c"
    code = (HERE / "fake_cuda.c").read_text(encoding="utf-8")
    if layer == "pycuda":
        code += "\n".join(f"CUresult {name}(void) {{ return 801; }}" for name in linked_by_pycuda() if f" {name}(" not in code)
    source.write_text(code, encoding="utf-8")
    library = compile_c(source, tmp_path / "libcuda.so.1")
    run_contract(layer, LD_LIBRARY_PATH=f"{library.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}")


def test_pycuda_frees_in_whatever_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in, which as PyCUDA frees only in threads where the context is current, and says nothing elsewhere."""
    current, living = threading.local(), set()

    def push() -> None:
        current.depth = getattr(current, "depth", 0) + 1

    def pop() -> None:
        current.depth -= 1

    class Thing:
        handle = 7

        def __init__(self, size: int):
            self.memory = np.empty(size, np.uint8)
            living.add(id(self))

        def free(self) -> None:
            if getattr(current, "depth", 0):
                living.discard(id(self))

        __del__ = free

        def __int__(self) -> int:
            return self.memory.ctypes.data

    class Pagelocked(np.ndarray):
        base: Any = None

    def pagelocked_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        thing = Thing(int(np.prod(shape)) * dtype.itemsize)
        array = thing.memory.view(dtype).reshape(shape).view(Pagelocked)
        array.base = thing
        return array

    found = SimpleNamespace(
        retain_primary_context=lambda: SimpleNamespace(push=push), name=lambda: "Fake GPU", compute_capability=lambda: (8, 7)
    )
    cuda = SimpleNamespace(
        init=lambda: None,
        Device=lambda number: found,
        Context=SimpleNamespace(pop=pop),
        Stream=Thing,
        mem_alloc=Thing,
        pagelocked_empty=pagelocked_empty,
        Error=RuntimeError,
        MemoryError=MemoryError,
        CompileError=RuntimeError,
    )
    monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(VERSION_TEXT="0", driver=cuda))
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    monkeypatch.setitem(sys.modules, "sdk.cuda.with_pycuda", None)  # so that it is forgotten afterwards
    del sys.modules["sdk.cuda.with_pycuda"]
    driver: Any = open_driver("pycuda")
    with driver:
        kept = [driver.allocate(16), driver.pinned((3, 5), np.float32)]
    kept[1][...] = 1
    kept[1] = kept[1][1:]  # the last view counts
    assert (kept[1].shape, kept[1].dtype, len(living)) == ((2, 5), np.float32, 3)
    for holder in (kept, [driver]):
        thread = threading.Thread(target=holder.clear)
        if holder is not kept:
            del driver
        thread.start()
        thread.join(10)
    gc.collect()
    assert not living


@pytest.mark.gpu
@pytest.mark.parametrize("layer", DRIVERS)
def test_contract_on_the_gpu(layer: str, gpu: Driver) -> None:
    needs(layer)
    run_contract(layer)


@pytest.mark.gpu
def test_text_is_compiled_for_the_gpu_at_hand(gpu: Driver) -> None:
    with gpu:
        try:
            assert set(gpu.load_kernels(KERNEL, ["negate"])) == {"negate"}
        except MissingDependencyError as error:
            pytest.skip(str(error))


def test_without_a_gpu_the_error_says_what_to_do(no_gpu: None) -> None:
    with pytest.raises(DeviceError, match=r"No NVIDIA GPU can be used here .*nvidia-smi.*device='cpu'"):
        open_driver()


def test_unknown_layer() -> None:
    with pytest.raises(OptionError, match="Known: auto, cuda-bindings, pycuda"):
        open_driver("opencl")


@pytest.mark.parametrize("name", ["auto", *DRIVERS])
def test_nothing_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cuda", "cuda.bindings", "pycuda", "pycuda.driver", "sdk.cuda.with_cuda_bindings", "sdk.cuda.with_pycuda"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install|Install 'inverse-halftoner"):
        open_driver(name)


def test_nvrtc_compiles_without_a_gpu() -> None:
    needs("cuda-bindings")
    from sdk.cuda.nvrtc import compile_cuda

    try:
        cubin = compile_cuda(KERNEL, (9, 0))
    except MissingDependencyError as error:
        pytest.skip(f"{error}")
    assert cubin.startswith(b"\x7fELF")
    assert b"negate" in cubin
    with pytest.raises(DeviceError, match=r"kernels\.cu\(1\): error"):
        compile_cuda("nonsense", (9, 0))
