"""Settings of a filter without a network, for the tables: the best that can be found on val, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from sdk.metrics import psnr

Filter = Callable[..., np.ndarray]
Filters = Mapping[str, tuple[Filter, Mapping[str, Sequence[float]]]]
"""Name -> (function, values of each of its settings, in geometric rows, where the search for the best begins)."""

LEAST_GAIN = 0.005
"""dB; less is no reason to go on."""


def tune(filters: Filters, pairs: Sequence[tuple[tuple[Any, ...], np.ndarray]]) -> dict[str, tuple[dict[str, float], Filter]]:
    """Name -> (settings, function with these): those of best mean PSNR on ``pairs`` of (what the function is given, true picture)."""
    tuned = {}
    for name, (function, grid) in filters.items():

        def score(function: Filter = function, **settings: float) -> float:
            return float(np.mean([psnr(function(*given, **settings), truth) for given, truth in pairs]))

        best = best_settings(score, grid)
        tuned[name] = best, partial(function, **best)
    return tuned


def best_settings(score: Callable[..., float], grid: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The settings of the highest ``score(**settings)``, dB.

    All combinations of the grid are tried; from the best, one setting at a time is taken
    a step of its row further, and half a step, until nothing gains. So the rows say where the search begins, and do not limit it.
    """
    scored: dict[tuple[float, ...], float] = {}

    def rate(values: tuple[float, ...]) -> float:
        if values not in scored:
            scored[values] = score(**dict(zip(grid, values)))
        return scored[values]

    best = max(product(*grid.values()), key=rate)
    for part in (1, 0.5):
        steps = [(row[1] / row[0]) ** part for row in grid.values()]
        while True:
            further = max(_neighbours(best, steps), key=rate)
            if rate(further) < rate(best) + LEAST_GAIN:
                break
            best = further
    return dict(zip(grid, best))


def _neighbours(values: tuple[float, ...], steps: Sequence[float]) -> Iterator[tuple[float, ...]]:
    for i, step in enumerate(steps):
        for moved in (values[i] * step, values[i] / step):
            yield (*values[:i], float(f"{moved:.3g}"), *values[i + 1 :])
