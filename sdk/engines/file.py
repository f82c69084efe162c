"""Engine files: our header, then TensorRT's plan.

A plan fits one TensorRT version and one class of GPU, says neither in a readable way, and holds code. So the file begins with
what is needed to decide before TensorRT sees a byte of it:

    8 bytes   magic (a high byte and both line ends, as PNG has: a transfer that changes either is noticed)
    uint32    format version, little-endian
    uint32    length of the header
    header    JSON, UTF-8: ``EngineHeader``
    plan      to the end of the file; its length and SHA-256 are in the header

The SHA-256 tells damage, not origin: **load engines from people you trust only.**
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sdk.catalog import releases
from sdk.errors import EngineMismatchError, ModelError
from sdk.files.whole_files import write_whole
from sdk.metadata import ModelMetadata

MAGIC = b"\x89IHE\r\n\x1a\n"
FORMAT_VERSION = 1
PREFIX = struct.Struct("<8sII")
LARGEST_HEADER = 1 << 24
FLAVOURS = ("tensorrt", "tensorrt-rtx")
ANY_GPU = "any"
"""Compute capability of an engine that is compiled for the GPU when it is loaded: TensorRT-RTX's default."""
TURING = "7.5"
"""The one that "any" leaves out, of those that TensorRT-RTX knows."""
UNKNOWN = "unknown"
ENGINE_SUFFIX = ".engine"
OPTION_FLAGS = {"workspace_mib": "--workspace", "optimization_level": "--optimization-level"}
"""``EngineHeader.options`` -> what `inverse-halftoner build` calls it."""

Shape: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class EngineHeader:
    """What an engine file says of its plan."""

    metadata: dict[str, str] = field(repr=False)
    """The model's ``metadata_props``, as in the ONNX file."""
    flavour: str
    """``tensorrt`` or ``tensorrt-rtx``."""
    version: str
    """Of TensorRT, in full."""
    compute_capability: str
    """Of the GPU it was built for ("8.9"), or "any" (of those that TensorRT-RTX knows, all but Turing)."""
    precision: str
    shapes: tuple[Shape, Shape, Shape] | None = None
    """Smallest, best and largest input, (N, C, H, W); None for plans that others built."""
    onnx_sha256: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    """What else the build was asked for: the keys of ``OPTION_FLAGS``."""
    plan_bytes: int = 0
    plan_sha256: str = ""

    @property
    def name(self) -> str:
        """The model's name, for messages and file names."""
        try:
            return str(json.loads(self.metadata.get("name", '"model"')))
        except (ValueError, RecursionError):
            return "model"

    def check_version(self, version: str, where: str) -> None:
        """Raise ``EngineMismatchError`` unless this is the TensorRT that built the plan."""
        if self.version not in (version, UNKNOWN):
            raise EngineMismatchError(f"{where} was built by {self.flavour} {self.version}; here is {version}. {self.rebuild_hint(where)}")

    def accepted(self, known: Collection[str]) -> list[str]:
        """The compute capabilities of the GPUs it runs on; ``known`` are those that TensorRT-RTX knows (``engines.known_gpus``)."""
        return [gpu for gpu in known if gpu != TURING] if self.compute_capability == ANY_GPU else [self.compute_capability]

    def check_gpu(self, compute_capability: tuple[int, int], where: str, known: Collection[str] = ()) -> None:
        """Raise ``EngineMismatchError`` unless the plan was built for GPUs like this one; ``known`` as in ``accepted``."""
        here, accepted = "{}.{}".format(*compute_capability), self.accepted(known)
        if here in accepted or self.compute_capability == UNKNOWN:
            return
        if self.flavour == "tensorrt":
            advice = self.rebuild_hint(where)
        elif here in known:
            advice = self.rebuild_hint(where, here)
        else:
            advice = f"TensorRT-RTX is not made for it. {dataclasses.replace(self, flavour='tensorrt').rebuild_hint(where)}"
        raise EngineMismatchError(f"{where} was built for GPUs of compute capability {', '.join(accepted)}; this one has {here}. {advice}")

    def rebuild_hint(self, where: str, compute_capability: str | None = None) -> str:
        """The command that builds the same engine for the machine at hand; by TensorRT-RTX, for the GPUs that it is for, or for those of
        ``compute_capability``."""
        known = [release.name for release in releases().values() if release.sha256 == self.onnx_sha256]
        precision = "" if self.precision == UNKNOWN else f" --precision {self.precision}"
        shapes = ""
        if self.shapes is not None:
            smallest, _, (batch, _, _, tile) = self.shapes
            shapes = f" --tile {tile} --batch {batch}" + (" --fixed" if smallest == self.shapes[2] else "")
        gpu = compute_capability or self.compute_capability
        named = f" --compute-capability {gpu}" if self.flavour == "tensorrt-rtx" and gpu not in (ANY_GPU, UNKNOWN) else ""
        asked = "".join(f" {flag} {self.options[name]}" for name, flag in OPTION_FLAGS.items() if isinstance(self.options.get(name), int))
        model = known[0] if known else f"{self.name}.onnx"
        target = where if where.lower().endswith(ENGINE_SUFFIX) else f"FILE{ENGINE_SUFFIX}"  # it may lie in the cache
        built_as = f"--flavour {self.flavour}{precision}{shapes}{named}{asked}"
        return f"Rebuild it here: inverse-halftoner build {model} -o {target} {built_as} --overwrite"


@dataclass(frozen=True)
class Engine:
    """A plan and what is known of it. ``repr`` leaves the plan out."""

    header: EngineHeader
    plan: bytes = field(repr=False)


def encode_engine(engine: Engine) -> bytes:
    """The bytes of an engine file."""
    header = dataclasses.replace(engine.header, plan_bytes=len(engine.plan), plan_sha256=hashlib.sha256(engine.plan).hexdigest())
    text = json.dumps(dataclasses.asdict(header)).encode()
    return PREFIX.pack(MAGIC, FORMAT_VERSION, len(text)) + text + engine.plan


def decode_engine(data: bytes, where: str = "the engine", metadata: ModelMetadata | None = None, flavour: str = "tensorrt") -> Engine:
    """Take an engine file apart and check it, without touching the plan.

    ``metadata`` and ``flavour`` are for raw plans only (built by trtexec or the like, without our header); a file that has a header
    needs neither. Raises ``ModelError`` on what is foreign, truncated or damaged.
    """
    if data[: len(MAGIC)] != MAGIC:
        return Engine(_header_of_raw_plan(metadata, flavour, where), data)
    if len(data) < PREFIX.size:
        raise ModelError(f"{where} ends after {len(data)} bytes, within its header. {_ADVICE}")
    _, version, length = PREFIX.unpack_from(data)
    if version > FORMAT_VERSION:
        raise ModelError(f"{where} has engine format {version}; this version reads up to {FORMAT_VERSION}. Upgrade inverse-halftoner.")
    if length > min(LARGEST_HEADER, len(data) - PREFIX.size):
        raise ModelError(f"{where} declares a header of {length} bytes and has {len(data) - PREFIX.size} left. {_ADVICE}")
    header = _parse_header(data[PREFIX.size : PREFIX.size + length], where)
    plan = data[PREFIX.size + length :]
    if len(plan) != header.plan_bytes:
        raise ModelError(f"{where} holds {len(plan)} bytes of plan, its header says {header.plan_bytes}. {_ADVICE}")
    if hashlib.sha256(plan).hexdigest() != header.plan_sha256:
        raise ModelError(f"{where} is damaged: the SHA-256 of its plan is not the one in its header. {_ADVICE}")
    return Engine(header, plan)


def read_engine(path: str | os.PathLike, metadata: ModelMetadata | None = None, flavour: str = "tensorrt") -> Engine:
    """``decode_engine`` of a file."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise ModelError(f"The engine {path} cannot be read: {getattr(error, 'strerror', None) or error}. Check the path.") from error
    return decode_engine(data, os.fspath(path), metadata, flavour)


def write_engine(path: str | os.PathLike, engine: Engine) -> None:
    """Write an engine file whole or not at all; what stood there before is replaced at the end only."""
    write_atomically(Path(path), encode_engine(engine))


def write_atomically(path: Path, data: bytes) -> None:
    """``write_whole``, with a ``ModelError`` where the folder does not take it."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror or error}. Check the folder, its permissions and the space."
        ) from error


_ADVICE = "Copy it again, or build it anew: inverse-halftoner build MODEL -o FILE.engine"


def _parse_header(text: bytes, where: str) -> EngineHeader:
    try:
        values = json.loads(text)
        known = {f.name for f in dataclasses.fields(EngineHeader)}
        header = EngineHeader(**{key: value for key, value in values.items() if key in known})
        if header.shapes is not None:
            smallest, best, largest = (_shape(extents) for extents in header.shapes)
            header = dataclasses.replace(header, shapes=(smallest, best, largest))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{where} has a damaged header ({error}). {_ADVICE}") from error
    texts = [getattr(header, f.name) for f in dataclasses.fields(EngineHeader) if f.type == "str"]
    texts += header.metadata.values() if isinstance(header.metadata, dict) else [None]
    if header.flavour not in FLAVOURS or not all(isinstance(text, str) for text in texts) or not isinstance(header.options, dict):
        raise ModelError(f"{where} has a header of an unknown kind (flavour {header.flavour!r}). {_ADVICE}")
    return header


def _shape(extents: Any) -> Shape:
    n, c, h, w = (int(extent) for extent in extents)
    return n, c, h, w


def _header_of_raw_plan(metadata: ModelMetadata | None, flavour: str, where: str) -> EngineHeader:
    if metadata is None:
        raise ModelError(
            f"{where} does not begin as an engine file of ours, and nothing else is loaded: plans hold code. "
            "Use a file written by `inverse-halftoner build`; a plan that you built yourself loads through "
            "sdk.engines.file.read_engine(path, metadata=...) with the model's metadata."
        )
    if flavour not in FLAVOURS:
        raise ModelError(f"{where}: the flavour {flavour!r} is unknown; a plan is one of {', '.join(FLAVOURS)}.")
    return EngineHeader(metadata.to_props(), flavour, UNKNOWN, UNKNOWN, UNKNOWN)
