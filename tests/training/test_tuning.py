"""The search for the settings of filters."""

from __future__ import annotations

import numpy as np
import pytest

from training.tuning import best_settings, tune


def hill(aims: dict[str, float]):
    """A score with its top at ``aims``, falling with the ratios to them."""

    def score(**settings: float) -> float:
        return -10 * sum(abs(np.log(value / aims[name])) for name, value in settings.items())

    return score


@pytest.mark.parametrize("aims", [{"a": 2.0, "b": 10.0}, {"a": 40.0, "b": 0.3}, {"a": 0.02, "b": 900.0}])
def test_the_top_is_found_within_the_grid_and_beyond_its_ends(aims: dict[str, float]) -> None:
    found = best_settings(hill(aims), {"a": (1, 2, 4), "b": (5, 10, 20)})
    for name, aim in aims.items():
        assert aim / 1.2 <= found[name] <= aim * 1.2  # half a step is 1.41


def test_a_score_that_only_creeps_up_ends_the_search() -> None:
    asked = []

    def score(a: float) -> float:
        asked.append(a)
        return -1 / a

    found = best_settings(score, {"a": (1, 2, 4)})
    assert 1 / found["a"] < 0.02
    assert len(asked) == len(set(asked)) < 20


def test_filters_are_tuned_to_what_they_are_given() -> None:
    rng = np.random.default_rng(0)
    pairs = [((picture, 3), np.minimum(255, picture * 2.5).round().astype(np.uint8)) for picture in rng.integers(0, 99, (2, 16, 16))]

    def gained(picture: np.ndarray, offset: int, factor: float) -> np.ndarray:
        assert offset == 3
        return np.clip(picture * factor, 0, 255).astype(np.uint8)

    settings, function = tune({"gain": (gained, {"factor": (0.5, 1.0)})}, pairs)["gain"]
    assert settings["factor"] == pytest.approx(2.5, rel=0.2)
    np.testing.assert_array_equal(function(*pairs[0][0]), gained(*pairs[0][0], **settings))
