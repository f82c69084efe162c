"""Networks on backends: pixels in, restored pixels of the same kind out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from sdk.analysis import Analysis, analyze_pixels
from sdk.analysis.methods import MethodFound, find_method, method_number, method_of_counts
from sdk.analysis.spectrum import Peak
from sdk.backends import open_backend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.cuda.device_array import DeviceArray
from sdk.cuda.pipeline import GpuPipeline
from sdk.errors import ModelError, OptionError
from sdk.images import from_unit, to_unit, white_of
from sdk.metadata import ModelMetadata
from sdk.noise import DEFAULT_SEED, check_seed, noise_field
from sdk.palette_room import keep_to_palette
from sdk.screen_residue import remove_residue, screen_frequencies
from sdk.tiling import Infer, infer_tiled, padded

TWO_LEVEL_SHARE = 0.9
"""A picture with fewer pixels than this near black or white (within 10 %) is no clean 1-bit halftone."""

TWO_LEVEL_KINDS = {"dither", "ordered"}
"""A model that restores nothing else expects a clean 1-bit halftone."""
PALETTE_KIND = "palette"
"""A model that restores it is held to what each picture's palette allows (``sdk.palette_room``)."""


RUN_BY = {
    "inverse-halftoning": "sdk.InverseHalftoner (inverse-halftoner restore)",
    "bit-depth-expansion": "sdk.BitDepthExpander (inverse-halftoner expand)",
    "halftoning": "sdk.Halftoner (inverse-halftoner halftone)",
}
"""Task -> who runs its models."""


class NotTwoLevelsWarning(UserWarning):
    """The input is not near two levels, which a model for 1-bit halftones expects."""


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
        model: str | os.PathLike,
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threads: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
    ):
        self._backend, where = open_backend(model, device, backend=backend, precision=precision, threads=threads, tile=tile)
        self.metadata = ModelMetadata.from_props(self._backend.metadata, where)
        _refuse_other_tasks(self.metadata, self.task, where)
        _refuse_other_inputs(self.metadata, self.known_conditions, self.may_need_noise, where)
        self.tile, self.overlap = _tile_and_overlap(self.metadata, _within(tile, self.metadata.tile, self._backend.tile, where), overlap)

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
        diffusion = {"needs_noise": True, "num_inference_steps": self.metadata.num_inference_steps, "tiled_on": "cpu"}
        return facts | diffusion if self.metadata.needs_noise else facts

    def check_seed(self, seed: int | None) -> None:
        """``OptionError`` for a seed that is none, or that a model without noise would ignore."""
        check_seed(seed, repr(self.metadata.name), self.metadata.needs_noise)

    def _by_channel(self, pixels: np.ndarray, run: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
        """``run`` takes all of ``pixels`` (grey, or for models of RGB) with 0, or one HxW channel of colour with its number."""
        if self.metadata.input_color == "rgb" or pixels.ndim == 2:
            return run(pixels, 0)
        first = run(np.ascontiguousarray(pixels[..., 0]), 0)
        planes = [first]
        for c in (1, 2):  # a grey picture stored as RGB is computed once, and stays exactly grey
            same = np.array_equal(pixels[..., c], pixels[..., 0])
            planes.append(first if same else run(np.ascontiguousarray(pixels[..., c]), c))
        return np.stack(planes, axis=-1)

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

    def _run(self, values: np.ndarray, *conditions: float | np.ndarray) -> np.ndarray:
        """(1, planes, h, w) float32 -> the same; a grey plane is given thrice to models of RGB, and the mean of the three comes back.

        Each of ``conditions`` becomes one more plane: a value everywhere, or (1, 1, h, w).
        """
        grey_to_rgb = self.metadata.input_color == "rgb" and values.shape[1] == 1
        planes = [np.repeat(values, 3, axis=1) if grey_to_rgb else values]
        planes += [np.full_like(values[:, :1], condition) for condition in conditions]
        restored = self._backend.run(np.concatenate(planes, axis=1) if conditions else planes[0])
        return restored.mean(axis=1, keepdims=True) if grey_to_rgb else restored


class HalftoneNetwork(Network):
    """A model as ``InverseHalftoner`` runs it; the arguments are the same."""

    task = "inverse-halftoning"
    known_conditions = ((), ("method",))
    may_need_noise = True

    def __init__(self, model: str | os.PathLike, *, threshold: float | None = None, **options: Any):
        super().__init__(model, **options)
        self.threshold = threshold
        self._pipeline = self._open_pipeline()

    def _open_pipeline(self) -> GpuPipeline | None:
        """What restores a whole picture on the GPU, for backends whose engines take GPU memory.

        Its kernels give the engine the picture and nothing else, so models that need noise run tile by tile from the CPU.
        """
        if not isinstance(self._backend, TensorRtBackend) or self.metadata.needs_noise:
            return None
        tiling = {"tile": self.tile, "overlap": self.overlap, "multiple": self.metadata.size_multiple}
        return GpuPipeline(self._backend, self._backend.driver, **tiling, threshold=self.threshold)

    def describe(self) -> dict[str, Any]:
        """What runs, and how."""
        return super().describe() | {"threshold": self.threshold}

    def restore(self, pixels: np.ndarray, analysis: Analysis | None = None, seed: int | None = None) -> np.ndarray:
        """HxW or HxWx3 of any accepted dtype -> the same shape and dtype; bool becomes uint8.

        A model that knows screens of some periods only gets a coarser or finer one resized, and the result is resized
        back. ``analysis`` saves measuring the period, where it is known already. ``seed`` is of the noise, where the model needs it.
        """
        if self.metadata.periods is None:
            if self.threshold is None and set(self.metadata.kinds) <= TWO_LEVEL_KINDS:
                warn_if_not_two_levels(pixels)
            return self._restore_planes(pixels, seed)
        height, width = pixels.shape[:2]
        found = analysis or analyze_pixels(pixels)
        factor = fitting_scale(found.period, self.metadata.periods)
        fitted = resize(pixels, max(8, round(height * factor)), max(8, round(width * factor)))
        return resize(self._restore_planes(fitted, seed, screen_frequencies(luma(fitted))), height, width)

    def restore_in_gpu_memory(self, picture: Any) -> DeviceArray:
        """An array on the GPU (``__cuda_array_interface__`` or DLPack), alpha included -> one of the same shape and dtype there."""
        if self.metadata.needs_noise:
            raise OptionError(
                f"{self.metadata.name!r} starts from noise, which is drawn and cut into tiles on the CPU, so give it numpy arrays "
                "(tensor.cpu().numpy(), cupy.asnumpy(array))."
            )
        if self._pipeline is None:
            raise OptionError(
                f"{self._backend.name} on {self._backend.device} takes no arrays in GPU memory. Use device='cuda' with TensorRT, or give a "
                "numpy array (tensor.cpu().numpy(), cupy.asnumpy(array))."
            )
        if self.metadata.periods is not None:
            raise OptionError(
                f"{self.metadata.name!r} measures the screen of each picture on the CPU, so give it numpy arrays "
                "(tensor.cpu().numpy(), cupy.asnumpy(array))."
            )
        if self._keeps_to_palettes:
            raise OptionError(
                f"{self.metadata.name!r} looks at the palette of each picture on the CPU, so give it numpy arrays "
                "(tensor.cpu().numpy(), cupy.asnumpy(array))."
            )
        return self._pipeline.run(picture, tell=self._tell)

    def _restore_planes(self, pixels: np.ndarray, seed: int | None, screen: Sequence[Peak] = ()) -> np.ndarray:
        if self._pipeline is not None:
            if not screen and not self._keeps_to_palettes:
                return self._pipeline.run(pixels, tell=self._tell)
            return self._finish(self._pipeline.run(pixels, unclipped=True, tell=self._tell), pixels, screen)
        conditions = [self._number(find_method(pixels, self.threshold or 0.5))] if self.metadata.conditions else []

        def infer(part: np.ndarray, *noise: np.ndarray) -> np.ndarray:
            values = to_unit(part)
            return self._run(values if self.threshold is None else (values > self.threshold).astype(np.float32), *conditions, *noise)

        def run(planes: np.ndarray, channel: int) -> np.ndarray:
            return self._finish(self._by_tiles(planes, infer, seed, channel), planes, screen)

        return self._by_channel(pixels, run)

    def _tell(self, patterns: np.ndarray) -> float:
        return self._number(method_of_counts(patterns))

    def _number(self, method: MethodFound | None) -> float:
        """The value of the plane ``method``."""
        return method_number(method.label if method else None, self.metadata.methods) / 256

    @property
    def _keeps_to_palettes(self) -> bool:
        """Whether results are held to the palettes of pictures; not where a threshold made pictures of others."""
        return PALETTE_KIND in self.metadata.kinds and self.threshold is None

    def _finish(self, restored: np.ndarray, planes: np.ndarray, screen: Sequence[Peak]) -> np.ndarray:
        """The network's float32 values, and the planes it was given -> the result."""
        if self._keeps_to_palettes:
            restored = keep_to_palette(restored, planes)
        return from_unit(remove_residue(restored, screen), planes.dtype)


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


def two_level_share(pixels: np.ndarray) -> float:
    """Share of values within 10 % of black or white."""
    if pixels.dtype == np.bool_:
        return 1.0
    white = white_of(pixels.dtype)
    return float(np.mean((pixels < 0.1 * white) | (pixels > 0.9 * white)))


def warn_if_not_two_levels(pixels: np.ndarray) -> None:
    """One constant text, so that Python's warning filters show it once a program unless told otherwise."""
    if two_level_share(pixels) < TWO_LEVEL_SHARE:
        warnings.warn(
            "The pixels are not near black and white: this is no clean 1-bit halftone, and is restored as it is. "
            "If it is a scan of print, use the model 'scan' (--model scan), or 'auto', which looks first. If JPEG coding or smoothing "
            "blurred its dots, pass threshold=0.5 (--threshold 0.5); if it was resized, go back to the original size.",
            NotTwoLevelsWarning,
            stacklevel=6,
        )
