"""Frames of an animation: what stands still is restored alike in all of them.

Each frame is dithered anew, so that the same photograph stands under other dots in each, and what is restored of it differs by a level or
two: it flickers. Where a restoration differs from the mean of those before it by no more than that, the mean goes on; where something
moves or fades, it begins anew.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from sdk.images import Picture, from_unit, to_unit, widened

STILL, AROUND = 2 / 255, 7
"""What AROUND x AROUND px may differ by on the whole, where nothing happens; dither keeps tones, so it is about 1 / 255 there."""
FLICKER = 12 / 255
"""What a pixel may differ by."""
MOST = 8
"""Frames that count; of a slow fade the result is ``STILL`` behind at most, with this many or more."""


class SteadyFrames:
    """For one animation; takes its frames in turn."""

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._frames: np.ndarray | None = None
        """How many the mean of each pixel is of, HxW."""

    def __call__(self, given: Picture, restored: Picture) -> Picture:
        """The restoration of a frame, steadied; pixels that were left as they were given stay so, and what is no frame comes back."""
        if restored.duration is None:
            return restored
        values = to_unit(restored.pixels).astype(np.float32)
        if self._mean is None or self._frames is None or self._mean.shape != values.shape:
            self._mean, self._frames = values, np.ones(values.shape[:2], np.float32)
            return restored
        change = values - self._mean
        still = (_most(cv2.blur(change, (AROUND, AROUND))) <= STILL) & (_most(change) <= FLICKER)
        self._frames = np.where(still, np.minimum(self._frames + 1, MOST), np.float32(1))
        weight = 1 / self._frames
        self._mean = self._mean + change * (weight if change.ndim == 2 else weight[..., None])
        steadied = from_unit(self._mean, restored.pixels.dtype)
        before = widened(given.pixels)
        if before.shape == steadied.shape and before.dtype == steadied.dtype:
            steadied = np.where(restored.pixels == before, restored.pixels, steadied)
        return replace(restored, pixels=steadied)


def _most(change: np.ndarray) -> np.ndarray:
    """Absolute, of the channel that changes most; HxW."""
    size = np.abs(change)
    return size if size.ndim == 2 else size.max(axis=2)
