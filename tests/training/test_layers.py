"""``training.layers``: one step of every network of the study, measured and not done again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.halftoning.palettes import quantise_bits
from tests.training.conftest import write_photos
from tests.training.test_losses import vgg_file
from training import layers
from training.errors import TrainingError
from training.models import build
from training.precision import accelerated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    crops = {"train/a": photo[:128, :128], "val/b": photo[200:264, :64], "test/coco_val50/c": photo[300:364, 300:364]}
    return write_photos(tmp_path_factory.mktemp("photos"), crops)


@pytest.fixture
def command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``python -m training.layers`` on the folder, without LPIPS, with VGG of that many convolutions; gives the rows."""
    monkeypatch.setattr(layers, "lpips_of", lambda data: lambda a, b: 0.0)

    def run(convolutions: int) -> list[dict]:
        vgg = vgg_file(tmp_path / "vgg.npz", convolutions)
        paths = ["--data", str(folder), "--runs", str(tmp_path / "runs"), "--vgg", str(vgg), "-o", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["layers", *paths, "--steps", "1"])
        layers.main()
        return json.loads((tmp_path / "evaluations" / "layers" / "layers.json").read_text())["rows"]

    return run


@pytest.mark.slow
def test_every_task_and_loss_is_measured_once(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = command(10)
    losses = ["pixels", "conv1_1", "conv2_1", "conv3_1", "conv4_1"]
    assert [(row["task"], row["loss"]) for row in rows] == [(task, loss) for task in ("bits", "halftones") for loss in losses]
    assert "halftones-conv5_1 is left out" in capsys.readouterr().out
    for row in rows:
        assert row["scores"].keys() == layers.KINDS[row["task"]].keys()
        assert all(0 < score["psnr"] < 60 for score in row["scores"].values())
    page = (tmp_path / "layers.md").read_text()
    assert "| loss on | s a step | 1 bits | 2 bits" in page
    assert page.splitlines()[-1].startswith("| conv4_1 |")

    def done(*_: object) -> None:
        raise AssertionError("what was done is not done again")

    monkeypatch.setattr(layers, "measure", done)
    assert command(10) == rows


def test_the_deepest_layer_needs_the_deepest_weights(tmp_path: Path) -> None:
    assert layers.layer_names(vgg_file(tmp_path / "vgg.npz", 10))[-1] == "conv4_3"
    assert "conv5_1" in layers.layer_names(vgg_file(tmp_path / "vgg.npz", 16))
    assert {loss.loss.layer for loss in layers.load_study().losses} >= {"conv1_1", "conv5_1"}


def test_without_the_papers_pictures_it_says_so(tmp_path: Path, photo: np.ndarray) -> None:
    write_photos(tmp_path, {"test/kodak24/a": photo[:64, :64]})
    with pytest.raises(TrainingError, match="coco_val50"):
        list(layers.study(layers.load_study(), 1, tmp_path, tmp_path, lambda a, b: 0.0, vgg_file(tmp_path / "vgg.npz", 10)))


@torch.no_grad()
def test_values_of_few_bits_stay_in_their_intervals(photo: np.ndarray) -> None:
    """What is measured is the very picture cut to few bits, and the network is told how many."""
    colour = np.dstack([photo[:64, :64], photo[64:128, :64], photo[:64, 64:128]])
    given = []
    task = layers.load_study().tasks[0]
    restore = layers.restorer(build(task.architecture, **task.model).eval(), accelerated())

    def spied(planes: np.ndarray) -> np.ndarray:
        given.append(planes)
        return restore(planes)

    score = layers.measure(spied, layers.KINDS["bits"]["3 bits"], [colour], lambda a, b: 0.0)
    cut = quantise_bits(colour, 3)
    assert np.array_equal(np.rint(given[0][..., :3] * 255), cut)
    assert (given[0][..., 3] == 3 / 8).all()
    assert ((restore(given[0]) >= cut) & (restore(given[0]) <= cut + 31)).all()
    assert score["psnr"] > 20
