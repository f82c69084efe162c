"""Engine files, building them and keeping them. TensorRT-RTX builds for real, on any x86 machine."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk import engine_cache, engines
from sdk.catalog import releases
from sdk.cli import main
from sdk.cli_engines import add_commands, progress_line
from sdk.cuda.driver import open_driver
from sdk.engine_cache import cache_folder, cache_name, cached_engine, clear_cache, runtime_cache_of, watch_builds
from sdk.engine_file import MAGIC, PREFIX, Engine, EngineHeader, decode_engine, encode_engine, read_engine, write_engine
from sdk.engines import BuildOptions, build_engine, describe_build, installed_flavours, known_gpus
from sdk.errors import DeviceError, EngineBuildError, EngineMismatchError, MissingDependencyError, ModelError, OptionError
from sdk.metadata import ModelMetadata

RTX = BuildOptions(flavour="tensorrt-rtx")
texts = st.text(max_size=40)
shapes = st.tuples(*[st.tuples(*[st.integers(1, 4096)] * 4)] * 3)
headers = st.builds(
    EngineHeader,
    metadata=st.dictionaries(texts, texts, max_size=5),
    flavour=st.sampled_from(["tensorrt", "tensorrt-rtx"]),
    version=texts,
    compute_capability=texts,
    precision=texts,
    shapes=st.none() | shapes,
    onnx_sha256=texts,
    options=st.dictionaries(texts, st.integers(0, 99), max_size=3),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache."""
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "engines"


@pytest.fixture(scope="session")
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx wheel (pip install tensorrt-rtx)")


@pytest.fixture
def engine(rtx: None, small_onnx: bytes) -> Engine:
    return build_engine(small_onnx, RTX, where="small.onnx")


# The file


@given(headers, st.binary(max_size=200))
def test_what_is_written_is_read(header: EngineHeader, plan: bytes) -> None:
    read = decode_engine(encode_engine(Engine(header, plan)))
    assert read.plan == plan
    assert dataclasses.replace(read.header, plan_bytes=0, plan_sha256="") == header


@given(headers, st.binary(min_size=1, max_size=50), st.data())
def test_no_damage_goes_unnoticed_or_escapes_our_errors(header: EngineHeader, plan: bytes, data: st.DataObject) -> None:
    whole = encode_engine(Engine(header, plan))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ModelError):
        decode_engine(whole[:cut])
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    try:
        read = decode_engine(bytes(changed))
    except ModelError:
        return
    assert read.plan == plan  # it lay in the header, in a value that may be anything


def test_wrong_magic_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.engine"
    path.write_bytes(b"vtrt" + bytes(1000))
    with pytest.raises(ModelError, match=r"foreign\.engine does not begin as an engine file of ours.*plans hold code"):
        read_engine(path)


def test_raw_plan_with_metadata(tmp_path: Path, small_onnx: bytes) -> None:
    path = tmp_path / "raw.engine"
    path.write_bytes(b"vtrt" + bytes(1000))
    metadata = ModelMetadata("m", "inverse-halftoning", "t", "p", "l", "d")
    engine = read_engine(path, metadata, "tensorrt-rtx")
    assert engine.plan == path.read_bytes()
    assert ModelMetadata.from_props(engine.header.metadata, "raw") == metadata
    engine.header.check_version("1.7.1.116", "raw")  # what is not known is left to TensorRT
    engine.header.check_gpu((9, 0), "raw")
    with pytest.raises(ModelError, match="tensorrt, tensorrt-rtx"):
        read_engine(path, metadata, "openvino")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:12], "ends after 12 bytes"),
        (lambda data: data[:-1], "bytes of plan, its header says"),
        (lambda data: data + b"x", "bytes of plan, its header says"),
        (lambda data: data[:-1] + b"x", "SHA-256"),
        (lambda data: PREFIX.pack(MAGIC, 2, 10) + data[PREFIX.size :], "engine format 2; this version reads up to 1"),
        (lambda data: PREFIX.pack(MAGIC, 1, 1 << 31) + data[PREFIX.size :], "declares a header of 2147483648 bytes"),
        (lambda data: PREFIX.pack(MAGIC, 1, 10) + data[PREFIX.size :], "damaged header"),
    ],
)
def test_damaged_files_say_what_is_wrong(change, message: str) -> None:
    header = EngineHeader({}, "tensorrt", "11.4", "8.9", "fp16")
    with pytest.raises(ModelError, match=message):
        decode_engine(change(encode_engine(Engine(header, b"plan"))), "x.engine")


@pytest.mark.parametrize(
    "change",
    [
        {"flavour": "openvino"},
        {"version": 3},
        {"metadata": []},
        {"metadata": {"name": 5}},
        {"shapes": [1]},
        {"shapes": 5},
        {"shapes": [[1, 1, 8, float("inf")]] * 3},
    ],
)
def test_headers_of_wrong_kinds_are_refused(change: dict) -> None:
    values = {**dataclasses.asdict(EngineHeader({}, "tensorrt", "11.4", "8.9", "fp16")), **change}
    text = json.dumps(values).encode()
    with pytest.raises(ModelError, match="header"):
        decode_engine(PREFIX.pack(MAGIC, 1, len(text)) + text)


def test_missing_file() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_engine("no_such.engine")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new folder" / "x.engine"
    first = Engine(EngineHeader({}, "tensorrt", "11.4", "8.9", "fp16"), b"first")
    write_engine(path, first)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ModelError, match="cannot be written: No space left"):
        write_engine(path, Engine(first.header, b"second"))
    assert read_engine(path).plan == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["x.engine"]


def test_another_tensorrt_or_gpu_is_named_with_the_command_to_rebuild() -> None:
    release = releases()["fast"]
    shapes = ((1, 1, 8, 8), (2, 1, 512, 512), (2, 1, 512, 512))
    header = EngineHeader({}, "tensorrt", "10.16.1.11", "8.9", "bf16", shapes, release.sha256)
    command = r"inverse-halftoner build fast -o prl\.engine --flavour tensorrt --precision bf16 --tile 512 --batch 2 --overwrite"
    with pytest.raises(EngineMismatchError, match=rf"tensorrt 10\.16\.1\.11; here is 11\.4\.0\.106.*{command}"):
        header.check_version("11.4.0.106", "prl.engine")
    with pytest.raises(EngineMismatchError, match=rf"compute capability 8\.9; this one has 9\.0.*{command}"):
        header.check_gpu((9, 0), "prl.engine")
    header.check_version("10.16.1.11", "prl.engine")
    header.check_gpu((8, 9), "prl.engine")


def test_gpus_of_a_portable_engine_are_those_that_tensorrt_rtx_knows() -> None:
    known = ["7.5", "8.0", "8.6", "12.0"]
    header = EngineHeader({}, "tensorrt-rtx", "1.7.1.116", "any", "fp16")
    header.check_gpu((12, 0), "x.engine", known)
    with pytest.raises(EngineMismatchError, match=r"8\.0, 8\.6, 12\.0; this one has 7\.5.*-rtx .*--compute-capability 7\.5 --overwrite$"):
        header.check_gpu((7, 5), "x.engine", known)
    with pytest.raises(EngineMismatchError, match=r"has 9\.0\. TensorRT-RTX is not made for it.*--flavour tensorrt --precision fp16 "):
        header.check_gpu((9, 0), "x.engine", known)
    of_one = dataclasses.replace(header, compute_capability="8.6")
    of_one.check_gpu((8, 6), "x.engine", known)
    with pytest.raises(EngineMismatchError, match=r"capability 8\.6; this one has 8\.0.*--compute-capability 8\.0 --overwrite$"):
        of_one.check_gpu((8, 0), "x.engine", known)


def test_the_command_to_rebuild_names_all_that_the_engine_was_built_for() -> None:
    options = {"workspace_mib": 512, "optimization_level": 5, "foreign": 1}
    header = EngineHeader({}, "tensorrt-rtx", "1.7.1", "7.5", "fp16", onnx_sha256=releases()["fast"].sha256, options=options)
    built = "build fast -o x.engine --flavour tensorrt-rtx --precision fp16"
    asked = "--workspace 512 --optimization-level 5 --overwrite"
    assert header.rebuild_hint("x.engine").endswith(f"{built} --compute-capability 7.5 {asked}")
    assert dataclasses.replace(header, compute_capability="any").rebuild_hint("x.engine").endswith(f"{built} {asked}")
    strange = dataclasses.replace(header, options={"workspace_mib": "1; reboot"})  # a stranger's header is shown, not pasted
    assert "reboot" not in strange.rebuild_hint("x.engine")


def test_gpus_that_the_installed_tensorrt_rtx_knows(rtx: None) -> None:
    known = known_gpus("tensorrt-rtx")
    assert {"7.5", "8.0", "8.6", "8.9", "12.0"} <= known.keys()
    assert not {"9.0", "10.0", "10.3"} & known.keys()  # the advice for these is TensorRT itself
    assert known_gpus("tensorrt") == {}


# Building


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
    # a sampler's embedding of its times is folded away
    assert len(engine.plan) > 0.95 * weights * ModelMetadata.from_props(header.metadata, name).parameters


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


def test_timing_cache_is_written_and_taken_again(rtx: None, small_onnx: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.timing"
    for _ in range(2):
        build_engine(small_onnx, RTX, timing_cache=path)
        assert path.stat().st_size > 0
    path.write_bytes(b"damaged")
    build_engine(small_onnx, RTX, timing_cache=path)
    assert path.stat().st_size > 7
    with pytest.raises(ModelError, match="timing cache"):
        build_engine(small_onnx, RTX, timing_cache=tmp_path)  # a folder


def test_a_timing_cache_that_cannot_be_written_costs_no_engine(
    rtx: None, small_onnx: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert build_engine(small_onnx, RTX, timing_cache=tmp_path / "file" / "x.timing").plan
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


# The cache


def test_hit_miss_and_clear(rtx: None, small_onnx: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[BuildOptions | None] = []
    build = engine_cache.build_engine

    def counted(onnx: bytes, options: BuildOptions | None = None, **rest) -> Engine:
        built.append(options)
        return build(onnx, options, **rest)

    monkeypatch.setattr(engine_cache, "build_engine", counted)
    first = cached_engine(small_onnx, RTX)
    assert cached_engine(small_onnx, RTX).plan == first.plan
    assert len(built) == 1
    for other in (
        {"precision": "fp32"},
        {"tile": 128},
        {"batch": 2},
        {"fixed": True},
        {"compute_capability": "8.6"},
        {"optimization_level": 0},
    ):
        cached_engine(small_onnx, dataclasses.replace(RTX, **other))
    assert len(built) == 7
    path = next(cache.glob("small-fp16-*.engine"))
    path.write_bytes(path.read_bytes()[:-1])  # damaged: built anew, and whole again
    for _ in range(2):
        for options in [o for o in built[:7] if o]:
            cached_engine(small_onnx, options)
    assert len(built) == 8

    (cache / "kept.txt").write_text("of the user")
    engines, nbytes = clear_cache()
    assert engines == 7
    assert nbytes > 7 * 1000
    assert [path.name for path in cache.iterdir()] == ["kept.txt"]
    assert clear_cache() == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_clearing_leaves_a_build_that_is_going_on(cache: Path) -> None:
    """Else the next process would not wait for it."""
    cache.mkdir(parents=True)
    going_on = ["a-fp16-1.lock", "a-fp16-1.engine", ".a-fp16-1.engine.12345678.partial"]
    for name in (*going_on, "b-fp16-1.lock", "b-fp16-1.engine", ".b-fp16-1.engine.12345678.partial"):
        (cache / name).write_bytes(b"x")
    with engine_cache._locked(cache / "a-fp16-1.lock"):
        assert clear_cache() == (1, 3)
        assert sorted(path.name for path in cache.iterdir()) == sorted(going_on)
    assert clear_cache() == (1, 3)


def test_builds_for_the_cache_can_be_watched(rtx: None, small_onnx: bytes, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, int, int]] = []
    with caplog.at_level(logging.INFO, "sdk.engine_cache"):
        with watch_builds(lambda *step: seen.append(step)):
            engine = cached_engine(small_onnx, RTX)
            steps = len(seen)
            cached_engine(small_onnx, RTX)  # from the cache: nothing is built
        cached_engine(small_onnx, dataclasses.replace(RTX, batch=2))  # nobody watches
    assert steps == len(seen) > 5
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split()[0] for text in texts] == ["building", "built"] * 2
    assert "the fp16 engine of 'small' for tensorrt-rtx 1." in texts[0]
    kernels = runtime_cache_of(engine)
    assert (kernels.parent, kernels.suffix) == (cache, ".runtime")
    kernels.write_bytes(b"compiled")
    assert clear_cache()[0] == 2
    assert not cache.exists()


def test_commands_show_a_bar_on_a_terminal(
    rtx: None, small_onnx: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sdk.cli_models._models", lambda _: cached_engine(small_onnx, RTX) and 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["models"]) == 0
    assert "[####" in capsys.readouterr().err


def test_one_builds_while_the_others_wait(rtx: None, small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    all_asked = threading.Barrier(3, timeout=30)
    build, describe = engine_cache.build_engine, engine_cache.describe_build

    def counted(*arguments, **rest) -> Engine:
        built.append(1)
        return build(*arguments, **rest)

    def together(*arguments, **rest) -> EngineHeader:
        header = describe(*arguments, **rest)
        all_asked.wait()
        return header

    monkeypatch.setattr(engine_cache, "build_engine", counted)
    monkeypatch.setattr(engine_cache, "describe_build", together)
    plans: list[bytes] = []
    threads = [threading.Thread(target=lambda: plans.append(cached_engine(small_onnx, RTX).plan)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(built) == 1
    assert len(plans) == 3
    assert len(set(plans)) == 1


def test_a_build_that_fails_leaves_nothing(rtx: None, small_onnx: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__) -> Engine:
        raise EngineBuildError("no")

    monkeypatch.setattr(engine_cache, "build_engine", fail)
    with pytest.raises(EngineBuildError):
        cached_engine(small_onnx, RTX)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    monkeypatch.undo()
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(cache.parent))
    assert cached_engine(small_onnx, RTX).plan  # and the lock is free


def test_the_key_holds_all_that_decides(rtx: None, small_onnx: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    header = describe_build(small_onnx, RTX)
    changes = (
        {"version": "1.8"},
        {"onnx_sha256": "x"},
        {"flavour": "tensorrt"},
        {"compute_capability": "8.9"},
        {"options": {"workspace_mib": 1}},
    )
    names = {cache_name(header), *(cache_name(dataclasses.replace(header, **change)) for change in changes)}
    for setting, value in (("platform.machine", lambda: "aarch64"), ("sdk.engine_cache.BUILDS", 1)):
        monkeypatch.setattr(setting, value)
        names.add(cache_name(header))
    assert len(names) == 3 + len(changes)
    evil = dataclasses.replace(header, metadata={"name": '"../../etc/passwd"'})
    assert "/" not in cache_name(evil)
    assert cache_name(dataclasses.replace(header, plan_bytes=5, plan_sha256="y")) == cache_name(header)


def test_folder_by_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache" / "engines"
    monkeypatch.delenv("INVERSE_HALFTONER_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "inverse-halftoner" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "inverse-halftoner" / "engines"
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Library" in cache_folder().parts
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "inverse-halftoner" / "engines"


def test_a_folder_that_cannot_be_written(rtx: None, small_onnx: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("INVERSE_HALFTONER_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="INVERSE_HALFTONER_CACHE"):
        cached_engine(small_onnx, RTX)


# The commands


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(arguments)
    return options.command(options)


def test_build_and_clear_by_command(rtx: None, small_onnx: bytes, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "small.onnx").write_bytes(small_onnx)
    arguments = ["build", str(tmp_path / "small.onnx"), "-o", str(tmp_path / "x.engine"), "--flavour", "tensorrt-rtx"]
    assert command(*arguments, "--precision", "fp32", "--tile", "128", "--batch", "2", "--workspace", "64") == 0
    said = capsys.readouterr().out
    assert "small in fp32, tensorrt-rtx 1." in said
    assert "for GPUs of compute capability 8.0, 8.6, 8.9, 12.0" in said
    header = read_engine(tmp_path / "x.engine").header
    assert header.shapes == ((1, 1, 8, 8), (2, 1, 128, 128), (2, 1, 128, 128))
    with pytest.raises(OptionError, match="--overwrite"):
        command(*arguments)
    assert command(*arguments, "--overwrite", "--fixed") == 0
    with pytest.raises(OptionError, match=r"does not end in \.engine"):
        command("build", "fast", "-o", str(tmp_path / "x.plan"))
    cached_engine(small_onnx, RTX)
    assert command("cache", "clear") == 0
    assert "1 engine, " in capsys.readouterr().out


def test_small_tiles_are_told_about_before_the_build(
    small_onnx: bytes, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_build(*_: object, **__: object) -> None:
        raise DeviceError("no build here")

    monkeypatch.setattr("sdk.cli_engines.build_engine", no_build)
    with pytest.raises(DeviceError):
        command("build", "scan", "-o", str(tmp_path / "x.engine"), "--tile", "256")
    assert "below 288 px seams may show with scan" in capsys.readouterr().err
    with pytest.raises(DeviceError):
        command("build", "scan", "-o", str(tmp_path / "x.engine"), "--tile", "288")
    assert capsys.readouterr().err == ""


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
