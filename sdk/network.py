"""One network on one backend: pixels in, restored pixels of the same kind out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sdk.analysis import Analysis, analyze_pixels
from sdk.analysis.spectrum import Peak
from sdk.backends import open_backend
from sdk.errors import ModelError, OptionError
from sdk.images import from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.screen_residue import remove_residue, screen_frequencies
from sdk.tiling import infer_tiled

TWO_LEVEL_SHARE = 0.9
"""A picture with fewer pixels than this near black or white (within 10 %) is no clean 1-bit halftone."""


class NotTwoLevelsWarning(UserWarning):
    """The input is not near two levels, which a model for 1-bit halftones expects."""


class Network:
    """A model as ``InverseHalftoner`` runs it; the arguments are the same."""

    def __init__(
        self,
        model: str | os.PathLike,
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threshold: float | None = None,
        threads: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
    ):
        self._backend, where = open_backend(model, device, backend=backend, precision=precision, threads=threads, tile=tile)
        self.metadata = ModelMetadata.from_props(self._backend.metadata, where)
        _refuse_other_inputs(self.metadata, where)
        self.tile, self.overlap = _tile_and_overlap(self.metadata, _within(tile, self.metadata.tile, self._backend.tile, where), overlap)
        self.threshold = threshold

    def describe(self) -> dict[str, Any]:
        """What runs, and how."""
        return {
            "model": self.metadata.name,
            "backend": self._backend.name,
            "device": self._backend.device,
            "precision": self._backend.precision,
            "tile": self.tile,
            "overlap": self.overlap,
            "threshold": self.threshold,
        }

    def restore(self, pixels: np.ndarray, analysis: Analysis | None = None) -> np.ndarray:
        """HxW or HxWx3 of any accepted dtype -> the same shape and dtype; bool becomes uint8.

        A model that knows screens of some periods only gets a coarser or finer one resized, and the result is resized
        back. ``analysis`` saves measuring the period, where it is known already.
        """
        if self.metadata.periods is None:
            if self.threshold is None:
                warn_if_not_two_levels(pixels)
            return self._restore_planes(pixels)
        height, width = pixels.shape[:2]
        found = analysis or analyze_pixels(pixels)
        factor = fitting_scale(found.period, self.metadata.periods)
        fitted = resize(pixels, max(8, round(height * factor)), max(8, round(width * factor)))
        return resize(self._restore_planes(fitted, screen_frequencies(luma(fitted))), height, width)

    def _restore_planes(self, pixels: np.ndarray, screen: Sequence[Peak] = ()) -> np.ndarray:
        if self.metadata.input_color == "rgb" or pixels.ndim == 2:
            return self._infer(pixels, screen)
        first = self._infer(np.ascontiguousarray(pixels[..., 0]), screen)
        planes = [first]
        for c in (1, 2):  # a grey picture stored as RGB is restored once, and stays exactly grey
            same = np.array_equal(pixels[..., c], pixels[..., 0])
            planes.append(first if same else self._infer(np.ascontiguousarray(pixels[..., c]), screen))
        return np.stack(planes, axis=-1)

    def _infer(self, pixels: np.ndarray, screen: Sequence[Peak]) -> np.ndarray:
        grey_to_rgb = self.metadata.input_color == "rgb" and pixels.ndim == 2

        def infer(part: np.ndarray) -> np.ndarray:  # tiles become float one at a time: a whole page of floats would be four times the page
            values = to_unit(part)
            values = values if self.threshold is None else (values > self.threshold).astype(np.float32)
            if not grey_to_rgb:
                return self._backend.run(values)
            return self._backend.run(np.repeat(values, 3, axis=1)).mean(axis=1, keepdims=True)

        restored = infer_tiled(pixels, infer, self.tile, self.overlap, self.metadata.size_multiple)
        return from_unit(remove_residue(restored, screen), pixels.dtype)


def fitting_scale(period: float | None, periods: tuple[float, float]) -> float:
    """How much to resize a picture so that its screen has a period (px) within ``periods``; 1 where it has, or there is none."""
    if period is None or periods[0] <= period <= periods[1]:
        return 1.0
    return (periods[0] * periods[1]) ** 0.5 / period if period > periods[1] else periods[0] / period


def luma(pixels: np.ndarray) -> np.ndarray:
    """float32 HxW, 0..255."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(from_unit(to_unit(pixels), np.uint8), cv2.COLOR_RGB2GRAY)
    return to_unit(grey) * np.float32(255)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """To height x width: means of areas where that is smaller, cubic where it is larger; bool becomes uint8."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.bool_:
        pixels = from_unit(to_unit(pixels), np.uint8)
    smaller = height <= pixels.shape[0] and width <= pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.clip(resized, 0, 1) if pixels.dtype == np.float32 else resized


def _within(asked: int | None, usual: int, limit: int | None, where: str) -> int:
    """The tile to use: what was asked for, or the model's, but no larger than an engine takes."""
    if asked is None:
        return usual if limit is None else min(usual, limit)
    if limit is not None and isinstance(asked, int) and asked > limit:
        raise OptionError(f"tile is {asked} px, but {where} was built for tiles up to {limit} px. Pass a smaller one, or build it anew.")
    return asked


def _tile_and_overlap(metadata: ModelMetadata, tile: int, overlap: int | None) -> tuple[int, int]:
    """The tile checked, and the overlap, or the model's: tiles overlap by twice the reach of the context."""
    multiple = metadata.size_multiple
    if not isinstance(tile, int) or tile < 64 or tile % multiple:
        raise OptionError(f"tile is {tile!r} px; it must be a whole number, at least 64 and a multiple of {multiple}.")
    if overlap is None:
        overlap = 2 * metadata.halo
        if overlap > tile // 3:
            smallest = -(-3 * overlap // multiple) * multiple
            raise OptionError(f"tile is {tile} px, but below {smallest} px seams may show with this model; or pass an overlap too.")
    if not isinstance(overlap, int) or not 0 <= overlap <= tile // 3:
        raise OptionError(f"overlap is {overlap!r} px; it must be a whole number, 0..{tile // 3} (a third of the tile).")
    return tile, overlap


def _refuse_other_inputs(metadata: ModelMetadata, where: str) -> None:
    """This version feeds one grey plane or RGB in [0, 1] and nothing else."""
    colours = (metadata.input_color, metadata.output_color)
    if colours not in (("grey", "grey"), ("rgb", "rgb")) or metadata.input_range != (0.0, 1.0) or metadata.needs_noise:
        raise ModelError(
            f"{where} takes {metadata.input_color} in {metadata.input_range}{' and noise' if metadata.needs_noise else ''}; "
            "this version runs models of one grey plane or of RGB in (0.0, 1.0). Upgrade inverse-halftoner."
        )


def two_level_share(pixels: np.ndarray) -> float:
    """Share of values within 10 % of black or white."""
    if pixels.dtype == np.bool_:
        return 1.0
    white = 1.0 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    return float(np.mean((pixels < 0.1 * white) | (pixels > 0.9 * white)))


def warn_if_not_two_levels(pixels: np.ndarray) -> None:
    """One constant text, so that Python's warning filters show it once a program unless told otherwise."""
    if two_level_share(pixels) < TWO_LEVEL_SHARE:
        warnings.warn(
            "The pixels are not near black and white: this is no clean 1-bit halftone, and is restored as it is. "
            "If it is a scan of print, use the model 'scan' (--model scan), or 'auto', which looks first. If JPEG coding or smoothing "
            "blurred its dots, pass threshold=0.5 (--threshold 0.5); if it was resized, go back to the original size.",
            NotTwoLevelsWarning,
            stacklevel=5,
        )
