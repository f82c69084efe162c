"""The pipeline on an NVIDIA GPU: its kernels against numpy, graphs, other libraries' arrays, threads and memory.

Without a GPU all are skipped; tests/sdk/test_cuda_kernels.py runs the same kernels by g++. No TensorRT is needed: the "network" is a
kernel that computes what ``soft`` computes in numpy, to the last bit.
"""

from __future__ import annotations

import gc
import weakref
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sdk.cuda.device_array import DeviceArray
from sdk.cuda.driver import DeviceBuffer, Driver, OutOfMemory
from sdk.cuda.pipeline import GpuPipeline
from sdk.errors import MissingDependencyError
from tests.sdk.kernel_cases import Case, reference
from tests.threads import in_threads

pytestmark = pytest.mark.gpu

SOFT = """
static __device__ float read(const void *tiles, long long at) {
    if (!HALF_IN) return ((const float *)tiles)[at];
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(((const unsigned short *)tiles)[at]));
    return value;
}
static __device__ float mixed(const void *tiles, long long plane, int height, int width, int y, int x) {
    const int below = y + 1 < height ? y + 1 : y;
    const float one = read(tiles, plane + (long long)below * width + x), other = read(tiles, plane + (long long)y * width + x);
    return __fadd_rn(__fmul_rn(one, 0.45f), __fmul_rn(other, 0.8f));
}
extern "C" __global__ void soft(const void *given, void *made, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    const long long plane = (long long)blockIdx.z * height * width, at = plane + (long long)y * width + x;
    const float left = mixed(given, plane, height, width, y, x > 0 ? x - 1 : 0);
    const float value = __fsub_rn(mixed(given, plane, height, width, y, x), __fmul_rn(left, 0.11f));
    if (!HALF_OUT) { ((float *)made)[at] = value; return; }
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    ((unsigned short *)made)[at] = half;
}
"""


class SoftEngine:
    """``soft`` as a ``TileEngine``."""

    def __init__(self, gpu: Driver, case: Case):
        self.gpu = gpu
        self.batch = case.batch
        self.planes = self.result_planes = case.planes
        self.dtypes = (np.dtype(np.float16 if case.half[0] else np.float32), np.dtype(np.float16 if case.half[1] else np.float32))
        self._smallest = (case.batch, case.tile, case.tile) if case.fixed else (1, 1, 1)
        code = f"#define HALF_IN {case.half[0]:d}\n#define HALF_OUT {case.half[1]:d}\n{SOFT}"
        try:
            with gpu:
                self._kernel = gpu.load_kernels(code, ["soft"])["soft"]
        except MissingDependencyError as error:
            pytest.skip(f"needs NVRTC: {error}")

    def shape_for(self, tiles: int, height: int, width: int) -> tuple[int, int, int, int]:
        n, h, w = (max(pair) for pair in zip((tiles, height, width), self._smallest))
        return n, self.planes, h, w

    def prepare(self, shape: tuple[int, int, int, int], source: int, target: int) -> int:
        return 0  # a kernel has no state

    def enqueue(self, shape: tuple[int, int, int, int], source: int, target: int) -> None:
        n, c, h, w = shape
        ends = np.uint64(source), np.uint64(target)
        self.gpu.launch(self._kernel, (-(-w // 128), h, n * c), (128, 1, 1), *ends, np.int32(h), np.int32(w))

    def recordable(self) -> bool:
        return True


def pipeline_for(gpu: Driver, case: Case) -> GpuPipeline:
    tiling = {"tile": case.tile, "overlap": case.overlap, "multiple": case.multiple}
    return GpuPipeline(SoftEngine(gpu, case), gpu, **tiling, threshold=case.threshold)


def run(gpu: Driver, pipeline: GpuPipeline, case: Case, picture: np.ndarray) -> np.ndarray:
    options: dict[str, Any] = {"unclipped": case.unclipped}
    given = picture
    if case.bits:
        given, options["bits_width"] = np.packbits(picture, axis=1), case.width
    if case.on_device:
        return pipeline.run(DeviceArray.from_host(gpu, given), **options).to_host()
    return pipeline.run(given, **options)


CASES = [
    Case(300, 417, dtype=np.bool_),
    Case(300, 417, bits=True, tile=128, overlap=20),
    Case(301, 200, dtype=np.uint8, channels=3, on_device=True),
    Case(301, 200, dtype=np.uint8, channels=3, planes=3, tile=96, overlap=31, multiple=1),
    Case(301, 200, dtype=np.uint16, channels=4, planes=3, half=(True, True), on_device=True),
    Case(129, 1000, dtype=np.uint16, planes=3, half=(True, False), tile=256, overlap=80),
    Case(129, 1000, dtype=np.float32, channels=4, unclipped=True),
    Case(129, 1000, dtype=np.float32, channels=3, half=(False, True), threshold=0.5, on_device=True),
    Case(30, 20, dtype=np.bool_, channels=4, fixed=True, tile=64),
    Case(1100, 1300, dtype=np.uint8, tile=256, overlap=80, batch=16),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pictures_come_out_as_by_numpy(gpu: Driver, case: Case) -> None:
    """To the last bit, plainly the first time and as a graph from the second on."""
    pipeline = pipeline_for(gpu, case)
    for seed in range(4):
        picture = case.picture(seed)
        np.testing.assert_array_equal(run(gpu, pipeline, case, picture), reference(picture, case)[0])
    if gpu.has_graphs:
        assert pipeline.records
    if gpu.has_graphs and not case.on_device:
        assert any(pipeline._graphs.values())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level(gpu: Driver, dtype: type) -> None:
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 16)
    case = Case(*levels.shape, dtype=dtype, tile=64, overlap=16, batch=64)
    np.testing.assert_array_equal(run(gpu, pipeline_for(gpu, case), case, levels), reference(levels, case)[0])


def test_grey_stored_as_rgb_stays_grey(gpu: Driver) -> None:
    case = Case(200, 300, channels=3)
    picture = np.repeat(Case(200, 300).picture()[..., None], 3, axis=-1)
    restored = run(gpu, pipeline_for(gpu, case), case, picture)
    np.testing.assert_array_equal(restored, reference(picture, case)[0])
    assert (restored == restored[..., :1]).all()


def test_memory_that_runs_out_halves_the_batch(gpu: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 tiles of 62.5 kB; beside all the rest there is room for five at once."""
    case = Case(500, 500, tile=125, overlap=0, multiple=1, batch=64)
    pipeline = pipeline_for(gpu, case)
    room = 16 * 62720 + 2 * 250_000 + 2 * 500 * 12 + 100 + 5 * 62500
    allocate, living = gpu.allocate, weakref.WeakSet[DeviceBuffer]()

    def tight(nbytes: int) -> DeviceBuffer:
        if nbytes > room - sum(buffer.nbytes for buffer in living):
            raise OutOfMemory(f"{nbytes} bytes")
        buffer = allocate(nbytes)
        living.add(buffer)
        return buffer

    monkeypatch.setattr(gpu, "allocate", tight)
    picture = case.picture()
    for _ in range(3):
        np.testing.assert_array_equal(run(gpu, pipeline, case, picture), reference(picture, case)[0])
        assert pipeline.batch == 4
    pipeline.release()
    assert not living


def test_two_threads(gpu: Driver) -> None:
    case = Case(300, 300)
    pipeline = pipeline_for(gpu, case)
    wrong: list[int] = []

    def work(seed: int) -> None:
        picture = case.picture(seed)
        expected = reference(picture, case)[0]
        for _ in range(50):
            if not np.array_equal(run(gpu, pipeline, case, picture), expected):
                wrong.append(seed)

    in_threads(work)
    assert not wrong


# Arrays of other libraries


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module = pytest.importorskip("torch", reason="torch is not installed")
    if not module.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return module


@pytest.mark.parametrize("view", ["as it is", "planes", "cut"])
def test_torch_tensors(gpu: Driver, torch: ModuleType, view: str) -> None:
    case = Case(200, 300, channels=3, planes=3, dtype=np.uint8)
    picture = case.picture()
    tensor = torch.from_numpy(picture).cuda()
    if view == "planes":
        tensor = tensor.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    elif view == "cut":
        tensor = torch.nn.functional.pad(tensor, (0, 0, 7, 9, 3, 5))[3:-5, 7:-9]
    restored = pipeline_for(gpu, case).run(tensor)
    assert isinstance(restored, DeviceArray)
    taken = torch.from_dlpack(restored)
    assert taken.data_ptr() == restored.__cuda_array_interface__["data"][0]
    by_interface = torch.as_tensor(restored, device="cuda")
    del restored
    gc.collect()
    for each in (taken, by_interface):
        np.testing.assert_array_equal(each.cpu().numpy(), reference(picture, case)[0])


def test_what_torch_is_still_computing_is_waited_for(gpu: Driver, torch: ModuleType) -> None:
    """The picture is written by a slow queue on a stream of torch's own."""
    case = Case(256, 256, dtype=np.float32)
    pipeline = pipeline_for(gpu, case)
    picture = case.picture()
    expected = reference(picture, case)[0]
    source = torch.from_numpy(picture).cuda()
    busy = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    for _ in range(5):
        with torch.cuda.stream(torch.cuda.Stream()):
            tensor = torch.zeros_like(source)
            for _ in range(20):
                busy = (busy @ busy).clamp(-1, 1)
            tensor.copy_(source + busy[0, 0] * 0)
            restored = pipeline.run(tensor)
        np.testing.assert_array_equal(restored.to_host(), expected)


def test_cupy_arrays(gpu: Driver) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    case = Case(100, 120, channels=3, planes=3, dtype=np.uint16)
    picture = case.picture()
    pipeline = pipeline_for(gpu, case)
    given = cupy.asarray(picture)
    for array in (given, cupy.ascontiguousarray(given[:, ::-1])[:, ::-1], OnlyInterface(given)):
        restored = pipeline.run(array)
        np.testing.assert_array_equal(cupy.asnumpy(cupy.from_dlpack(restored)), reference(picture, case)[0])
        np.testing.assert_array_equal(cupy.asnumpy(cupy.asarray(restored)), reference(picture, case)[0])


class OnlyInterface:
    """An array without DLPack."""

    def __init__(self, array: Any):
        self.array = array
        self.shape = array.shape
        self.__cuda_array_interface__ = array.__cuda_array_interface__
