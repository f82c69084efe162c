"""Which tiles a pixel is blended of, looked up from the pixel: the tables of the kernels' gather.

``sdk.tiling.spans`` says what each tile gives; the kernels ask the other way round. The weights are its own, so that there is one
formula of the fade, and both ways blend alike to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdk.cuda.driver import Driver
from sdk.cuda.kernels import AXIS
from sdk.errors import OptionError
from sdk.tiling import Span, padded, spans


@dataclass(frozen=True)
class GatherAxis:
    """One axis of a picture of ``length`` px, cut into tiles of ``tile`` px."""

    length: int
    tile: int
    starts: np.ndarray
    """int32, one a tile: its first pixel."""
    first: np.ndarray
    """int32, one a pixel: the first tile that counts there; besides it at most the next one does."""
    weights: np.ndarray
    """float32 (length, 2): how much these two count."""


def gather_axis(length: int, tile: int, overlap: int, multiple: int = 1) -> GatherAxis:
    """The tiles of ``sdk.tiling`` along one axis: of the length padded to a ``multiple``, weighed up to the true one."""
    return _turned(spans(padded(length, multiple), tile, overlap, multiple), length)


def _turned(tiles: Sequence[Span], length: int) -> GatherAxis:
    first = np.full(length, -1, np.int32)
    weights = np.zeros((length, 2), np.float32)
    for i, span in enumerate(tiles):
        pixels = span.start + np.flatnonzero(span.weights)
        pixels = pixels[pixels < length]
        found = first[pixels] >= 0
        if (first[pixels[found]] != i - 1).any():
            raise OptionError(f"Three tiles of {span.weights.size} px would be blended in one pixel. Use a smaller overlap.")
        first[pixels[~found]] = i
        weights[pixels, found.astype(int)] = span.weights[pixels - span.start]
    return GatherAxis(length, tiles[0].weights.size, np.array([span.start for span in tiles], np.int32), first, weights)


class PlacedAxis:
    """A ``GatherAxis`` in GPU memory; ``fields`` is a ``struct Axis`` but for ``extent``, which is the engine's to say."""

    def __init__(self, driver: Driver, axis: GatherAxis):
        tables = (axis.starts, axis.first, axis.weights)
        self.tile = axis.tile
        self.tiles = axis.starts.size
        self._host = np.concatenate([table.view(np.int32).ravel() for table in tables])  # lives until it is copied
        self._buffer = driver.allocate(self._host.nbytes)
        driver.copy_in(self._buffer, self._host)
        starts = self._buffer.address
        first, weights = starts + axis.starts.nbytes, starts + axis.starts.nbytes + axis.first.nbytes
        self.fields = np.array((starts, first, weights, axis.length, self.tiles, axis.tile, axis.tile), AXIS)
