"""Cut a picture into overlapping tiles and blend the results (numpy; the reference for the CUDA kernels).

Along each axis neighbours share at least ``overlap`` pixels. In the middle of what they share (half of it, but at most a
sixth of the tile, so that fades never meet), one fades into the other by a squared-sine (Hann) ramp; outside it, where a
tile lacks context, it counts for nothing. The weights of all tiles add up to one everywhere, so nothing is divided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from sdk.errors import OptionError

Infer = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Span:
    """One tile along one axis: pixels ``start`` .. ``start + weights.size`` and how much each counts."""

    start: int
    weights: np.ndarray

    @property
    def slice(self) -> slice:
        return slice(self.start, self.start + self.weights.size)


def spans(length: int, tile: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Evenly spread tiles of one size, at most ``tile``, that cover ``length`` pixels; a single one where it fits.

    ``length`` and ``tile`` are multiples of ``multiple``, and so is every start: a network that works on 2x2 or 8x8
    blocks must see them at the same places in a tile as in the whole picture.
    """
    if not 0 <= overlap <= tile // 3:
        # a pixel shared by three tiles must lie on one fade only, or the weights would not add up to one
        raise OptionError(f"tile = {tile} px, overlap = {overlap} px: the overlap must be 0 .. a third of the tile.")
    if overlap > tile - multiple and overlap:
        raise OptionError(f"tile = {tile} px, overlap = {overlap} px: tiles start at multiples of {multiple} px, so use a larger tile.")
    if length <= tile:
        return [Span(0, np.ones(length, np.float32))]
    shared = overlap + multiple - 1  # rounding the starts may eat up to multiple - 1 pixels of what tiles share
    count = 1 + -(-(length - tile) // max(tile - shared, multiple))
    tile = min(tile, -(-(length + (count - 1) * shared) // (count * multiple)) * multiple)  # no larger than that many tiles need
    starts = (np.linspace(0, (length - tile) // multiple, count).round().astype(int) * multiple).tolist()
    weights = [np.ones(tile, np.float32) for _ in starts]
    for i, (left, right) in enumerate(pairwise(starts)):
        shared = left + tile - right
        width = max(min(shared, tile // 3) / 2, 0.5)
        fade = np.clip((np.arange(shared, dtype=np.float32) + 0.5 - shared / 2) / width + 0.5, 0, 1)
        rise = np.sin(np.pi / 2 * fade) ** 2
        weights[i + 1][:shared] *= rise
        weights[i][tile - shared :] *= 1 - rise
    return [Span(start, w) for start, w in zip(starts, weights)]


def padded(length: int, multiple: int) -> int:
    """What ``infer_tiled`` pads a side of ``length`` px to."""
    return length + -length % multiple


def infer_tiled(
    picture: np.ndarray, infer: Infer, tile: int, overlap: int, multiple: int = 1, beside: np.ndarray | None = None
) -> np.ndarray:
    """Run ``infer`` over a HxW or HxWx3 ``picture`` tile by tile; float32 of the same shape.

    ``infer`` takes (1, planes, h, w) of the picture's dtype and gives float32 of that shape. The picture is padded by
    reflection at the bottom and right to a ``multiple``, and cut again.

    beside: HxW of the ``padded`` sides; ``infer`` then takes the (1, 1, h, w) of it that lie where the tile does, as its second argument.
    """
    height, width = picture.shape[:2]
    planes = np.moveaxis(picture.reshape(height, width, -1), -1, 0)
    if height % multiple or width % multiple:
        planes = np.pad(planes, ((0, 0), (0, padded(height, multiple) - height), (0, padded(width, multiple) - width)), mode="symmetric")
    given = [planes] if beside is None else [planes, beside[None]]
    rows, columns = (spans(length, tile, overlap, multiple) for length in planes.shape[1:])
    if len(rows) == len(columns) == 1:
        whole = infer(*(np.ascontiguousarray(each[None]) for each in given))[0]
    else:
        whole = np.zeros(planes.shape, np.float32)
        for row, column in product(rows, columns):
            part = infer(*(np.ascontiguousarray(each[None, :, row.slice, column.slice]) for each in given))[0]
            whole[:, row.slice, column.slice] += part * (row.weights[:, None] * column.weights[None, :])
    return np.moveaxis(whole[:, :height, :width], 0, -1).reshape(picture.shape)
