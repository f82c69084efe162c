"""``training.average``: what lies between two networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.average import average
from training.checkpoints import load_model, load_weights, save_weights
from training.config import DataConfig, Recipe, load_recipe
from training.degradations import HalftoneFamily
from training.errors import TrainingError
from training.models import build

DATA = DataConfig(mix=(HalftoneFamily(("bayer",), 1.0),))
TINY = Recipe(name="tiny", architecture="fast", model={"channels": [8, 16], "blocks": [1, 1]}, data=DATA, steps=1)


def network(path: Path, seed: int, recipe: Recipe = TINY) -> Path:
    torch.manual_seed(seed)
    save_weights(path, build(recipe.architecture, **recipe.model).state_dict(), recipe, {"steps": seed, "seconds": 1.0, "photographs": 2})
    return path


def test_weights_lie_between_by_the_share(tmp_path: Path) -> None:
    first, second = network(tmp_path / "a.safetensors", 1), network(tmp_path / "b.safetensors", 2)
    average(first, second, 0.25, tmp_path / "new" / "c.safetensors")
    mean, recipe, progress = load_weights(tmp_path / "new" / "c.safetensors")
    (a, _, _), (b, _, _) = load_weights(first), load_weights(second)
    for name, weights in mean.items():
        torch.testing.assert_close(weights, 0.25 * a[name] + 0.75 * b[name])
    assert recipe == TINY
    assert progress == {"steps": 1, "seconds": 1.0, "photographs": 2, "averaged": {"share": 0.25, "with": "b.safetensors"}}
    load_model(tmp_path / "new" / "c.safetensors")


def test_the_released_network_is_averaged_too(tmp_path: Path) -> None:
    recipe = load_recipe("fast")
    average(network(tmp_path / "a.safetensors", 1, recipe), Path("sdk/models/fast.onnx"), 0.5, tmp_path / "b.safetensors")
    assert load_weights(tmp_path / "b.safetensors")[2]["averaged"] == {"share": 0.5, "with": "fast.onnx"}


def test_networks_of_other_kinds_and_shares_are_refused(tmp_path: Path) -> None:
    first, other = network(tmp_path / "a.safetensors", 1), network(tmp_path / "b.safetensors", 1, load_recipe("companding"))
    with pytest.raises(TrainingError, match="holds a network of another size"):
        average(first, other, 0.5, tmp_path / "c.safetensors")
    for share in (0, 1, -0.5, float("nan")):
        with pytest.raises(TrainingError, match="between 0 and 1"):
            average(first, first, share, tmp_path / "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()
