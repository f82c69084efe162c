"""Networks on backends: pixels in, restored pixels of the same kind out."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from sdk.backends import Backend, open_backend
from sdk.catalog import metadata_of
from sdk.engines.file import ENGINE_SUFFIX
from sdk.errors import ModelError, OptionError
from sdk.images import is_grey
from sdk.metadata import ModelMetadata
from sdk.networks.noise import DEFAULT_SEED, check_seed, noise_field
from sdk.networks.self_ensemble import ONCE, View, check_self_ensemble, mean_over, views_of
from sdk.tiling import Infer, infer_tiled, padded

RUN_BY = {
    "inverse-halftoning": "sdk.InverseHalftoner (inverse-halftoner restore)",
    "bit-depth-expansion": "sdk.BitDepthExpander (inverse-halftoner expand)",
    "halftoning": "sdk.Halftoner (inverse-halftoner halftone)",
}
"""Task -> who runs its models."""


class Network:
    """A model on a backend, and the tiles it works on; each subclass runs the models of one task."""

    task: ClassVar[str]
    """Of ``sdk.metadata.TASKS``."""
    known_conditions: ClassVar[tuple[tuple[str, ...], ...]] = ((),)
    """The planes that it can give after those of the picture."""
    may_need_noise: ClassVar[bool] = False
    """Whether it gives a plane of noise after these to models that need it."""

    def __init__(
        self,
        model: str | os.PathLike | Backend,
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threads: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
        self_ensemble: bool = False,
    ):
        if isinstance(model, (str, os.PathLike)) and Path(model).suffix.lower() != ENGINE_SUFFIX and (tile, overlap) != (None, None):
            check_tiles(metadata_of(model), tile, overlap)  # before an engine is built for minutes
        self._backend, where = open_backend(model, device, backend=backend, precision=precision, threads=threads, tile=tile)
        self.metadata = ModelMetadata.from_props(self._backend.metadata, where)
        _refuse_other_tasks(self.metadata, self.task, where)
        _refuse_other_inputs(self.metadata, self.known_conditions, self.may_need_noise, where)
        self.self_ensemble = check_self_ensemble(self_ensemble, self.metadata)
        self.tile, self.overlap = check_tiles(self.metadata, _within(tile, self.metadata.tile, self._backend.tile, where), overlap)

    def describe(self) -> dict[str, Any]:
        """What runs, and how."""
        facts = {
            "model": self.metadata.name,
            "backend": self._backend.name,
            "device": self._backend.device,
            "precision": self._backend.precision,
            "tile": self.tile,
            "overlap": self.overlap,
        }
        if self.metadata.needs_noise:
            facts |= {"needs_noise": True, "num_inference_steps": self.metadata.num_inference_steps, "tiled_on": "cpu"}
        return facts | ({"self_ensemble": True, "tiled_on": "cpu"} if self.self_ensemble else {})

    def check_seed(self, seed: int | None) -> None:
        """``OptionError`` for an invalid seed, or one that a model without noise would ignore."""
        check_seed(seed, repr(self.metadata.name), self.metadata.needs_noise)

    def _by_channel(self, pixels: np.ndarray, run: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
        """``run`` takes all of ``pixels`` (grey, or for models of RGB) with 0, or one HxW channel of colour with its number."""
        if pixels.ndim == 3 and is_grey(pixels):  # stored as RGB: it is computed once, and stays exactly grey
            return np.repeat(run(np.ascontiguousarray(pixels[..., 0]), 0)[..., None], 3, axis=-1)
        if self.metadata.input_color == "rgb" or pixels.ndim == 2:
            return run(pixels, 0)
        return np.stack([run(np.ascontiguousarray(pixels[..., c]), c) for c in range(3)], axis=-1)

    def _by_tiles(self, pixels: np.ndarray, infer: Infer, seed: int | None = None, channel: int = 0) -> np.ndarray:
        """``infer`` takes a tile in the dtype of ``pixels``: so a page becomes floats, four times its size, one tile at a time.

        Where the model needs noise, it takes as its second argument the tile's part of the one field that ``seed`` and ``channel`` give
        a picture of this size.
        """
        multiple, noise = self.metadata.size_multiple, None
        if self.metadata.needs_noise:
            height, width = (padded(side, multiple) for side in pixels.shape[:2])
            noise = noise_field(DEFAULT_SEED if seed is None else seed, channel, height, width)
        return infer_tiled(pixels, infer, self.tile, self.overlap, multiple, noise)

    def _views(self, told: float = 0.0) -> tuple[View, ...]:
        """In which the network sees a picture, whose plane ``method`` is ``told``."""
        return views_of(self.metadata, told) if self.self_ensemble else ONCE

    def _run(self, values: np.ndarray, *conditions: float | np.ndarray, views: tuple[View, ...] = ONCE) -> np.ndarray:
        """(1, planes, h, w) float32 -> the same; a grey plane is given thrice to models of RGB, and the mean of the three comes back.

        Each of ``conditions`` becomes one more plane: a value everywhere, or (1, 1, h, w). What comes back is the mean over ``views``.
        """
        grey_to_rgb = self.metadata.input_color == "rgb" and values.shape[1] == 1
        planes = [np.repeat(values, 3, axis=1) if grey_to_rgb else values]
        planes += [np.full_like(values[:, :1], condition) for condition in conditions]
        given = np.concatenate(planes, axis=1) if conditions else planes[0]
        restored = mean_over(views, self._backend.run, given, colours=planes[0].shape[1])
        return restored.mean(axis=1, keepdims=True) if grey_to_rgb else restored


def _within(asked: int | None, usual: int, limit: int | None, where: str) -> int:
    """The tile to use: what was asked for, or the model's, but no larger than an engine takes."""
    if asked is None:
        return usual if limit is None else min(usual, limit)
    if limit is not None and isinstance(asked, Integral) and asked > limit:
        raise OptionError(f"tile is {asked} px, but {where} was built for tiles up to {limit} px. Pass a smaller one, or build it anew.")
    return asked


def check_tiles(metadata: ModelMetadata, tile: int | None, overlap: int | None) -> tuple[int, int]:
    """The tile and the overlap, or the model's: tiles overlap by twice the reach of the context. An ``OptionError`` says what will do."""
    tile = metadata.checked_tile(tile)
    if overlap is None:
        overlap = 2 * metadata.halo
        if overlap > tile // 3:
            raise OptionError(
                f"tile is {tile} px, but below {metadata.smallest_tile} px seams may show with {metadata.name!r}; or pass an overlap too."
            )
    if not isinstance(overlap, Integral) or not 0 <= overlap <= tile // 3:
        raise OptionError(f"overlap is {overlap!r} px; it must be a whole number, 0..{tile // 3} (a third of the tile).")
    return tile, int(overlap)


def _refuse_other_tasks(metadata: ModelMetadata, task: str, where: str) -> None:
    if metadata.task != task:
        raise ModelError(f"{where} is a model for {metadata.task}, not for {task}; run it by {RUN_BY[metadata.task]}.")


def _refuse_other_inputs(metadata: ModelMetadata, known_conditions: tuple[tuple[str, ...], ...], may_need_noise: bool, where: str) -> None:
    """This version feeds one grey plane or RGB in [0, 1], then conditions that the task may have, then noise where it may have that."""
    colours = (metadata.input_color, metadata.output_color)
    given = " or".join(" and ".join(("", *conditions)) for conditions in known_conditions if conditions)
    given += ", with noise or without" if may_need_noise else ""
    known = colours in (("grey", "grey"), ("rgb", "rgb")) and metadata.input_range == (0.0, 1.0)
    if not known or (metadata.needs_noise and not may_need_noise) or metadata.conditions not in known_conditions:
        wanted = " and ".join(("", *metadata.conditions, *(["noise"] if metadata.needs_noise else [])))
        raise ModelError(
            f"{where} takes {metadata.input_color} in {metadata.input_range}{wanted}; "
            f"this version runs models of one grey plane or of RGB in (0.0, 1.0){given}. Upgrade inverse-halftoner."
        )
