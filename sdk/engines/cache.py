"""Engines built once and kept: a folder of engine files, each named by all that decides what a build makes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from sdk.engines.build import BuildOptions, OnProgress, build_engine, describe_build
from sdk.engines.file import ENGINE_SUFFIX, Engine, EngineHeader, read_engine, write_engine
from sdk.errors import ModelError

CACHE_VARIABLE = "INVERSE_HALFTONER_CACHE"
RUNTIME_SUFFIX = ".runtime"
BUILDS = 3
"""To be raised whenever ``sdk.engines.build`` builds otherwise: engines of before are not taken then."""
OURS = (f"*{ENGINE_SUFFIX}", f"*{RUNTIME_SUFFIX}", "*.timing", "*.lock", ".*.partial")

_log = logging.getLogger(__name__)
_watching: ContextVar[OnProgress | None] = ContextVar("watching", default=None)


@contextlib.contextmanager
def watch_builds(on_progress: OnProgress | None) -> Iterator[None]:
    """Tell ``on_progress`` of every engine that is built for the cache in this block and thread, which takes minutes.

    >>> with watch_builds(lambda phase, done, total: print(phase, done, total)):
    ...     restorer = sdk.InverseHalftoner("prl", device="cuda")

    Builds are also logged, at level INFO. None: no change.
    """
    if on_progress is None:
        yield
        return
    token = _watching.set(on_progress)
    try:
        yield
    finally:
        _watching.reset(token)


def cache_folder() -> Path:
    """Where engines are kept: ``$INVERSE_HALFTONER_CACHE``, else the platform's folder for caches. It need not exist yet."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser() / "engines"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "inverse-halftoner" / "engines"


def cached_engine(
    onnx: bytes, options: BuildOptions | None = None, *, gpu: str = "", on_progress: OnProgress | None = None, where: str = "the model"
) -> Engine:
    """The engine of ``build_engine`` from the cache, or built and put there.

    ``gpu`` is the name of the one at hand: TensorRT tunes a plan for it, and loads those of its siblings with no more than a warning.
    ``on_progress`` is that of ``watch_builds`` by default. Processes that want the same engine wait for the first to build it. A file that
    is damaged or foreign is built anew. Raises what ``build_engine`` raises.
    """
    wanted = describe_build(onnx, options or BuildOptions(), where)
    path = _path(wanted, ENGINE_SUFFIX, gpu)
    if found := _matching(path, wanted):
        return found
    with _locked(path.with_suffix(".lock")):
        if found := _matching(path, wanted):  # another process built it while this one waited
            return found
        timing = path.with_name(f"{wanted.flavour}-{wanted.version}-{_for_file(gpu) or wanted.compute_capability}.timing")
        title = f"the {wanted.precision} engine of {wanted.name!r} for {wanted.flavour} {wanted.version}"
        _log.info("building %s; it is kept as %s", title, path)
        started = time.perf_counter()
        engine = build_engine(onnx, options, timing_cache=timing, on_progress=on_progress or _watching.get(), where=where)
        write_engine(path, engine)
        _log.info("built %s in %.0f s", title, time.perf_counter() - started)
    return engine


def runtime_cache_of(engine: Engine) -> Path:
    """Where TensorRT-RTX keeps the kernels that it compiles for an engine: in this cache, wherever the engine is. Those of each GPU go into
    a file of their own (``for_gpu``)."""
    return _path(engine.header, RUNTIME_SUFFIX)


def for_gpu(runtime_cache: Path, gpu: str) -> Path:
    """The file of ``runtime_cache_of`` for the GPU of this name."""
    return runtime_cache.with_name(f"{runtime_cache.stem}-{_for_file(gpu)}{runtime_cache.suffix}")


def forget(engine: Engine, gpu: str = "") -> None:
    """Remove an engine that TensorRT refuses, and its kernels, so that it is built anew."""
    kernels = for_gpu(runtime_cache_of(engine), gpu)
    for path in (_path(engine.header, ENGINE_SUFFIX, gpu), kernels):
        with contextlib.suppress(OSError):  # not there, or not ours to remove
            path.unlink()


def cache_name(header: EngineHeader, gpu: str = "") -> str:
    """The model's name, for people, and a hash of ONNX, TensorRT, GPU, precision, shapes, options, and the platform."""
    facts = dataclasses.asdict(dataclasses.replace(header, metadata={}, plan_bytes=0, plan_sha256=""))
    facts |= {"builds": BUILDS, "platform": [platform.system(), platform.machine()]}
    if header.flavour == "tensorrt":  # plans of TensorRT-RTX are compiled where they are loaded
        facts["gpu"] = gpu
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    return f"{_for_file(header.name)[:40]}-{header.precision}-{digest}"


def _for_file(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)


def clear_cache() -> tuple[int, int]:
    """Remove what this module wrote, but for what a build that is going on uses; gives the number of engines and of bytes removed."""
    engines = size = 0
    folder = cache_folder()
    going_on = [f"{lock.stem}{ENGINE_SUFFIX}" for lock in folder.glob("*.lock") if _is_held(lock)]
    for path in [path for pattern in OURS for path in folder.glob(pattern)]:
        if any(path.stem == Path(engine).stem or path.name.startswith(f".{engine[:40]}.") for engine in going_on):
            continue
        try:
            nbytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            if path.suffix == ".lock":  # Windows does not remove the lock of a build that is going on
                continue
            raise ModelError(f"{path} cannot be removed: {error.strerror or error}. Stop the programs that use it.") from error
        engines += path.suffix == ENGINE_SUFFIX
        size += nbytes
    with contextlib.suppress(OSError):  # not there, or not empty
        folder.rmdir()
    return engines, size


def _path(header: EngineHeader, suffix: str, gpu: str = "") -> Path:
    return cache_folder() / f"{cache_name(header, gpu)}{suffix}"


def _matching(path: Path, wanted: EngineHeader) -> Engine | None:
    try:
        engine = read_engine(path)
    except ModelError:  # not there, or damaged: built anew
        return None
    return engine if cache_name(engine.header) == cache_name(wanted) else None


def _is_held(lock: Path) -> bool:
    """Whether a process holds it; on Windows nobody needs to ask, since it cannot be removed then."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with lock.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # gone, or not ours to open
        return False
    return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on ``path``; the system gives it back when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        raise ModelError(
            f"The engine cache {path.parent} cannot be written: {error.strerror or error}. Point {CACHE_VARIABLE} to another folder."
        ) from error
    with handle:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:  # held by another process
                    time.sleep(0.2)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
