"""What happens to a photograph before the network sees it: a halftoning method drawn at random, with its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sdk.halftoning import halftone


@dataclass(frozen=True)
class HalftoneFamily:
    """One line of a recipe's mix: ``methods`` share ``weight`` evenly; parameters are drawn anew for every crop."""

    methods: tuple[str, ...]
    weight: float
    choose: dict[str, list] = field(default_factory=dict)
    """Parameter -> the values it may take; repeat one to make it likelier."""
    between: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Parameter -> (low, high) of a uniform draw."""

    def draw(self, rng: np.random.Generator) -> tuple[str, dict]:
        """A method name and its parameters."""
        name = self.methods[rng.integers(len(self.methods))]
        parameters = {key: values[rng.integers(len(values))] for key, values in self.choose.items()}
        parameters |= {key: rng.uniform(low, high) for key, (low, high) in self.between.items()}
        return name, parameters


def random_halftone(grey: np.ndarray, mix: Sequence[HalftoneFamily], rng: np.random.Generator) -> np.ndarray:
    """Halftone uint8 HxW by a method drawn from ``mix``; returns bool HxW."""
    weights = np.array([family.weight for family in mix])
    family = mix[rng.choice(len(mix), p=weights / weights.sum())]
    name, parameters = family.draw(rng)
    return halftone(grey, name, **parameters)
