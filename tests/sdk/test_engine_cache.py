"""Keeping engines: each is built once, and the commands that build and clear."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import threading
from pathlib import Path

import pytest

from sdk.cli import main
from sdk.cli.engines import add_commands
from sdk.engines import cache as engine_cache
from sdk.engines.build import BuildOptions, describe_build
from sdk.engines.cache import cache_folder, cache_name, cached_engine, clear_cache, runtime_cache_of, watch_builds
from sdk.engines.file import Engine, EngineHeader, read_engine
from sdk.errors import DeviceError, EngineBuildError, ModelError, OptionError
from tests.sdk.conftest import RTX

pytestmark = pytest.mark.usefixtures("cache")


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
    with caplog.at_level(logging.INFO, "sdk.engines.cache"):
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
    monkeypatch.setattr("sdk.cli.models._models", lambda _: cached_engine(small_onnx, RTX) and 0)
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
    for setting, value in (("platform.machine", lambda: "aarch64"), ("sdk.engines.cache.BUILDS", 1)):
        monkeypatch.setattr(setting, value)
        names.add(cache_name(header))
    assert len(names) == 3 + len(changes)
    plan = dataclasses.replace(header, flavour="tensorrt")
    assert cache_name(plan, "NVIDIA H100") != cache_name(plan, "NVIDIA H200")
    assert cache_name(header, "NVIDIA H100") == cache_name(header, "NVIDIA H200")  # compiled where it is loaded
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

    monkeypatch.setattr("sdk.cli.engines.build_engine", no_build)
    with pytest.raises(DeviceError):
        command("build", "scan", "-o", str(tmp_path / "x.engine"), "--tile", "256")
    assert "below 288 px seams may show with scan" in capsys.readouterr().err
    with pytest.raises(DeviceError):
        command("build", "scan", "-o", str(tmp_path / "x.engine"), "--tile", "288")
    assert capsys.readouterr().err == ""
