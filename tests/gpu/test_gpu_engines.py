"""The pipeline around engines of TensorRT, on an NVIDIA GPU."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import sdk
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import releases
from sdk.cuda.device_array import DeviceArray
from sdk.cuda.driver import Driver
from sdk.cuda.pipeline import GpuPipeline
from sdk.engines.build import BuildOptions, build_engine
from sdk.images import from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.tiling import infer_tiled
from tests.sdk.conftest import flavours_for, skip_without
from tests.threads import in_threads

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=["tensorrt", "tensorrt-rtx"])
def flavour(gpu: Driver, request: pytest.FixtureRequest) -> str:
    if request.param not in flavours_for(gpu):
        pytest.skip(f"{request.param} is not installed, or not made for {gpu.device_name}")
    return request.param


def backend_for(gpu: Driver, flavour: str, precision: str = "fp32", tile: int = 256, batch: int = 4) -> TensorRtBackend:
    """``fast`` as an engine."""
    options = BuildOptions(
        flavour=flavour, precision=precision, tile=tile, batch=batch, compute_capability="{}.{}".format(*gpu.compute_capability)
    )
    return TensorRtBackend(build_engine(releases()["fast"].path.read_bytes(), options), gpu)


def pipeline_of(backend: TensorRtBackend, threshold: float | None = None) -> GpuPipeline:
    metadata = ModelMetadata.from_props(backend.metadata, "fast")
    return GpuPipeline(backend, backend.driver, tile=256, overlap=2 * metadata.halo, multiple=metadata.size_multiple, threshold=threshold)


def halftone(shape: tuple[int, ...] = (500, 700), seed: int = 0) -> np.ndarray:
    """bool: a smooth picture against a random threshold."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    tone = 0.5 + 0.4 * np.sin(x / 40 + seed) * np.cos(y / 60)
    return np.random.default_rng(seed).random(shape) < tone.reshape(tone.shape + (1,) * (len(shape) - 2))


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """Levels, at most."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    return int(np.abs(one.astype(np.int32) - other.astype(np.int32)).max())


@pytest.mark.parametrize(("precision", "levels"), [("fp32", 1), ("fp16", 3), ("bf16", 16)])
def test_engine_equals_onnx(gpu: Driver, flavour: str, precision: str, levels: int) -> None:
    """A whole picture, against the same model on the CPU: onnxruntime, numpy tiles."""
    skip_without(precision, gpu)
    pipeline = pipeline_of(backend_for(gpu, flavour, precision))
    restorer = sdk.InverseHalftoner("fast", device="cpu", tile=256, method="unknown")
    for picture in (halftone(), halftone((300, 260, 3)), from_unit(to_unit(halftone((40, 50))), np.uint8)):
        assert apart(pipeline.run(picture), restorer.run(picture)) <= levels


def test_gpu_memory_equals_host_memory(gpu: Driver, flavour: str) -> None:
    """The same engine, one tile at a time, from ``run`` with numpy around it and from the pipeline."""
    backend = backend_for(gpu, flavour, "fp16", batch=1)
    metadata = ModelMetadata.from_props(backend.metadata, "fast")
    picture = halftone()

    def infer(part: np.ndarray) -> np.ndarray:
        return backend.run(np.concatenate([to_unit(part), np.zeros(part.shape, np.float32)], axis=1))  # of no known method

    by_host = infer_tiled(picture, infer, 256, 2 * metadata.halo, metadata.size_multiple)
    assert apart(pipeline_of(backend).run(picture), from_unit(by_host, np.uint8)) == 0


def test_graph_replays_equal_plain_runs(gpu: Driver, flavour: str) -> None:
    backend = backend_for(gpu, flavour, "fp16")  # for both: no two builds are alike
    pipeline, plain = pipeline_of(backend), pipeline_of(backend)
    plain.records = False
    pictures = [halftone(shape, seed) for shape in ((500, 700), (200, 260), (500, 700)) for seed in range(3)]
    expected = [plain.run(picture) for picture in pictures]
    for picture, right in zip(pictures, expected):
        assert apart(pipeline.run(picture), right) == 0
    for picture, right in zip(pictures[::4], expected[::4]):  # each of another shape than the one before
        assert apart(pipeline.run(picture), right) == 0
    pipeline.run(pictures[-1])
    pipeline.run(pictures[-1])
    if gpu.has_graphs:
        assert pipeline.records
        assert any(pipeline._graphs.values())


def test_engine_in_two_threads(gpu: Driver, flavour: str) -> None:
    """One through the pipeline, one through the backend itself: one context, which the driver's holder uses."""
    backend = backend_for(gpu, flavour)
    pipeline = pipeline_of(backend)
    picture, tile = halftone(), np.zeros((1, 2, 128, 128), np.float32)
    tile[:, 0] = halftone((128, 128))
    expected = pipeline.run(picture), backend.run(tile)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if number == 0 and apart(pipeline.run(picture), expected[0]) > 1:
                wrong.append(0)
            if number == 1 and np.abs(backend.run(tile) - expected[1]).max() > 1e-3:
                wrong.append(1)

    in_threads(work)
    assert not wrong


def test_methods_are_told_from_what_the_gpu_counts(gpu: Driver, flavour: str) -> None:
    """Through the SDK: the same name as on the CPU, and another result than without one."""
    backend = backend_for(gpu, flavour)
    photo = from_unit(halftone((300, 260)).astype(np.float32) * 0.2 + 0.4, np.uint8)
    white = sdk.Halftoner("sierra").run(cv2.GaussianBlur(photo, (0, 0), 3))
    told, blind = (sdk.InverseHalftoner(backend, tile=256, method=method).run(white) for method in (None, "unknown"))
    expected = sdk.InverseHalftoner("fast", device="cpu", tile=256).run(white)
    assert apart(told, expected) <= 1
    assert apart(blind, expected) > 1
    on_gpu = sdk.InverseHalftoner(backend, tile=256).run(DeviceArray.from_host(gpu, white))
    assert apart(on_gpu.to_host(), told) == 0


def test_device_arrays_through_an_engine(gpu: Driver, flavour: str) -> None:
    pipeline = pipeline_of(backend_for(gpu, flavour), threshold=0.5)
    picture = from_unit(to_unit(halftone((300, 260, 3))), np.uint8)
    restored = pipeline.run(DeviceArray.from_host(gpu, picture))
    assert apart(restored.to_host(), pipeline.run(picture)) == 0
