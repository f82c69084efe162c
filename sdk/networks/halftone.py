"""Halftones on a backend: a picture and what is known of its dots in, the continuous tone out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sdk.analysis import Analysis, analyze_pixels
from sdk.analysis.dither import is_dithered
from sdk.analysis.hidden_dots import find_hidden_dots
from sdk.analysis.methods import find_method, method_number, method_of_counts
from sdk.analysis.plain_dots import find_repetition, find_two_levels
from sdk.analysis.result import TWO_LEVEL_KINDS
from sdk.analysis.smeared_dots import find_smeared_levels
from sdk.analysis.spectrum import Peak
from sdk.analysis.turns import find_turn
from sdk.backends import Backend
from sdk.cuda.device_array import DeviceArray
from sdk.errors import OptionError, nearest
from sdk.images import cut_at, from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.networks.network import Network
from sdk.networks.palette_room import keep_to_palette
from sdk.networks.ramps import find_ramp
from sdk.networks.screen_residue import remove_residue, screen_frequencies
from sdk.networks.screened_parts import has_two_levels, keep_what_has_no_dots
from sdk.networks.unfit_dots import warn_if_not_two_levels, warn_if_other_method
from sdk.resizing import resize
from sdk.turn import Turn

if TYPE_CHECKING:
    from sdk.cuda.pipeline import GpuPipeline, Tell

PALETTE_KIND = "palette"
"""A model that restores it is held to what each picture's palette allows (``sdk.networks.palette_room``)."""

ON_CPU = "give it numpy arrays (tensor.cpu().numpy(), cupy.asnumpy(array))"

UNKNOWN = "unknown"
"""What to call the method so that a model is told none."""


class HalftoneNetwork(Network):
    """A model as ``InverseHalftoner`` runs it; the arguments are the same."""

    task = "inverse-halftoning"
    known_conditions = ((), ("method",))
    may_need_noise = True

    def __init__(self, model: str | os.PathLike | Backend, *, threshold: float | None = None, method: str | None = None, **options: Any):
        super().__init__(model, **options)
        self.threshold = threshold
        self.method = method
        if method is not None:
            _check_method(method, self.metadata)
        self._pipeline = self._open_pipeline()

    def _open_pipeline(self) -> GpuPipeline | None:
        """What restores a whole picture on the GPU, for backends whose engines take GPU memory.

        Its kernels give the engine the picture as it lies and one value beside it, so models that need noise, and self-ensembles, run
        tile by tile from the CPU.
        """
        if self.metadata.needs_noise or self.self_ensemble or not self._backend.name.startswith("tensorrt"):
            return None
        from sdk.backends.tensorrt import TensorRtBackend
        from sdk.cuda.pipeline import GpuPipeline

        if not isinstance(self._backend, TensorRtBackend):
            return None
        tiling = {"tile": self.tile, "overlap": self.overlap, "multiple": self.metadata.size_multiple}
        return GpuPipeline(self._backend, self._backend.driver, **tiling, threshold=self.threshold)

    def describe(self) -> dict[str, Any]:
        """What runs, and how."""
        return super().describe() | {"threshold": self.threshold, "method": self.method}

    def restore(self, pixels: np.ndarray, analysis: Analysis | None = None, seed: int | None = None) -> np.ndarray:
        """HxW or HxWx3 of any accepted dtype -> the same shape and dtype; bool becomes uint8.

        A model that knows screens of some periods only gets a coarser or finer one resized, and the result is resized
        back. One that knows clean dots only gets each dot once, in black and white (``plain_dots``), and as it lay when it was made
        (``sdk.analysis.turns``), unless a method is named. ``analysis`` saves measuring all this, where it is known already. ``seed`` is of
        the noise, where the model needs it.
        """
        if self.metadata.periods is not None:
            return self._restore_screen(pixels, analysis, seed, self.metadata.periods)
        if expects_clean_dots(self.metadata):
            return self._restore_dots(pixels, analysis, seed)
        if self._keeps_to_palettes:
            return self._restore_palette(pixels, analysis, seed)
        return self.restore_as_it_is(pixels, analysis, seed)

    def _restore_palette(self, pixels: np.ndarray, analysis: Analysis | None, seed: int | None) -> np.ndarray:
        """Of dithers each dot once, and even greys for a ramp of tones; drawings are left as they are."""
        if (repeated := find_repetition(pixels)) and is_dithered(small := repeated.undo(pixels)):
            return repeated.enlarge(self._restore_palette(small, analysis, seed), *pixels.shape[:2])
        if (ramp := find_ramp(pixels)) and is_dithered(pixels):
            return ramp.between(self.restore_as_it_is(to_unit(ramp.greys), analysis, seed), pixels.dtype)
        return self.restore_as_it_is(pixels, analysis, seed)

    def _restore_screen(self, pixels: np.ndarray, analysis: Analysis | None, seed: int | None, periods: tuple[float, float]) -> np.ndarray:
        height, width = pixels.shape[:2]
        found = analysis or analyze_pixels(pixels)
        factor = fitting_scale(found.period, periods)
        fitted = resize(pixels, max(8, round(height * factor)), max(8, round(width * factor)))
        screen = screen_frequencies(luma(fitted))
        restored = resize(self._restore_planes(fitted, seed, screen=screen), height, width)
        if fitted.shape != pixels.shape and has_two_levels(pixels):
            screen = screen_frequencies(luma(pixels))
        return keep_what_has_no_dots(restored, pixels, screen, found.period)

    def _restore_dots(self, pixels: np.ndarray, analysis: Analysis | None, seed: int | None) -> np.ndarray:
        if repeated := find_repetition(pixels if self.threshold is None else cut_at(pixels, self.threshold)):
            return repeated.enlarge(self._restore_dots(repeated.undo(pixels), analysis, seed), *pixels.shape[:2])
        if self.threshold is None:
            levels = find_two_levels(pixels)
            may_be_hidden = levels is None and (analysis is None or analysis.smoothed_from)
            if may_be_hidden and (dots := find_hidden_dots(pixels)) is not None:
                analysis = analysis or analyze_pixels(pixels)
                if analysis.smoothed_from:
                    return resize(self._restore_dots(dots, analysis, seed), *pixels.shape[:2])
            if levels is None and (smeared := find_smeared_levels(pixels)):
                analysis = analysis or analyze_pixels(pixels)
                levels = smeared if analysis.is_two_level else None
            if levels:
                return levels.between(self._restore_dots(levels.spread(pixels), analysis, seed))
            warn_if_not_two_levels(pixels)
        if turn := self._turn(pixels, analysis):
            return turn.apply(self.restore_as_it_is(turn.undo(pixels), analysis, seed))
        return self.restore_as_it_is(pixels, analysis, seed)

    def _turn(self, pixels: np.ndarray, analysis: Analysis | None) -> Turn | None:
        """What happened to the dots since they were made. Whoever names the method knows them, and saves looking."""
        if self.method is not None:
            return None
        if analysis is None:
            return find_turn(pixels, self.threshold or 0.5)
        return Turn(analysis.turned, analysis.mirrored) if analysis.turned or analysis.mirrored else None

    def restore_as_it_is(self, pixels: np.ndarray, analysis: Analysis | None = None, seed: int | None = None) -> np.ndarray:
        """``restore`` by the network alone: every pixel is a dot of its own, and lies as it was made."""
        if self.metadata.methods and not self.metadata.conditions:
            warn_if_other_method(pixels, self.threshold or 0.5, self.metadata.name, self.metadata.methods)
        return self._restore_planes(pixels, seed, self._condition(pixels, analysis))

    def restore_in_gpu_memory(self, picture: Any) -> DeviceArray:
        """An array on the GPU (``__cuda_array_interface__`` or DLPack), alpha included -> one of the same shape and dtype there."""
        if self._pipeline is None:
            if self.metadata.needs_noise:
                raise self._only_on_the_cpu("starts from noise, which is drawn and cut into tiles on the CPU")
            if self.self_ensemble:
                raise self._only_on_the_cpu("is to be the mean of a self-ensemble, which is taken tile by tile on the CPU")
            runs_on = f"{self._backend.name} on {self._backend.device}"
            raise OptionError(f"{runs_on} takes no arrays in GPU memory. Use device='cuda' with TensorRT, or {ON_CPU}.")
        if self.metadata.periods is not None:
            raise self._only_on_the_cpu("measures the screen of each picture on the CPU")
        if self._keeps_to_palettes:
            raise self._only_on_the_cpu("looks at the palette of each picture on the CPU")
        return self._pipeline.run(picture, condition=self._condition())

    def _only_on_the_cpu(self, what: str) -> OptionError:
        return OptionError(f"{self.metadata.name!r} {what}, so {ON_CPU}.")

    def _restore_planes(
        self, pixels: np.ndarray, seed: int | None, condition: float | Tell = 0.0, screen: Sequence[Peak] = ()
    ) -> np.ndarray:
        if self._pipeline is not None:
            if not screen and not self._keeps_to_palettes:
                return self._pipeline.run(pixels, condition=condition)
            return self._finish(self._pipeline.run(pixels, unclipped=True, condition=condition), pixels, screen)
        conditions = []
        if self.metadata.conditions:
            conditions = [condition(None) if callable(condition) else condition]
        views = self._views(*conditions)

        def infer(part: np.ndarray, *noise: np.ndarray) -> np.ndarray:
            values = to_unit(part)
            values = values if self.threshold is None else (values > self.threshold).astype(np.float32)
            return self._run(values, *conditions, *noise, views=views)

        def run(planes: np.ndarray, channel: int) -> np.ndarray:
            return self._finish(self._by_tiles(planes, infer, seed, channel), planes, screen)

        return self._by_channel(pixels, run)

    def _condition(self, pixels: np.ndarray | None = None, analysis: Analysis | None = None) -> float | Tell:
        """The value of the plane ``method``: of the method that was named or found, or what finds it.

        That takes how often each pattern of pixels occurs, where a GPU has counted; in GPU memory (no ``pixels``) it goes by nothing else.
        """

        def number(method: str | None) -> float:
            return method_number(method, self.metadata.methods) / 256

        def tell(counts: np.ndarray | None) -> float:
            if pixels is not None:
                return number(find_method(pixels, self.threshold or 0.5, counts))
            return number(None if counts is None else method_of_counts(counts))

        if self.method is not None:
            return number(self.method)
        return number(analysis.method) if analysis is not None else tell

    @property
    def _keeps_to_palettes(self) -> bool:
        """Whether results are held to the palettes of pictures; not where a threshold made pictures of others."""
        return PALETTE_KIND in self.metadata.kinds and self.threshold is None

    def _finish(self, restored: np.ndarray, planes: np.ndarray, screen: Sequence[Peak]) -> np.ndarray:
        """The network's float32 values, and the planes it was given -> the result."""
        if self._keeps_to_palettes:
            restored = keep_to_palette(restored, planes)
        return from_unit(remove_residue(restored, screen), planes.dtype)


def expects_clean_dots(metadata: ModelMetadata) -> bool:
    """Whether a model restores dithers of two levels alone; one that names no kinds leaves them to others where "auto" chooses."""
    return metadata.task == HalftoneNetwork.task and set(metadata.kinds) <= TWO_LEVEL_KINDS


def _check_method(method: str, metadata: ModelMetadata) -> None:
    known = [name for name in (*metadata.methods, UNKNOWN) if name]
    if "method" not in metadata.conditions:
        raise OptionError(f"method is {method!r}, but {metadata.name!r} is told no halftoning method. Leave the method out.")
    if not isinstance(method, str):
        raise OptionError(f"method is {method!r}; give a name: {', '.join(known)}.")
    if method not in known:
        raise OptionError(f"{metadata.name!r} does not know the method {method!r}.{nearest(method, known)}")


def fitting_scale(period: float | None, periods: tuple[float, float]) -> float:
    """How much to resize a picture so that its screen has a period (px) within ``periods``; 1 where it has, or there is none."""
    if period is None or periods[0] <= period <= periods[1]:
        return 1.0
    return (periods[0] * periods[1]) ** 0.5 / period if period > periods[1] else periods[0] / period


def luma(pixels: np.ndarray) -> np.ndarray:
    """float32 HxW, 0..255."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(from_unit(to_unit(pixels), np.uint8), cv2.COLOR_RGB2GRAY)
    return to_unit(grey) * np.float32(255)
