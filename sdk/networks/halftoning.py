"""Networks that halftone: continuous tone in, black and white out."""

from __future__ import annotations

import inspect

import numpy as np

from sdk.images import to_unit
from sdk.networks.direct_binary_search import search
from sdk.networks.network import Network

OPTIONS = tuple(
    p.name for p in inspect.signature(Network.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "self_ensemble"
)
"""What ``Halftoner`` takes for a model, in place of a method's parameters."""


class HalftoningNetwork(Network):
    """A model as ``Halftoner`` runs it; the keywords are those of ``Network``."""

    task = "halftoning"
    may_need_noise = True

    def halftone(self, pixels: np.ndarray, seed: int | None = None) -> np.ndarray:
        """HxW or HxWx3 of any accepted dtype -> bool of the same shape, True = white: where the network says more than 0.5; then, where the
        model's metadata say so, direct binary search.

        Colour is halftoned channel by channel, each from noise of its own; grey stored as RGB stays exactly grey.
        """

        def infer(part: np.ndarray, *noise: np.ndarray) -> np.ndarray:
            return self._run(to_unit(part), *noise)

        def one(plane: np.ndarray, channel: int) -> np.ndarray:
            white = self._by_tiles(plane, infer, seed, channel) > 0.5
            return search(white, to_unit(plane)) if self.metadata.tone_search else white

        return self._by_channel(pixels, one)
