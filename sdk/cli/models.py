"""The commands that tell of models: ``models`` and ``info``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sdk.backends import open_backend
from sdk.catalog import releases
from sdk.engines.file import ENGINE_SUFFIX, read_engine
from sdk.metadata import ModelMetadata


def add_commands(commands: Any) -> None:
    """Add them to the subparsers of the command line; each sets ``command`` to a function of the parsed options."""
    models = commands.add_parser("models", help="list the released models with their metrics")
    models.set_defaults(command=_models)

    info = commands.add_parser("info", help="everything a model says of itself")
    info.add_argument("model", help="a name from `inverse-halftoner models`, an .onnx or .engine file")
    info.add_argument("--json", action="store_true", help="as one JSON object, for programs")
    info.set_defaults(command=_info)


def _models(_: argparse.Namespace) -> int:
    for release in releases().values():
        print(f"{release.name}: {release.summary} ({release.path.stat().st_size / 2**20:.1f} MiB, {release.licence})")
        for metric, value in sorted(release.metrics.items()):
            print(f"    {metric} = {value:g}")
    return 0


def _info(options: argparse.Namespace) -> int:
    built: dict[str, Any] = {}
    if Path(options.model).suffix.lower() == ENGINE_SUFFIX:
        where, header = options.model, read_engine(options.model).header
        props, built = header.metadata, {key: value for key, value in vars(header).items() if key != "metadata"}
    else:
        backend, where = open_backend(options.model, "cpu")  # it shall run, too
        props = backend.metadata
    facts = {**vars(ModelMetadata.from_props(props, where)), **built}
    if options.json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            print(f"{key}:", *(f"    {name} = {part}" for name, part in value.items()), sep="\n")
        elif isinstance(value, (list, tuple)) and value:
            print(f"{key}: {'; '.join(map(str, value))}")
        elif value not in (None, (), [], {}, ""):
            print(f"{key}: {value}")
    return 0
