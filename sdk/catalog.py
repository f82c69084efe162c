"""The released models: ``models/models.toml`` lists them, the ONNX files lie beside it."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sdk.errors import ModelError, nearest
from sdk.metadata import ModelMetadata
from sdk.onnx_file import read_props

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Release:
    """One released model. The rest of what is known about it is in the metadata of its ONNX file."""

    name: str
    file: str
    sha256: str
    summary: str
    licence: str
    metrics: dict[str, float]
    kinds: tuple[str, ...] = ()
    """Kinds of pictures (``sdk.analyze``) that "auto" gives it."""
    input_color: str = "grey"
    """As in its metadata."""

    @property
    def path(self) -> Path:
        return FOLDER / self.file


@cache
def releases() -> dict[str, Release]:
    """Name -> release, in the order of the file."""
    table: dict[str, Any] = tomllib.loads((FOLDER / "models.toml").read_text(encoding="utf-8"))
    return {name: Release(**{**row, "name": name, "kinds": tuple(row.get("kinds", ()))}) for name, row in table.items()}


def model_bytes(model: str | os.PathLike) -> tuple[bytes, str]:
    """The ONNX bytes of a catalog name or a path, and how to call it in messages. Released files are checked against their sha256."""
    text = os.fspath(model)
    if text in releases():
        release = releases()[text]
        data = _read(release.path, "Install the package again.")
        found = hashlib.sha256(data).hexdigest()
        if found != release.sha256:
            raise ModelError(
                f"The released model {text!r} is damaged (sha256 {found[:12]}, not {release.sha256[:12]}). Install the package again."
            )
        return data, f"model {text!r}"
    if not Path(text).suffix and not os.path.exists(text):
        raise ModelError(f"There is no released model {text!r}.{nearest(text, releases())} A path to an .onnx or .engine file works too.")
    if Path(text).suffix.lower() == ".engine":
        raise ModelError(f"{text} is an engine already; give the .onnx model that it was built from.")
    if Path(text).suffix.lower() != ".onnx":
        raise ModelError(
            f"{text} does not end in .onnx or .engine; this version runs such files and released models ({', '.join(releases())})."
        )
    return _read(Path(text), "Check the path."), text


def metadata_of(model: str | os.PathLike) -> ModelMetadata:
    """What a catalog name or an .onnx file says of itself, without a runtime."""
    data, where = model_bytes(model)
    return ModelMetadata.from_props(read_props(data, where), where)


def released_for(task: str) -> tuple[str, ...]:
    """The names of the releases for one of ``sdk.metadata.TASKS``."""
    return tuple(name for name in releases() if metadata_of(name).task == task)


def _read(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise ModelError(f"The model file {path} cannot be read: {getattr(error, 'strerror', None) or error}. {advice}") from error
