"""What happens to a photograph before the network sees it: one way drawn at random, with its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Protocol

import cv2
import numpy as np

from sdk.analysis.methods import LABELS, label_of, method_number
from sdk.errors import OptionError
from sdk.halftoner import Halftoner
from sdk.halftoning import halftone, method_named
from sdk.images import to_unit


class Degradation(Protocol):
    """A family of ways to degrade a photograph: ``HalftoneFamily``, ``LearnedHalftone`` and ``BitDepth`` here, ``PrintScan`` in
    ``training.scanning``."""

    @property
    def weight(self) -> float:
        """How often it is drawn, against the weights of the others."""
        ...

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """uint8 HxW or HxWx3 -> (input, target), float32 in [0, 1], of the same shape but for planes that condition the network."""
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
    grey: float = 0.0
    """Chance that a colour picture loses its colour first."""
    told: float | None = None
    """Chance that the network is told the method, in one more plane of its number / 256; None: it has no such plane."""

    def __post_init__(self) -> None:
        if not self.methods or not self.weight > 0:
            raise OptionError(f"A family of halftones has methods {list(self.methods)} and weight {self.weight:g}; it needs some of each.")
        for name in self.methods:
            method_named(name).check_names((*self.choose, *self.between))

    @property
    def labels(self) -> set[str]:
        """The names of the methods that the network is told (``sdk.analysis.methods``)."""
        if self.told is None:
            return set()
        calls = (dict(zip(self.choose, values)) for values in product(*self.choose.values()))
        return {label for parameters in calls for method in self.methods if (label := label_of(method, parameters))}

    def draw(self, rng: np.random.Generator) -> tuple[str, dict]:
        """A method name and its parameters."""
        name = self.methods[rng.integers(len(self.methods))]
        parameters = {key: values[rng.integers(len(values))] for key, values in self.choose.items()}
        parameters |= {key: rng.uniform(low, high) for key, (low, high) in self.between.items()}
        return name, parameters

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The halftone (two levels, or the colours of a palette), and the photograph; colour is halftoned channel by channel."""
        name, parameters = self.draw(rng)
        photo = without_colour(photo, self.grey, rng)
        dots = to_unit(halftone(photo, name, **parameters))
        if self.told is not None:
            dots = with_method(dots, label_of(name, parameters) if rng.random() < self.told else None)
        return dots, to_unit(photo)


def with_method(dots: np.ndarray, label: str | None) -> np.ndarray:
    """float32 HxW or HxWx3 -> with the plane that tells a network the method of its dots, or that it is not known."""
    return np.dstack([dots, np.full(dots.shape[:2], method_number(label, LABELS) / 256, np.float32)])


@dataclass(frozen=True)
class LearnedHalftone:
    """Halftones that a network makes, another pattern for every crop (Jiang & Mu 2022, section 3.3)."""

    model: str
    """What ``sdk.Halftoner`` takes: a released name, or the path of an .onnx file."""
    weight: float

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The halftone (two levels, colour channel by channel), and the photograph."""
        return to_unit(_halftoner(self.model).run(photo, seed=int(rng.integers(2**31)))), to_unit(photo)


@cache
def _halftoner(model: str) -> Halftoner:
    """One a process, on one thread: the network that is trained has the others."""
    return Halftoner(model, device="cpu", threads=1)


@dataclass(frozen=True)
class BitDepth:
    """Colour pictures cut to a few bits by floor (Hou & Qiu 2017, eq. 2); the network is told how many, in a fourth plane of bits / 8."""

    weight: float
    bits: tuple[int, ...]
    """One of them is drawn; repeat one to make it likelier."""
    grey: float
    """Chance that the picture loses its colour first."""

    def __call__(self, photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """uint8 HxWx3 -> (HxWx4, HxWx3)."""
        bits = self.bits[rng.integers(len(self.bits))]
        photo = without_colour(photo, self.grey, rng)
        cut = to_unit(halftone(photo, "bit-depth", bits=bits))
        return np.dstack([cut, np.full(photo.shape[:2], bits / 8, np.float32)]), to_unit(photo)


def without_colour(photo: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """The photograph, or its grey in three equal planes."""
    if photo.ndim == 2 or rng.random() >= chance:
        return photo
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def degrade(photo: np.ndarray, families: Sequence[Degradation], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(input, target) by one of ``families``, drawn by their weights."""
    weights = np.array([family.weight for family in families])
    return families[rng.choice(len(families), p=weights / weights.sum())](photo, rng)
