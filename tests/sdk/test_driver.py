"""The driver layers: on a libcuda made of malloc and memcpy, and on a GPU where there is one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

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
