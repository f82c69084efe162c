"""``training.train``: a tiny network learns, stops and goes on, and its weights file says all that is needed."""

from __future__ import annotations

import argparse
import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from sdk.catalog import metadata_of, releases
from sdk.errors import InverseHalftonerError
from training.arguments import add_training
from training.checkpoints import CHECKPOINT, WEIGHTS, begin_from, load_model, load_weights, save_weights, warm_start
from training.config import DataConfig, OptimiserConfig, Recipe, RecipeError, ValidationConfig, load_recipe
from training.data import DataError
from training.degradations import HalftoneFamily
from training.errors import TrainingError, said_plainly
from training.models import build
from training.models.fast import FastNet
from training.models.prl import PRL
from training.optim import Muon, make_optimisers, orthogonalise, set_learning_rate, split_parameters, update_average
from training.train import train
from training.validation import validate, validation_set

TINY = Recipe(
    name="tiny",
    architecture="fast",
    model={"channels": [8, 16], "blocks": [1, 1]},
    data=DataConfig(mix=(HalftoneFamily(("floyd-steinberg",), 1.0),), crop=32, batch=2),
    steps=60,
    optimiser=OptimiserConfig(learning_rate=3e-3, warmup_steps=5),
    validation=ValidationConfig(every=30, pictures=2),
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the tiny recipe, without a break."""
    run = tmp_path_factory.mktemp("run")
    assert train(TINY, photos, run) == run / WEIGHTS
    return run


def score(model: torch.nn.Module, photos: Path) -> float:
    return validate(model, validation_set(photos / "val", TINY, 4), CPU, TINY)["floyd-steinberg"]


def test_training_improves_on_the_untrained_network(photos: Path, trained: Path) -> None:
    torch.manual_seed(TINY.data.seed)
    untrained = build(TINY.architecture, **TINY.model).eval()
    model, _, _ = load_model(trained / WEIGHTS)
    assert score(model, photos) > score(untrained, photos) + 5
    dots = np.mean([(dots.numpy()[0, 0] - photo / 255) ** 2 for dots, photo in validation_set(photos / "val", TINY, 4)["floyd-steinberg"]])
    assert score(model, photos) > 10 * np.log10(1 / dots) + 3  # and on the halftone itself


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_resumed_run_equals_an_uninterrupted_one(photos: Path, tmp_path: Path, optimiser: str) -> None:
    recipe = replace(TINY, steps=12, optimiser=replace(TINY.optimiser, name=optimiser))
    train(recipe, photos, tmp_path / "whole")
    train(recipe, photos, tmp_path / "parts", stop_after=5)
    assert load_weights(tmp_path / "parts" / WEIGHTS)[2]["steps"] == 5
    train(recipe, photos, tmp_path / "parts")
    assert load_weights(tmp_path / "parts" / WEIGHTS)[2]["steps"] == 12
    for name in (WEIGHTS, CHECKPOINT):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        different = [key for key in whole if not torch.equal(whole[key], parts[key])]
        assert not different


def test_a_finished_run_is_left_as_it_is(photos: Path, trained: Path) -> None:
    before = load_file(trained / CHECKPOINT)
    train(TINY, photos, trained)
    after = load_file(trained / CHECKPOINT)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_warm_start_begins_at_the_given_weights(photos: Path, trained: Path, tmp_path: Path) -> None:
    weights = train(TINY, photos, tmp_path, start_from=trained / WEIGHTS, stop_after=0)
    assert all(torch.equal(value, load_file(trained / WEIGHTS)[key]) for key, value in load_file(weights).items())


def test_a_run_that_has_begun_starts_from_nothing_else(photos: Path, trained: Path, tmp_path: Path) -> None:
    """It would go on from its own weights, and say otherwise."""
    train(TINY, photos, tmp_path, stop_after=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match=r"has begun: leave out --start-from.*--run"):
        train(TINY, photos, tmp_path, start_from=trained / WEIGHTS)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_run_goes_on_with_the_photographs_it_began_with(photos: Path, tmp_path: Path) -> None:
    train(TINY, photos, tmp_path / "run", stop_after=2)
    shutil.copytree(photos, tmp_path / "more")
    for path in sorted((tmp_path / "more" / "train").iterdir())[:1]:
        shutil.copy(path, path.with_name(f"another{path.suffix}"))
    with pytest.raises(TrainingError, match=r"learnt from \d+ photographs, here are \d+.*same --data"):
        train(TINY, tmp_path / "more", tmp_path / "run")
    assert load_weights(tmp_path / "run" / WEIGHTS)[2]["steps"] == 2


def test_a_run_goes_on_with_the_recipe_it_began_with(photos: Path, tmp_path: Path) -> None:
    train(TINY, photos, tmp_path, stop_after=1)
    for other, named in (
        (replace(TINY, model={"channels": [8, 24], "blocks": [1, 1]}), "model"),
        (replace(TINY, optimiser=replace(TINY.optimiser, name="adamw"), data=replace(TINY.data, seed=1)), "data and optimiser"),
    ):
        with pytest.raises(TrainingError, match=f"another {named}. Go on with the recipe it began with"):
            train(other, photos, tmp_path)
    longer = replace(TINY, steps=90, card={"title": "better words"}, validation=replace(TINY.validation, every=40))
    train(longer, photos, tmp_path, stop_after=2)
    assert load_weights(tmp_path / WEIGHTS)[2] == {"steps": 2, "seconds": pytest.approx(0, abs=60), "photographs": 2}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_no_numbers_end_a_run_and_leave_its_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    train(TINY, photos, tmp_path, stop_after=2)
    before = (tmp_path / CHECKPOINT).read_bytes()
    monkeypatch.setattr("training.losses.Loss.forward", lambda self, model, given, wanted: model(given).mean() * bad)
    with pytest.raises(TrainingError, match="gradients of step 3 are not finite"):
        train(TINY, photos, tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_starting_from_another_network_is_an_error_in_our_words(photos: Path, trained: Path, tmp_path: Path) -> None:
    other = replace(TINY, model={"channels": [24, 40], "blocks": [1, 1]})
    with pytest.raises(TrainingError, match="of another size"):
        train(other, photos, tmp_path, start_from=trained / WEIGHTS)
    with pytest.raises(TrainingError, match="0 of the 94 tensors of this network"):
        train(replace(TINY, architecture="dncnn", model={}), photos, tmp_path, start_from=trained / WEIGHTS)
    with pytest.raises(InverseHalftonerError, match=r"nowhere\.onnx"):
        train(TINY, photos, tmp_path, start_from=Path("nowhere.onnx"))


def test_crops_and_pictures_of_val_fit_the_network(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="crop is 30 px; this 'fast' takes multiples of 4"):
        train(replace(TINY, data=replace(TINY.data, crop=30)), photos, tmp_path)
    (tmp_path / "val").mkdir()
    Image.fromarray(np.zeros((47, 100), np.uint8)).save(tmp_path / "val" / "small.png")
    ((dots, photo),) = validation_set(tmp_path / "val", TINY, 32)["floyd-steinberg"]
    assert photo.shape == (32, 96)
    assert dots.shape[2:] == (32, 96)
    with pytest.raises(DataError, match=r"small\.png is smaller than 64 px"):
        validation_set(tmp_path / "val", TINY, 64)


@torch.no_grad()
def test_weights_file_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build(TINY.architecture, **TINY.model).eval()
    save_weights(tmp_path / WEIGHTS, model.state_dict(), TINY, {"steps": 3, "seconds": 1.5})
    loaded, recipe, progress = load_model(tmp_path / WEIGHTS)
    assert recipe == TINY
    assert progress == {"steps": 3, "seconds": 1.5}
    assert not loaded.training
    halftone = torch.rand(1, 1, 32, 40).round()
    assert torch.equal(loaded(halftone), model(halftone))
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]  # nothing partial is left


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nowhere\.safetensors cannot be read"):
        load_model(tmp_path / "nowhere.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(save({"a": torch.zeros(9)})[:-5])
    with pytest.raises(TrainingError, match=r"cut\.safetensors cannot be read"):
        load_model(tmp_path / "cut.safetensors")
    (tmp_path / "other.safetensors").write_bytes(save({"a": torch.zeros(9)}))
    with pytest.raises(TrainingError, match="holds no network of a run"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize("budget", [("--steps", "0"), ("--minutes", "0"), ("--steps", "-3"), ("--minutes", "nan")])
def test_a_budget_of_nothing_is_refused(budget: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_training(parser, "fresh weights")
    with pytest.raises(SystemExit):
        parser.parse_args(["--data", "photos", *budget])
    assert f"{budget[1]} is not above 0" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (96, 864), (864, 96), (32, 400)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for scale in (1e-3, 1, 1e3):  # of no importance
        values = torch.linalg.svdvals(orthogonalise(scale * matrix))
        assert 0.6 < values.min() <= values.max() < 1.3


def test_orthogonalise_lifts_small_singular_values() -> None:
    u, _, v = torch.linalg.svd(torch.randn(24, 96, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    values = torch.linalg.svdvals(orthogonalise(u @ torch.diag(torch.logspace(0, -1.5, 24)) @ v))
    assert 0.6 < values.min() <= values.max() < 1.3


def test_orthogonalise_keeps_the_singular_vectors() -> None:
    matrix = torch.randn(24, 96, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalise(matrix) @ v.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 0.05


def test_muon_moves_each_kernel_along_its_own_gradient() -> None:
    """The first step is the orthogonalised gradient, also among kernels of one shape."""
    torch.manual_seed(0)
    kernels = [
        torch.nn.Parameter(torch.randn(shape)) for shape in ((16, 8, 3, 3), (32, 4, 2, 2), (16, 8, 3, 3), (16, 8, 3, 3), (64, 16, 1, 1))
    ]
    before = [kernel.detach().clone() for kernel in kernels]
    for kernel in kernels[:-2] + kernels[-1:]:
        kernel.grad = torch.randn(kernel.shape)
    Muon(kernels, lr=0.5).step()
    for kernel, old in zip(kernels, before):
        if kernel.grad is None:
            assert torch.equal(kernel, old)
            continue
        rows, columns = kernel.shape[0], kernel[0].numel()
        expected = -0.5 * max(1, rows / columns) ** 0.5 * orthogonalise(kernel.grad.reshape(rows, columns))
        torch.testing.assert_close((kernel.detach() - old).reshape(rows, columns), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("model", [FastNet((16, 32), (1, 2)), FastNet((8,), (1,)), PRL()], ids=["fast", "one-level", "prl"])
def test_split_parameters_covers_each_once(model: torch.nn.Module) -> None:
    hidden, rest = split_parameters(model)
    ids = [id(parameter) for parameter in (*hidden, *rest)]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in model.parameters()}
    assert all(kernel.ndim == 4 for kernel in hidden)


def test_split_parameters_leaves_first_and_last_layer_to_adamw() -> None:
    model = FastNet((16, 32), (1, 2))
    hidden, rest = ({id(parameter) for parameter in part} for part in split_parameters(model))
    assert {id(model.head.weight), id(model.tail.weight)} <= rest
    assert all(id(block.conv1.weight) in hidden for block in model.bottom)


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = OptimiserConfig(learning_rate=1.0, muon_learning_rate=2.0, warmup_steps=10)
    optimisers = make_optimisers(build(TINY.architecture, **TINY.model), config)

    def rates(step: int, elapsed: float) -> list[float]:
        set_learning_rate(optimisers, config.warmup_steps, step, elapsed)
        return [optimiser.param_groups[0]["lr"] for optimiser in optimisers]

    assert rates(0, 0) == pytest.approx([0.2, 0.1])
    assert rates(9, 0) == pytest.approx([2, 1])
    assert rates(50, 0.5) == pytest.approx([1, 0.5])
    assert rates(100, 1) == pytest.approx([0, 0])


def test_average_moves_by_what_decay_leaves() -> None:
    model, ema = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = copy.deepcopy(ema)
    update_average(ema, model, 0.75)
    torch.testing.assert_close(ema.weight, 0.75 * before.weight + 0.25 * model.weight)
    torch.testing.assert_close(ema.bias, 0.75 * before.bias + 0.25 * model.bias)


def test_a_colour_network_starts_from_a_grey_one(trained: Path) -> None:
    """Grey pictures given thrice come out as the grey network has them; what the file lacks stays fresh, and is named."""
    grey = load_model(trained / WEIGHTS)[0]
    colour = build("fast", channels=[8, 16], blocks=[1, 2], planes=3).eval()
    fresh = warm_start(colour, trained / WEIGHTS)
    assert fresh
    assert all(name.startswith("bottom.1.") for name in fresh)
    for block in colour.get_submodule("bottom")[1:]:  # type: ignore[index]
        torch.nn.init.zeros_(block.conv2.weight)
        torch.nn.init.zeros_(block.conv2.bias)
    picture = torch.rand(1, 1, 16, 24)
    with torch.no_grad():
        assert torch.allclose(colour(picture.repeat(1, 3, 1, 1)), grey(picture).repeat(1, 3, 1, 1), atol=1e-5)


@pytest.mark.parametrize("times", [2, 3])
def test_a_wider_network_does_not_start_from_a_narrow_one(trained: Path, times: int) -> None:
    """Its channels would be copies of one another, and learn alike for ever."""
    wide = build("fast", **{**TINY.model, "channels": [times * channels for channels in TINY.model["channels"]]})
    with pytest.raises(TrainingError, match="a network of another size"):
        warm_start(wide, trained / WEIGHTS)


def test_weights_tell_what_they_began_with(photos: Path, trained: Path, tmp_path: Path) -> None:
    first = load_weights(trained / WEIGHTS)[2]
    second = train(TINY, photos, tmp_path / "second", steps=1, start_from=trained / WEIGHTS)
    resumed = train(TINY, photos, tmp_path / "second", steps=2)
    third = train(TINY, photos, tmp_path / "third", steps=3, start_from=resumed)
    assert second == resumed
    assert "before" not in first
    told = load_weights(third)[2]
    assert [before["model"] for before in told["before"]] == [TINY.name, TINY.name]
    assert [before["steps"] for before in told["before"]] == [first["steps"], 2]
    released = begin_from(build("fast", **load_recipe("fast").model), releases()["fast"].path, tmp_path / "new")
    assert released["before"][-1]["model"] == "fast"
    assert released["before"][-1]["steps"] == metadata_of("fast").training["steps"]
    assert released["before_data"] == metadata_of("fast").training_data


def test_a_recipe_with_prints_is_trained_and_looked_at(photos: Path, tmp_path: Path) -> None:
    scan = load_recipe("scan")
    recipe = replace(
        scan,
        model={"channels": [8, 16], "blocks": [1, 1], "planes": 3},
        data=replace(scan.data, crop=32, batch=2),
        validation=ValidationConfig(every=2, pictures=2, methods=("bayer",)),
    )
    examples = validation_set(photos / "val", recipe, 4)
    assert set(examples) == {"bayer", "prints"}
    assert examples["prints"][0][0].shape[1] == 3
    model, _, progress = load_model(train(recipe, photos, tmp_path, steps=3))
    assert progress["steps"] == 3
    assert set(validate(model, examples, CPU, recipe)) == {"bayer", "prints"}


def test_commands_end_with_the_message_of_an_error() -> None:
    with pytest.raises(SystemExit, match=r"error: .*nowhere.* is not a folder. Give --data"), said_plainly():
        train(TINY, Path("nowhere"), Path("run"), steps=1)
