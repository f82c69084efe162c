"""Self-ensemble: the mean of what a network makes of a picture in each way that is alike to it (Lim et al., EDSR, CVPRW 2017, section 3.3).

Prints and pictures of few bits are alike however they lie: eight ways. Dithers are not, since error diffusion runs down and to the right;
but the negative of one is the error diffusion of the negative: two ways. Ordered dots are not alike at all: the thresholds, which networks
know, are others in a negative. Nor are palettes, of which networks know the colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from sdk.analysis.methods import DIFFUSIONS
from sdk.errors import OptionError
from sdk.metadata import ModelMetadata
from sdk.turn import Turn


@dataclass(frozen=True)
class View:
    """A way to show a picture to a network: turned, then as a negative or not."""

    turn: Turn = Turn()
    negative: bool = False

    def apply(self, planes: np.ndarray, colours: int) -> np.ndarray:
        """(1, C, h, w), of which the first ``colours`` are the picture in [0, 1], as the network is to see it; the rest is turned only."""
        seen = self._turned(planes, self.turn.apply)
        return np.concatenate([1 - seen[:, :colours], seen[:, colours:]], axis=1) if self.negative else seen

    def undo(self, restored: np.ndarray) -> np.ndarray:
        """(1, colours, h, w) of the network, as the picture lies."""
        return self._turned(1 - restored if self.negative else restored, self.turn.undo)

    @staticmethod
    def _turned(planes: np.ndarray, turn: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(turn(np.moveaxis(planes[0], 0, -1)), -1, 0)[None])


ORIENTATIONS = tuple(View(Turn(degrees, mirrored)) for mirrored, degrees in product((False, True), (0, 90, 180, 270)))
NEGATIVE = (View(), View(negative=True))
ONCE = (View(),)


def check_self_ensemble(self_ensemble: bool, metadata: ModelMetadata) -> bool:
    """The option, or an ``OptionError`` for a model that starts from noise."""
    if self_ensemble and metadata.needs_noise:
        raise OptionError(f"{metadata.name!r} starts from noise: the mean of its results is a blur. Leave self_ensemble out.")
    return self_ensemble


def views_of(metadata: ModelMetadata, told: float = 0.0) -> tuple[View, ...]:
    """The ways in which a picture is alike to a model, by what that is for; ``told``: the value of its plane ``method``."""
    if metadata.task == "bit-depth-expansion" or metadata.periods is not None:
        return ORIENTATIONS
    number = round(256 * told)
    methods = metadata.methods[max(0, number - 1) : number] if "method" in metadata.conditions else metadata.methods
    diffused = bool(methods) and all(method.removesuffix(", serpentine") in DIFFUSIONS for method in methods)
    return NEGATIVE if diffused else ONCE


def mean_over(views: tuple[View, ...], run: Callable[[np.ndarray], np.ndarray], planes: np.ndarray, colours: int) -> np.ndarray:
    """``run`` on (1, C, h, w) in each of ``views``: their mean, as the picture lies."""
    if views == ONCE:
        return run(planes)
    total = np.zeros_like(planes[:, :colours])
    for view in views:
        total += view.undo(run(view.apply(planes, colours)))
    return total / np.float32(len(views))
