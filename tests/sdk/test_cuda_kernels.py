"""``kernels.cu``: compiled by g++, against numpy; and by NVIDIA's compilers. What needs a GPU is in tests/gpu."""

from __future__ import annotations

import ctypes
import gc
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdk.analysis.methods import TABLE, count_patterns
from sdk.catalog import tomllib
from sdk.cuda import kernels
from sdk.cuda.gather import gather_axis
from sdk.cuda.kernels import ARCHITECTURES, JOB, NAMES, build_fatbin, prebuilt_path
from sdk.errors import DeviceError, MissingDependencyError
from sdk.images import from_unit, to_unit
from sdk.tiling import spans
from tests.conftest import ROOT
from tests.sdk.host_gpu import HostGpu
from tests.sdk.kernel_cases import Case, cases, picture_of, reference

# By g++


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 99))
@example(Case(9, 8, multiple=8, tile=16, overlap=0), 0)  # padded by nearly its own height
@example(Case(48, 48, multiple=8, tile=32, overlap=10), 0)  # a pixel that lies in three tiles
@example(Case(8, 8, multiple=1, tile=48, fixed=True, channels=4, dtype=np.bool_, planes=3), 0)
def test_pictures_come_out_as_by_numpy(library: ctypes.CDLL, case: Case, seed: int) -> None:
    """To the last bit, from all kinds to all kinds; and the network sees the very same tiles."""
    gpu = HostGpu(library)
    engine = case.engine(gpu)
    picture = case.picture(seed)
    expected, tiles = reference(picture, case)
    pipeline = case.pipeline(engine)
    restored = case.run(pipeline, picture)
    assert restored.dtype == expected.dtype
    np.testing.assert_array_equal(restored, expected)
    assert len(engine.seen) >= len(tiles)
    np.testing.assert_array_equal(engine.seen[: len(tiles)], tiles)
    assert len(set(engine.shapes)) == 1
    pipeline.release()
    gc.collect()
    assert gpu.allocated == 0
    assert "written outside" not in gpu.done


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_every_level(library: ctypes.CDLL, dtype: type, threshold: float | None) -> None:
    """0.2 is a level itself, of 8 bits and of 16."""
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 16)
    case = Case(*levels.shape, dtype=dtype, tile=64, overlap=16, threshold=threshold, batch=64)
    expected, _ = reference(levels, case, lambda x: x)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: x)), levels)
    np.testing.assert_array_equal(restored, expected)
    if threshold is None:
        np.testing.assert_array_equal(restored, levels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_rounding_at_every_half_and_beside_it(library: ctypes.CDLL, dtype: type) -> None:
    """A network that answers exactly between two levels, and one float to either side."""
    white = 65535 if dtype == np.uint16 else 255
    halves = ((np.arange(white + 1) - 0.5) / white).astype(np.float32)
    answers = np.concatenate([np.nextafter(halves, np.float32(-1)), halves, np.nextafter(halves, np.float32(2))])
    answers = np.concatenate([answers, np.float32([-3, 1.5, 1e30, -1e30, np.inf, -np.inf])])
    answers = np.resize(answers, -(-answers.size // 512) * 512).reshape(1, 1, -1, 64)
    case = Case(*answers.shape[2:], dtype=dtype, tile=4096, overlap=0)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: answers)), np.zeros(answers.shape[2:], dtype))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(restored, from_unit(answers[0, 0], dtype))


def test_halves_are_numpys(library: ctypes.CDLL) -> None:
    """Every half that is a number, out of the engine and into it."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32).reshape(256, 256)
    halves = np.where(np.isfinite(halves), halves, 0)
    case = Case(256, 256, dtype=np.float32, tile=256, overlap=0, half=(True, True), unclipped=True)
    restored = case.run(case.pipeline(case.engine(HostGpu(library), lambda x: x)), halves)
    np.testing.assert_array_equal(restored, halves)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 99))
@example(Case(700, 3100, dtype=np.bool_, tile=256, overlap=32, condition=0.0), 0)  # so large that not all bands of rows are looked at
def test_patterns_are_counted_as_by_numpy(library: ctypes.CDLL, case: Case, seed: int) -> None:
    """But those of plain surroundings, which are left out."""
    case, told = replace(case, condition=0.0), []
    picture = case.picture(seed)
    given: Any = np.packbits(picture, axis=1) if case.bits else picture
    width = {"bits_width": case.width} if case.bits else {}
    case.pipeline(case.engine(HostGpu(library))).run(given, **width, condition=lambda counts: told.append(counts.copy()) or 0.0)
    pixels = picture if picture.ndim == 2 else picture[..., 0] if picture.shape[2] == 1 else picture[..., :3]
    white = to_unit(pixels) > (0.5 if case.threshold is None else case.threshold)
    expected = np.sum([count_patterns(plane) for plane in np.moveaxis(np.atleast_3d(white), -1, 0)], axis=0)
    expected.reshape(-1, 2)[[0, -1]] = 0
    np.testing.assert_array_equal(told, [expected])


@pytest.mark.parametrize("planes", [1, 3])
def test_patterns_of_grey_stored_as_rgb_are_counted_once(library: ctypes.CDLL, planes: int) -> None:
    case, told = Case(40, 60, channels=3, planes=planes, condition=0.0), []
    grey = picture_of((40, 60), np.bool_, 0)
    pipeline = case.pipeline(case.engine(HostGpu(library)))
    pipeline.run(np.repeat(grey[..., None], 3, axis=2), condition=lambda counts: told.append(counts.copy()) or 0.0)
    expected = count_patterns(grey)
    expected.reshape(-1, 2)[[0, -1]] = 0
    np.testing.assert_array_equal(told, [expected])


def test_structs_are_of_one_size(library: ctypes.CDLL) -> None:
    assert library.size_of_job() == JOB.itemsize


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_gather_gives_the_weights_of_the_tiles(data: st.DataObject) -> None:
    """For everything that ``spans`` promises to work for, at most two neighbours count in a pixel, and by its own weights."""
    multiple = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    tile = multiple * data.draw(st.integers(1, 16))
    overlap = data.draw(st.integers(0, min(tile // 3, tile - multiple)))
    length = data.draw(st.integers(1, 900))
    tiles = spans(length + -length % multiple, tile, overlap, multiple)
    expected = np.zeros((len(tiles) + 1, length), np.float32)
    for weights, span in zip(expected, tiles):
        weights[span.start : span.slice.stop] = span.weights[: length - span.start]
    axis = gather_axis(length, tile, overlap, multiple)
    found = np.zeros_like(expected)
    for i in (1, 0):
        found[axis.first + i, np.arange(length)] = axis.weights[:, i]
    np.testing.assert_array_equal(found, expected)
    assert axis.starts.tolist() == [span.start for span in tiles]


# By NVIDIA's compilers


@pytest.mark.slow
def test_nvcc_compiles_for_all_gpus_without_spills(tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed (CUDA toolkit)")
    report = build_fatbin(tmp_path / "kernels.fatbin")
    used = re.findall(r"entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", report, re.DOTALL)
    assert {(name, int(arch)) for name, arch, _, _ in used} == {(name, 10 * a + b) for name in NAMES for a, b in ARCHITECTURES}
    for name, arch, spilled, registers in used:
        assert int(spilled) == 0, (name, arch)
        assert int(registers) <= 64, (name, arch)  # blocks of 256 threads: four of them on a multiprocessor at the least
    assert (tmp_path / "kernels.fatbin").stat().st_size < 1 << 20


def test_nothing_is_fused_or_flushed(tmp_path: Path) -> None:
    """In the PTX all arithmetic carries its rounding, which ptxas then may not fuse; divisions are exact, subnormals are kept."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed (CUDA toolkit)")
    ptx = tmp_path / "kernels.ptx"
    subprocess.run(["nvcc", "-std=c++17", "-ptx", "-arch=compute_75", "-o", str(ptx), str(kernels.SOURCE)], check=True, capture_output=True)
    used = set(re.findall(r"\b((?:fma|mad|add|sub|mul|div)\.[\w.]*f32)", ptx.read_text(encoding="utf-8")))
    assert used == {"add.rn.f32", "mul.rn.f32", "div.rn.f32"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_for_every_gpu(architecture: tuple[int, int]) -> None:
    """Without a GPU and without CUDA's headers, as on a user's machine."""
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    from sdk.cuda.nvrtc import compile_cuda

    cubin = compile_cuda(kernels.SOURCE.read_text(encoding="utf-8"), architecture)
    assert cubin.startswith(b"\x7fELF")
    assert all(name.encode() in cubin for name in kernels.NAMES)


def test_prebuilt_kernels_are_taken_where_they_fit(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded: list[bytes | str] = []
    gpu = HostGpu(library)
    monkeypatch.setattr(gpu, "load_kernels", lambda code, names: loaded.append(code))
    monkeypatch.setattr(kernels, "_loaded", {})
    monkeypatch.setattr(kernels, "SOURCE", tmp_path / "kernels.cu")
    kernels.SOURCE.write_text("// one", encoding="utf-8")
    prebuilt_path().write_bytes(b"built of one")
    kernels.Kernels(gpu)
    kernels.SOURCE.write_text("// two", encoding="utf-8")
    for _ in range(3):  # and only once
        kernels.Kernels(gpu)
    assert loaded == [b"built of one", "// two"]


def test_nvcc_that_is_not_there_or_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependencyError, match="CUDA toolkit"):
        build_fatbin(tmp_path / "kernels.fatbin")
    monkeypatch.setattr(shutil, "which", lambda name: "false")
    with pytest.raises(DeviceError, match=r"nvcc failed on kernels\.cu"):
        build_fatbin(tmp_path / "kernels.fatbin")


def test_the_wheel_holds_the_kernels_and_the_table_of_methods() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "sdk.cuda" in tools["packages"]
    assert any(kernels.SOURCE.match(pattern) for pattern in tools["package-data"]["sdk"])
    assert any(prebuilt_path().match(pattern) for pattern in tools["package-data"]["sdk"])
    assert any(TABLE.match(pattern) for pattern in tools["package-data"]["sdk"])
