"""``export.lpips``: the file that the demo has is what the script makes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from demo.lpips import MODEL
from export.lpips import FACTS, export
from training.errors import TrainingError
from training.results import LPIPS_WEIGHTS


def test_the_demo_has_what_the_script_makes(data: Path, tmp_path: Path) -> None:
    export(data / LPIPS_WEIGHTS, tmp_path / "lpips.onnx")
    made, kept = (onnx.load(path) for path in (tmp_path / "lpips.onnx", MODEL))
    assert made.graph == kept.graph
    assert {prop.key: prop.value for prop in kept.metadata_props} == FACTS


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=LPIPS_WEIGHTS):
        export(tmp_path / LPIPS_WEIGHTS, tmp_path / "lpips.onnx")
    assert not list(tmp_path.iterdir())
