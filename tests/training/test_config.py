"""``training.config``: recipes load, mistakes are named, and what is stored beside weights reads back as it was."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from sdk.analysis.methods import LABELS
from sdk.errors import OptionError
from sdk.halftoning import METHODS
from training.config import RECIPES, Recipe, RecipeError, from_table, load_recipe, to_table
from training.models import build

TABLE: dict[str, Any] = {
    "name": "tiny",
    "architecture": "fast",
    "steps": 10,
    "model": {"channels": [8, 16], "blocks": [1, 1]},
    "data": {"mix": [{"methods": ["am-screen"], "weight": 1, "choose": {"dot": ["round"]}, "between": {"lpi": [75.0, 150]}}]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A copy of the table with the value at "a.b.0.c" set."""
    table = copy.deepcopy(TABLE)
    *parents, last = path.split(".")
    place: Any = table
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return table


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_load(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe == load_recipe(path)
    assert recipe.name == path.stem
    build(recipe.architecture, **recipe.model)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_name_known_methods_and_parameters(path: Path) -> None:
    recipe = load_recipe(path)
    assert set(recipe.validation.methods) <= METHODS.keys()
    for family in recipe.data.mix:
        for method in family.methods:
            assert family.choose.keys() | family.between.keys() <= METHODS[method].parameters.keys()


def test_fast_sees_all_methods_and_is_told_of_them() -> None:
    """Every error diffusion and the ordered methods; the weights add up, and the network knows as many numbers as there are names."""
    recipe = load_recipe("fast")
    seen = {method for family in recipe.data.mix for method in family.methods}
    assert seen >= {name for name, method in METHODS.items() if method.family == "error diffusion"} | {"bayer", "clustered-dot"}
    assert sum(family.weight for family in recipe.data.mix) == pytest.approx(1)
    assert recipe.data.methods == LABELS[:-1]  # all but white noise
    assert recipe.model["methods"] == len(LABELS)


def test_methods_that_were_not_taught_have_no_name() -> None:
    mix = [
        {"methods": ["stucki"], "weight": 1.0, "choose": {"serpentine": [False, True]}, "told": 0.5},
        {"methods": ["am-screen"], "weight": 1.0, "told": 0.5},
    ]
    names = from_table(Recipe, changed("data.mix", mix) | {"model": {"methods": len(LABELS)}}, "table").data.methods
    assert {name: i for i, name in enumerate(names) if name} == {label: LABELS.index(label) for label in ("stucki", "stucki, serpentine")}
    assert load_recipe("prl").data.methods == ()


def test_values_are_converted() -> None:
    recipe = from_table(Recipe, TABLE, "table")
    family = recipe.data.mix[0]
    assert family.methods == ("am-screen",)
    assert (family.weight, type(family.weight)) == (1.0, float)
    assert family.between == {"lpi": (75.0, 150.0)}
    assert recipe.optimiser.name == "muon"  # a default


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("step", r"unknown key 'step'.*Did you mean 'steps'"),
        ("data.crops", r"data.*unknown key 'crops'.*Did you mean 'crop'"),
        ("data.mix.0.chose", r"mix.*unknown key 'chose'.*Did you mean 'choose'"),
    ],
)
def test_unknown_key_names_the_nearest(path: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        from_table(Recipe, changed(path, 1), "table")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("steps", "many", "steps must be int"),
        ("steps", 1.5, "steps must be int"),
        ("steps", True, "steps must be int"),
        ("name", 3, "name must be str"),
        ("data", [], "data must be a table"),
        ("data.mix", "bayer", "mix must be a list"),
        ("data.mix.0.weight", "half", "weight must be float"),
        ("data.mix.0.methods", "bayer", "methods must be a list"),
        ("data.mix.0.methods", [1], "methods must be str"),
        ("data.mix.0.choose", {"dot": "round"}, "dot must be list"),
        ("model", 5, "model must be a table"),
    ],
)
def test_wrong_type(path: str, value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        from_table(Recipe, changed(path, value), "table")


@pytest.mark.parametrize("bounds", [[75.0], [75.0, 100.0, 150.0]])
def test_wrong_length(bounds: list[float]) -> None:
    with pytest.raises(RecipeError, match=f"lpi must have 2 values, not {len(bounds)}"):
        from_table(Recipe, changed("data.mix.0.between", {"lpi": bounds}), "table")


@pytest.mark.parametrize("key", ["name", "architecture", "data", "steps"])
def test_missing_key(key: str) -> None:
    with pytest.raises(RecipeError, match=f"'{key}' is missing"):
        from_table(Recipe, {k: v for k, v in TABLE.items() if k != key}, "table")


def test_missing_key_of_an_inner_table() -> None:
    with pytest.raises(RecipeError, match=r"data: mix.*'weight' is missing"):
        from_table(Recipe, changed("data", {"mix": [{"methods": ["bayer"]}]}), "table")


def test_a_recipe_trains_on_something() -> None:
    with pytest.raises(RecipeError, match="names nothing to train on"):
        from_table(Recipe, changed("data", {"crop": 32}), "table")


@pytest.mark.parametrize(
    "recipe", [load_recipe("fast"), load_recipe("scan"), from_table(Recipe, TABLE, "table")], ids=["fast", "scan", "tiny"]
)
def test_round_trip(recipe: Recipe) -> None:
    assert from_table(Recipe, to_table(recipe), "table") == recipe
    assert from_table(Recipe, json.loads(json.dumps(to_table(recipe))), "JSON") == recipe


def test_missing_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'fats'.*Did you mean 'fast'"):
        load_recipe("fats")


def test_broken_toml(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = ")
    with pytest.raises(RecipeError, match=r"broken\.toml is not valid TOML"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("data.batch", 0, "batch is 0"),
        ("data.crop", 0, "crop is 0"),
        ("data.margin", -1, "margin is -1"),
        ("validation", {"every": 0}, "every is 0"),
        ("validation", {"pictures": 0}, "pictures is 0"),
        ("optimiser", {"warmup_steps": -1}, "warmup_steps is -1"),
        ("optimiser", {"clip_norm": 0.0}, "clip_norm is 0"),
        ("optimiser", {"ema_decay": 1.5}, "ema_decay is 1.5"),
        ("model", {"methods": 20}, "does not say how often"),
        ("data.mix", [{"methods": ["stucki"], "weight": 1.0, "told": 0.5}], "says how often"),
        ("data.learned", [{"model": "cdh", "weight": 1.0}], None),
    ],
)
def test_values_out_of_range_are_named(path: str, value: Any, text: str | None) -> None:
    if text is None:
        from_table(Recipe, changed(path, value), "tiny.toml")
    else:
        with pytest.raises(RecipeError, match=text):
            from_table(Recipe, changed(path, value), "tiny.toml")


def test_all_families_tell_their_method_or_none() -> None:
    families = [{"methods": ["bayer"], "weight": 1.0, "told": 0.5}, {"methods": ["stucki"], "weight": 1.0}]
    with pytest.raises(RecipeError, match="give each its told"):
        from_table(Recipe, changed("data.mix", families), "tiny.toml")


def test_the_network_must_have_a_place_for_each_method() -> None:
    table = changed("data.mix", [{"methods": ["blue-noise"], "weight": 1.0, "told": 0.5}])
    number = LABELS.index("blue-noise") + 1
    from_table(Recipe, table | {"model": {"methods": number}}, "tiny.toml")
    with pytest.raises(RecipeError, match=f"numbered up to {number}"):
        from_table(Recipe, table | {"model": {"methods": number - 1}}, "tiny.toml")


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ({"methods": [], "weight": 1.0}, "needs some of each"),
        ({"methods": ["bayer"], "weight": 0.0}, "needs some of each"),
        ({"methods": ["stuki"], "weight": 1.0}, "Did you mean 'stucki'"),
        ({"methods": ["bayer"], "weight": 1.0, "choose": {"sise": [2]}}, "Did you mean 'size'"),
    ],
)
def test_families_that_would_fail_when_they_are_drawn(family: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        from_table(Recipe, changed("data.mix", [family]), "tiny.toml")
