"""Fixtures for engines and GPUs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdk.cuda.driver import Driver, open_driver
from sdk.errors import DeviceError, MissingDependencyError
from sdk.metadata import ModelMetadata

SMALL = ModelMetadata(
    name="small",
    task="inverse-halftoning",
    title="two convolutions for tests",
    paper="none",
    licence="Apache-2.0",
    training_data="none",
    size_multiple=8,
    tile=64,
    halo=4,
)


@pytest.fixture(scope="session")
def small_onnx() -> bytes:
    """A network of two convolutions as our exporter writes them: fp16 weights behind Casts, dynamic sizes, metadata."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(0)
    weights = {
        "first": rng.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float16),
        "second": rng.normal(0, 0.1, (1, 8, 3, 3)).astype(np.float16),
        "shift": np.array([0.25], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["first_fp16"], ["first"], to=1),
        helper.make_node("Cast", ["second_fp16"], ["second"], to=1),
        helper.make_node("Conv", ["halftone", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "shift"], ["contone"]),
    ]
    tensors = [numpy_helper.from_array(w, n if w.dtype == np.float32 else f"{n}_fp16") for n, w in weights.items()]
    shape = ["batch", 1, "8*rows", "8*columns"]
    ends = [helper.make_tensor_value_info(name, 1, shape) for name in ("halftone", "contone")]
    model = helper.make_model(
        helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    helper.set_model_props(model, SMALL.to_props())
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


BITS = replace(
    SMALL,
    name="bits",
    task="bit-depth-expansion",
    input_color="rgb",
    output_color="rgb",
    conditions=("bits",),
    size_multiple=32,
    kinds=("few-bit",),
)


@pytest.fixture(scope="session")
def bits_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One convolution from RGB and the plane of bits to RGB, which keeps to no quantisation interval: that is left to the SDK."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.normal(0.03, 0.1, (3, 4, 3, 3)).astype(np.float32), "kernel"),
        numpy_helper.from_array(np.array([0.1, 0.0, -0.1], np.float32), "shift"),
    ]
    ends = [
        helper.make_tensor_value_info(name, 1, ["batch", planes, "32*rows", "32*columns"]) for name, planes in (("few", 4), ("many", 3))
    ]
    node = helper.make_node("Conv", ["few", "kernel", "shift"], ["many"], pads=[1, 1, 1, 1])
    model = helper.make_model(
        helper.make_graph([node], "bits", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    helper.set_model_props(model, BITS.to_props())
    path = tmp_path_factory.mktemp("bits") / "bits.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def gpu() -> Driver:
    """The first GPU; skips the test where there is none."""
    try:
        return open_driver()
    except (DeviceError, MissingDependencyError) as error:
        pytest.skip(f"needs an NVIDIA GPU: {error}")


@pytest.fixture(scope="session")
def no_gpu() -> None:
    """Skips the test where there is a GPU."""
    try:
        open_driver()
    except DeviceError:
        return
    pytest.skip("there is a GPU here")


@pytest.fixture(scope="session")
def compile_c():
    """(source file, library to make) -> the library; skips the test where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (gcc) for stub libraries")

    def run(source: Path, library: Path) -> Path:
        library.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        return library

    return run
