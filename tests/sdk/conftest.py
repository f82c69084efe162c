"""Fixtures for pictures, the command line, engines and GPUs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdk import Halftoner, InverseHalftoner, catalog
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import metadata_of, releases
from sdk.cuda.driver import Driver, open_driver
from sdk.engines.build import BuildOptions, installed_flavours, known_gpus
from sdk.errors import DeviceError, MissingDependencyError
from sdk.images import to_unit
from sdk.metadata import ModelMetadata
from sdk.networks.noise import noise_field
from tests.conftest import SAMPLES
from tests.sdk.fake_tensorrt import fake_trt
from tests.sdk.host_gpu import library

__all__ = ["fake_trt", "library"]  # fixtures that are defined beside what they are made of

RTX = BuildOptions(flavour="tensorrt-rtx")
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def dots(white: np.ndarray, request: pytest.FixtureRequest) -> np.ndarray:
    """bool 64x64 of the sample; a module that wants another side has it as its SIDE."""
    side = getattr(request.module, "SIDE", 64)
    return white[200 : 200 + side, 300 : 300 + side].copy()


@pytest.fixture(scope="module")
def colour_dots(white: np.ndarray) -> np.ndarray:
    """bool 64x64x3, another part of the sample in each channel."""
    return np.stack([white[y : y + 64, 300:364] for y in (100, 200, 300)], axis=-1)


@pytest.fixture(scope="module")
def colour(photo: np.ndarray) -> np.ndarray:
    """uint8 512x768x3: the grey photograph in false, smooth colours."""
    warm = np.linspace(0.5, 1, photo.shape[1])
    return np.stack([photo, photo * warm, 255 - photo * warm[::-1]], axis=-1).astype(np.uint8)


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


NOISY = replace(SMALL, name="noisy", needs_noise=True, num_inference_steps=2, kinds=("dither",))
DOTS = replace(NOISY, name="dots", task="halftoning", kinds=())


@pytest.fixture(scope="session")
def two_plane_onnx(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModelMetadata, float], Path]:
    """(metadata, strength) -> a network that adds to the picture, blurred, so much of the noise, sharpened, and clips to [0, 1]."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    folder = tmp_path_factory.mktemp("two_planes")

    def make(metadata: ModelMetadata, strength: float) -> Path:
        kernel = np.full((1, metadata.input_planes, 3, 3), 1 / 9, np.float32)
        if metadata.needs_noise:
            kernel[0, -1] = strength * np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 20**0.5
        tensors = [numpy_helper.from_array(kernel, "kernel")]
        tensors += [numpy_helper.from_array(np.array(level, np.float32), name) for name, level in (("black", 0), ("white", 1))]
        nodes = [
            helper.make_node("Conv", ["halftone", "kernel"], ["sum"], pads=[1, 1, 1, 1]),
            helper.make_node("Clip", ["sum", "black", "white"], ["out"]),
        ]
        ends = [
            helper.make_tensor_value_info(name, 1, ["batch", planes, "8*rows", "8*columns"])
            for name, planes in (("halftone", metadata.input_planes), ("out", 1))
        ]
        graph = helper.make_graph(nodes, metadata.name, ends[:1], ends[1:], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, metadata.to_props())
        path = folder / f"{metadata.name}.onnx"
        onnx.save(model, str(path))
        return path

    return make


@pytest.fixture(scope="session")
def noisy_onnx(two_plane_onnx: Callable[[ModelMetadata, float], Path]) -> Path:
    """Restores by a blur, and a little of the noise shows."""
    return two_plane_onnx(NOISY, 0.05)


@pytest.fixture(scope="session")
def dots_onnx(two_plane_onnx: Callable[[ModelMetadata, float], Path]) -> Path:
    """Halftones by thresholds that are noise."""
    return two_plane_onnx(DOTS, 0.3)


class StandIn(TensorRtBackend):
    """TensorRT's place, onnxruntime's work."""

    tile = None  # type: ignore[assignment]

    def __init__(self, model: Path):
        self._onnxruntime = OnnxRuntimeBackend(model.read_bytes(), "cpu")
        self.name, self.device, self.precision = "tensorrt", "cuda (stand-in)", "fp32"
        self.metadata = self._onnxruntime.metadata

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self._onnxruntime.run(batch)


def network_on_whole(model: Path, pixels: np.ndarray, seed: int, channel: int = 0) -> np.ndarray:
    """float32 HxW: what a network of two planes makes of a picture and the field of noise of its padded size, without tiles."""
    height, width = pixels.shape
    padded = np.pad(to_unit(pixels), ((0, -height % 8), (0, -width % 8)), mode="symmetric")
    planes = np.stack([padded, noise_field(seed, channel, *padded.shape)])[None]
    return OnnxRuntimeBackend(model.read_bytes(), "cpu").run(planes)[0, 0, :height, :width]


@pytest.fixture
def catalog_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Called with ONNX files, makes the catalog list ``fast`` and these, each under its own name; afterwards it is the true one."""
    folder = tmp_path / "catalog"
    folder.mkdir()

    def make(*paths: Path) -> None:
        rows = []
        for path in (releases()["fast"].path, *paths):
            metadata = metadata_of(path)
            digest = hashlib.sha256(Path(shutil.copy(path, folder)).read_bytes()).hexdigest()
            rows.append(f'[{metadata.name}]\nfile = "{path.name}"\nsha256 = "{digest}"\nkinds = {list(metadata.kinds)}')
            rows.append(f'input_color = "{metadata.input_color}"')
            rows.append('summary = "for tests"\nlicence = "Apache-2.0"\nmetrics = {}\n')
        (folder / "models.toml").write_text("\n".join(rows), encoding="utf-8")
        monkeypatch.setattr(catalog, "FOLDER", folder)
        releases.cache_clear()

    yield make
    releases.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test of a module that uses it touches the user's cache."""
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture(scope="session")
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx wheel (pip install tensorrt-rtx)")


@pytest.fixture(scope="session")
def gpu() -> Driver:
    """The first GPU; skips the test where there is none."""
    try:
        return open_driver()
    except (DeviceError, MissingDependencyError) as error:
        pytest.skip(f"needs an NVIDIA GPU: {error}")


def flavours_for(gpu: Driver) -> list[str]:
    """The flavours of TensorRT that are installed and run on this GPU, the preferred one first."""
    here = "{}.{}".format(*gpu.compute_capability)
    return [flavour for flavour in installed_flavours() if flavour == "tensorrt" or here in known_gpus(flavour)]


def skip_without(precision: str, gpu: Driver) -> None:
    """Turing computes in no bf16."""
    if precision == "bf16" and gpu.compute_capability < (8, 0):
        pytest.skip(f"{gpu.device_name} has no bf16")


@pytest.fixture(scope="session")
def no_gpu() -> None:
    """Skips the test where there is a GPU."""
    try:
        open_driver()
    except (DeviceError, MissingDependencyError):
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


@pytest.fixture(scope="session")
def clean_photo() -> np.ndarray:
    """uint8 160x192, made by `fast` itself, which so restores its halftones well."""
    return InverseHalftoner("fast").run(SAMPLES / "kodim23_floyd-steinberg.png")[100:260, 200:392]


@pytest.fixture(scope="session")
def clean_dots(clean_photo: np.ndarray) -> np.ndarray:
    return Halftoner("floyd-steinberg").run(clean_photo)
