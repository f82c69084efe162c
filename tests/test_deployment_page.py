"""docs/deployment.md shows commands, options and names that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sdk.backends import open_backend
from sdk.catalog import tomllib
from sdk.cli import _parser
from sdk.engines import cache as engine_cache
from sdk.errors import OptionError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:\.venv/bin/)?inverse-halftoner (.*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    options = _parser().parse_args(shlex.split(command, comments=True))
    assert callable(options.command)


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 3


def test_extras_and_modules_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set(re.findall(r"\.\[(\w[\w-]*)\]", PAGE))
    assert named >= {"openvino", "tensorrt", "tensorrt-rtx", "pycuda"}
    assert named <= extras.keys()
    for module in re.findall(r"python -m ((?:sdk|export)[\w.]*)", PAGE):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    assert engine_cache.CACHE_VARIABLE in PAGE
    assert callable(engine_cache.watch_builds)


@pytest.mark.parametrize(
    ("backend", "precision"), [("onnxruntime", "bf16"), ("onnxruntime", "int8"), ("openvino", "fp16"), ("openvino", "int8")]
)
def test_what_the_table_of_precisions_denies_is_refused(backend: str, precision: str) -> None:
    """``fast`` is neither an fp16 nor a Q/DQ file."""
    pytest.importorskip(backend)
    with pytest.raises(OptionError):
        open_backend("fast", "cpu", backend=backend, precision=precision)
