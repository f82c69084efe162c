"""Building engines. TensorRT-RTX builds for real, on any x86 machine."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sdk
from sdk.catalog import releases
from sdk.cli import main
from sdk.cli.engines import progress_line
from sdk.cuda.driver import open_driver
from sdk.engines import build as engines
from sdk.engines.build import BuildOptions, build_engine, describe_build, installed_flavours
from sdk.engines.file import Engine, EngineHeader, read_engine, write_engine
from sdk.errors import DeviceError, EngineBuildError, MissingDependencyError, ModelError, OptionError
from sdk.metadata import ModelMetadata
from tests.sdk.conftest import RTX

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def engine(rtx: None, small_onnx: bytes) -> Engine:
    return build_engine(small_onnx, RTX, where="small.onnx")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", sorted(releases()))
def test_every_released_model_builds(rtx: None, name: str, precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = releases()[name]
    engine = build_engine(release.path.read_bytes(), dataclasses.replace(RTX, precision=precision, tile=256), where=name)
    write_engine(tmp_path / "x.engine", engine)
    assert main(["info", str(tmp_path / "x.engine")]) == 0
    told = capsys.readouterr().out
    assert f"name: {engine.header.name}\n" in told
    assert f"flavour: {engine.header.flavour}\n" in told
    header = read_engine(tmp_path / "x.engine").header
    assert header.onnx_sha256 == release.sha256
    assert ModelMetadata.from_props(header.metadata, name).name == header.name == name
    assert (header.flavour, header.compute_capability, header.precision) == ("tensorrt-rtx", "any", precision)
    assert header.shapes is not None
    assert header.shapes[2][2:] == (256, 256)
    weights = 2 if precision == "fp16" else 4
    # a sampler's embedding of its times, of `cdh` a twentieth of the parameters, is folded away
    assert len(engine.plan) > 0.93 * weights * ModelMetadata.from_props(header.metadata, name).parameters


def test_bf16_and_fixed_shapes(rtx: None, small_onnx: bytes) -> None:
    wanted = dataclasses.replace(RTX, precision="bf16", tile=128, batch=3, fixed=True, optimization_level=1)
    header = build_engine(small_onnx, wanted).header
    assert header.shapes == ((3, 1, 128, 128),) * 3
    assert (header.precision, header.compute_capability, header.options) == ("bf16", "any", {"optimization_level": 1})


def test_conditions_are_planes_of_the_input(rtx: None, bits_onnx: Path) -> None:
    header = build_engine(bits_onnx.read_bytes(), dataclasses.replace(RTX, precision="fp32", tile=64)).header
    assert header.shapes == ((1, 4, 32, 32), (1, 4, 64, 64), (1, 4, 64, 64))


def test_for_turing_only(rtx: None, small_onnx: bytes) -> None:
    assert build_engine(small_onnx, dataclasses.replace(RTX, compute_capability="7.5")).header.compute_capability == "7.5"


def test_shapes_and_workspace_by_default(engine: Engine, small_onnx: bytes) -> None:
    assert engine.header.shapes == ((1, 1, 8, 8), (1, 1, 64, 64), (1, 1, 64, 64))
    assert engine.header.options == {}
    limited = build_engine(small_onnx, dataclasses.replace(RTX, workspace_mib=64))
    assert limited.header.options == {"workspace_mib": 64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "fp8.*Known: bf16, fp16, fp32"),
        ({"tile": 100}, "at least 64 and a multiple of 8"),
        ({"tile": 32}, "at least 64"),
        ({"batch": 0}, "1 or more"),
        ({"workspace_mib": 0}, "1 or more"),
        ({"optimization_level": 6}, r"0\.\.5"),
        ({"flavour": "tensorflow"}, "Did you mean"),
        ({"compute_capability": "9.0"}, r"does not know .*9\.0.*Known: 12\.0.*--flavour tensorrt\b"),
    ],
)
def test_options_out_of_range(rtx: None, small_onnx: bytes, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_engine(small_onnx, dataclasses.replace(RTX, **options))


def test_the_parsers_words_are_in_the_error(rtx: None, small_onnx: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_onnx)
    model.graph.node[3].op_type = "Relux"
    with pytest.raises(EngineBuildError, match=r"cannot read small\.onnx: .*Relux"):
        build_engine(model.SerializeToString(), RTX, where="small.onnx")


def test_the_builders_words_are_in_the_error(rtx: None, small_onnx: bytes) -> None:
    with pytest.raises(EngineBuildError, match=r"could not build small\.onnx in bf16 .*TensorRT's log: .*sm75.*b16"):  # Turing has no bf16
        build_engine(small_onnx, dataclasses.replace(RTX, precision="bf16", compute_capability="7.5"), where="small.onnx")


def test_metadata_that_does_not_fit_the_graph(rtx: None, small_onnx: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_onnx)
    onnx.helper.set_model_props(model, {**{p.key: p.value for p in model.metadata_props}, "input_color": '"rgb"'})
    with pytest.raises(EngineBuildError, match="profile has min=3, opt=3, max=3 but tensor has 1"):
        build_engine(model.SerializeToString(), RTX)


def test_a_file_that_is_no_model_of_ours(rtx: None, small_onnx: bytes) -> None:
    with pytest.raises(ModelError, match="no ONNX file"):
        build_engine(b"nonsense", RTX, where="x.onnx")


def test_progress_goes_from_nothing_to_all(rtx: None, small_onnx: bytes, capsys: pytest.CaptureFixture) -> None:
    calls: list[tuple[str, int, int]] = []
    show = progress_line()

    def on_progress(phase: str, done: int, total: int) -> None:
        calls.append((phase, done, total))
        show(phase, done, total)

    build_engine(small_onnx, RTX, on_progress=on_progress)
    assert len(calls) > 5
    assert all(0 <= done <= total for _, done, total in calls)
    outermost = [done / total for phase, done, total in calls if phase == calls[0][0]]
    assert (outermost[0], outermost[-1]) == (0, 1)
    bar = capsys.readouterr().err
    assert "[####" in bar
    assert bar.endswith(" \r")


def test_an_exception_in_on_progress_stops_the_build(rtx: None, small_onnx: bytes) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(small_onnx, RTX, on_progress=stop)


class FakeTimingConfig:
    """Takes caches of its own GPU alone, where it is asked to look."""

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content) if content != b"damaged" else None

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        return ignore_mismatch or cache.content in (b"", b"of this GPU")


@pytest.mark.parametrize(("stored", "taken"), [(b"of this GPU", b"of this GPU"), (b"of another GPU", b""), (b"damaged", b""), (None, b"")])
def test_timing_cache(stored: bytes | None, taken: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.timing"
    if stored is not None:
        path.write_bytes(stored)
    assert engines._load_timing_cache(FakeTimingConfig(), path).content == taken
    assert engines._load_timing_cache(FakeTimingConfig(), None) is None
    with pytest.raises(ModelError, match="timing cache"):
        engines._load_timing_cache(FakeTimingConfig(), tmp_path)  # a folder


def test_tensorrt_rtx_measures_nothing_while_it_builds(rtx: None, small_onnx: bytes, tmp_path: Path) -> None:
    build_engine(small_onnx, RTX, timing_cache=tmp_path / "x.timing")
    assert not any(tmp_path.iterdir())


@pytest.mark.gpu
def test_timing_cache_is_written_and_taken_again(gpu: None, small_onnx: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tensorrt", reason="needs tensorrt")
    options, path = BuildOptions(flavour="tensorrt"), tmp_path / "x.timing"
    for _ in range(2):
        build_engine(small_onnx, options, timing_cache=path)
        assert path.stat().st_size > 0
    (tmp_path / "file").touch()
    assert build_engine(small_onnx, options, timing_cache=tmp_path / "file" / "x.timing").plan
    assert "the timing cache is not kept" in caplog.text


def test_engines_of_tensorrt_rtx_can_be_recorded(rtx: None, small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = __import__("tensorrt_rtx")
    configured: list[bool] = []
    target = engines._target

    def look(config: Any, header: EngineHeader) -> None:
        configured.append(config.get_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION))
        target(config, header)

    monkeypatch.setattr(engines, "_target", look)
    build_engine(small_onnx, RTX)
    assert configured == [True]


def test_tensorrt_builds_on_the_gpu_that_the_header_names(small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its context is current, whatever the program's own is."""
    inside: list[bool] = []

    class OtherGpu(contextlib.nullcontext):
        compute_capability = (8, 9)

        def __enter__(self) -> None:
            inside.append(True)

        def __exit__(self, *_: object) -> None:
            inside.pop()

    def build(*_: object) -> bytes:
        assert inside
        return b"plan"

    monkeypatch.setitem(sys.modules, "tensorrt", argparse.Namespace(__version__="11.4.0.106"))
    monkeypatch.setattr(engines, "open_driver", OtherGpu)
    monkeypatch.setattr(engines, "_build_plan", build)
    engine = build_engine(small_onnx, BuildOptions(flavour="tensorrt"))
    assert (engine.header.compute_capability, engine.plan, inside) == ("8.9", b"plan", [])


def test_without_tensorrt_the_error_names_the_extra(small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"inverse-halftoner\[tensorrt\]"):
        build_engine(small_onnx)
    with pytest.raises(MissingDependencyError, match=r"inverse-halftoner\[tensorrt-rtx\]"):
        build_engine(small_onnx, RTX)
    assert installed_flavours() == []


# With a GPU


def test_tiles_are_checked_before_there_is_an_engine(no_gpu: None) -> None:
    asked = {"device": "cuda", "backend": "tensorrt", "tile": 256}
    for model in ("scan", "auto"):
        with pytest.raises(OptionError, match=r"below \d+ px seams may show"):
            sdk.InverseHalftoner(model, **asked)
    with pytest.raises((DeviceError, MissingDependencyError)):
        sdk.InverseHalftoner("scan", **asked, overlap=64)


def test_tensorrt_asks_for_the_gpu_it_builds_for(no_gpu: None, small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", argparse.Namespace(__version__="11.4.0.106"))
    with pytest.raises(DeviceError, match="nvidia-smi"):
        describe_build(small_onnx, BuildOptions(flavour="tensorrt"))


@pytest.mark.gpu
def test_tensorrt_builds_for_this_gpu(gpu: None, small_onnx: bytes) -> None:
    pytest.importorskip("tensorrt", reason="needs tensorrt")
    major, minor = open_driver().compute_capability
    engine = build_engine(small_onnx, BuildOptions(flavour="tensorrt"))
    assert engine.header.compute_capability == f"{major}.{minor}"
