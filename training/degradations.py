"""What happens to a photograph before the network sees it: one way drawn at random, with its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sdk.halftoning import halftone


class Degradation(Protocol):
    """A family of ways to degrade a photograph: ``HalftoneFamily`` here, ``PrintScan`` in ``training.scanning``."""

    @property
    def weight(self) -> float:
        """How often it is drawn, against the weights of the others."""
        ...

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """uint8 HxW or HxWx3 -> (input, target) of the same shape, float32 in [0, 1]."""
        ...


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

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The halftone as 0 and 1, and the photograph; colour is halftoned channel by channel."""
        name, parameters = self.draw(rng)
        return halftone(photo, name, **parameters).astype(np.float32), photo.astype(np.float32) / 255


def degrade(photo: np.ndarray, families: Sequence[Degradation], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(input, target) by one of ``families``, drawn by their weights."""
    weights = np.array([family.weight for family in families])
    return families[rng.choice(len(families), p=weights / weights.sum())](photo, rng)
