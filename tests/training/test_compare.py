"""``training.compare``: every contender fits the shared recipe; two steps of two of them, left off and taken up again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.errors import OptionError
from tests.training.conftest import write_photos
from training import compare
from training.checkpoints import WEIGHTS, load_weights
from training.errors import TrainingError
from training.losses import TERMS
from training.models import build
from training.precision import accelerated
from training.train import train
from training.whole_pictures import restorer

TWO = ["DnCNN", "fast"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """A photograph of 128x128 px each in train/ and val/, one of 70x54 px in a test set, and one in a set that is not compared on."""
    crops = {
        "train/a": photo[:128, :128],
        "val/b": photo[200:328, :128],
        "test/set5/c": photo[300:370, 300:354],
        "test/other/d": photo[:64, :64],
    }
    return write_photos(tmp_path_factory.mktemp("photos"), crops)


@pytest.fixture
def command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``python -m training.compare`` on the folder, without LPIPS; gives the JSON."""
    monkeypatch.setattr(compare, "lpips_of", lambda data: lambda a, b: 0.0)

    def run(*arguments: str) -> dict:
        paths = ["--data", str(folder), "--runs", str(tmp_path / "runs"), "-o", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["compare", *paths, *arguments])
        compare.main()
        return json.loads((tmp_path / "evaluations" / "compare" / "compare.json").read_text())

    return run


def test_two_contenders_are_left_off_and_taken_up_again(
    command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare.load_comparison(TWO)
    train(comparison.recipe(comparison.contenders[0], 2), folder, tmp_path / "runs" / "DnCNN", stop_after=1)
    result = command("--steps", "2", "--only", *TWO)
    assert [row["name"] for row in result["rows"]] == TWO
    for row in result["rows"]:
        assert row["scores"].keys() == {"set5"}
        assert 0 < row["scores"]["set5"]["psnr"] < 60
        assert load_weights(tmp_path / "runs" / row["name"] / WEIGHTS)[2]["steps"] == 2
    page = (tmp_path / "compare.md").read_text()
    assert page in capsys.readouterr().out
    assert "| DnCNN (Zhang et al. 2017) | 0.56 | 1,108 |" in page
    assert page.splitlines()[-1].startswith("| fast (ours")

    def done(*_: object, **__: object) -> None:
        raise AssertionError("what was done is not done again")

    for work in ("train", "measure"):
        monkeypatch.setattr(compare, work, done)
    assert command("--steps", "2", "--only", *TWO) == result
    with pytest.raises(TrainingError, match="another number of steps"):
        command("--steps", "3", "--only", "fast")


def test_every_contender_fits() -> None:
    comparison = compare.load_comparison()
    assert len({contender.name for contender in comparison.contenders}) == len(comparison.contenders) == 9
    for contender in comparison.contenders:
        recipe = comparison.recipe(contender, 10)
        with torch.device("meta"):
            model = build(recipe.architecture, **recipe.model)
        assert recipe.data.crop % model.size_multiple == 0
        assert set(recipe.loss.weights) <= {*TERMS, "content", "perceptual"}
        assert compare.facts(recipe)["kflop_per_pixel"] > 100


def test_unknown_contender_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'VDSR'"):
        compare.load_comparison(["VDSN"])


@torch.no_grad()
def test_whole_pictures_are_restored_at_any_size(white: np.ndarray) -> None:
    torch.manual_seed(0)
    model = build("fast", channels=[8, 16], blocks=[1, 1]).eval()
    restore = restorer(model, accelerated())
    halftone = white[:64, :80]
    restored = restore(halftone)
    exact = model(torch.from_numpy(halftone.astype(np.float32))[None, None])[0, 0].clamp(0, 1).numpy()
    assert np.abs(restored / 255 - exact).max() < 0.02  # of bf16
    odd = restore(white[:63, :78])
    assert (odd.shape, odd.dtype) == ((63, 78), np.uint8)
