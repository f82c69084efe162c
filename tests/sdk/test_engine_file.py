"""Engine files: what is written is read, damage is noticed, and what does not run here says how to rebuild it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.catalog import releases
from sdk.engines.build import known_gpus
from sdk.engines.file import MAGIC, PREFIX, Engine, EngineHeader, decode_engine, encode_engine, read_engine, write_engine
from sdk.errors import EngineMismatchError, ModelError
from sdk.metadata import ModelMetadata

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

pytestmark = pytest.mark.usefixtures("cache")


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
