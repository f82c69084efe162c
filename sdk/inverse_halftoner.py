"""``InverseHalftoner``: read, tile, infer, blend, write."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from sdk import files
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import model_bytes
from sdk.errors import ImageReadError, ImageWriteError, ModelError, OptionError, UnsupportedImageError
from sdk.images import (
    ACCEPTED,
    Picture,
    from_unit,
    picture_from_array,
    picture_from_pil,
    picture_to_array,
    picture_to_pil,
    to_unit,
)
from sdk.metadata import ModelMetadata
from sdk.tiling import infer_tiled

ImageLike: TypeAlias = str | os.PathLike | bytes | Image.Image | np.ndarray

TWO_LEVEL_SHARE = 0.9
"""A picture with fewer pixels than this near black or white (within 10 %) is no clean 1-bit halftone."""


class NotTwoLevelsWarning(UserWarning):
    """The input is not near two levels, which a model for 1-bit halftones expects."""


class InverseHalftoner:
    """Turns halftones back into continuous-tone photographs.

    >>> restorer = sdk.InverseHalftoner("fast")
    >>> photo = restorer.run(halftone)                       # array -> array, PIL -> PIL, bytes -> bytes, path -> array
    >>> restorer.run_file("page.tif", "page_contone.tif")    # keeps pages, DPI, ICC profile and EXIF

    model: a name from ``sdk.releases()``, or the path of an .onnx file made by ``python -m export.to_onnx``.
    device: "cpu", "cuda", or "auto" (CUDA where this onnxruntime has it, else the CPU). What is asked for by name and
        cannot be had is a ``DeviceError``.
    tile, overlap: px; the default comes from the model. A picture that fits in one tile is computed whole.
    threshold: None, or a level in (0, 1) at which the input is cut to two levels first; it mends halftones that were
        JPEG-coded or lightly smoothed.
    threads: CPU threads; the default is one a core.

    Calls from several threads are safe. Same input, same backend: same pixels.
    """

    def __init__(
        self,
        model: str | os.PathLike = "fast",
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threshold: float | None = None,
        threads: int | None = None,
    ):
        data, where = model_bytes(model)
        self._backend = OnnxRuntimeBackend(data, device, threads, where)
        self.metadata = ModelMetadata.from_props(self._backend.metadata, where)
        _refuse_other_inputs(self.metadata, where)
        self.tile, self.overlap = _tile_and_overlap(self.metadata, tile, overlap)
        if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold < 1):
            raise OptionError(f"threshold is {threshold!r}; it must be a number between 0 and 1.")
        self.threshold = threshold

    def describe(self) -> dict[str, Any]:
        """What runs, and how: model, backend, device, precision, tile."""
        return {
            "model": self.metadata.name,
            "backend": self._backend.name,
            "device": self._backend.device,
            "precision": "fp32",
            "tile": self.tile,
            "overlap": self.overlap,
            "threshold": self.threshold,
        }

    def run(self, image: ImageLike) -> Any:
        """Restore one picture; the same kind comes back.

        ndarray -> ndarray: HxW or HxWx3/4, RGB; uint8, uint16 and float32 keep their dtype, bool becomes uint8.
        PIL image -> PIL image, with DPI and ICC profile in ``info``.  Encoded bytes -> bytes in the same format (PNG if
        that cannot hold the result), all pages and metadata kept.  Path -> ndarray (the first page).
        Raises ``ImageReadError`` or ``UnsupportedImageError``.
        """
        if isinstance(image, np.ndarray):
            return picture_to_array(self._restore(picture_from_array(image)))
        if isinstance(image, Image.Image):
            restored = picture_to_pil(self._restore(picture_from_pil(image)))
            restored.info |= {key: image.info[key] for key in ("dpi", "icc_profile", "exif") if key in image.info}
            return restored
        if isinstance(image, bytes):
            file = files.read(image)
            restored_pages = [self._restore(page) for page in file.pages]
            fits = file.format in files.FORMATS.values() and files.why_not(restored_pages, file.format) is None
            return files.encode(file.with_pages(restored_pages), file.format if fits else "PNG")
        if isinstance(image, (str, os.PathLike)):
            return picture_to_array(self._restore(files.read(image, first_page_only=True).pages[0]))
        raise UnsupportedImageError(f"Found a {type(image).__name__}; give a path, bytes, a PIL image or a numpy array. {ACCEPTED}")

    def run_batch(self, images: Iterable[ImageLike]) -> list[Any]:
        """``run`` on each; the first bad picture raises, naming its place. Folders are the CLI's job, which goes on past them."""
        restored = []
        for i, image in enumerate(images):
            try:
                restored.append(self.run(image))
            except (ImageReadError, UnsupportedImageError) as error:
                raise type(error)(f"Picture {i} of the batch: {error}") from error
        return restored

    def run_file(
        self,
        source: str | os.PathLike,
        target: str | os.PathLike,
        overwrite: bool = False,
        on_page: Callable[[int, int], None] | None = None,
    ) -> None:
        """Restore a file into another one: every page or frame, with DPI, ICC profile and EXIF; nothing is written on failure.

        The suffix of ``target`` chooses the format. ``on_page(done, total)`` reports progress.
        """
        files.check_target(target, overwrite)
        file = files.read(source)
        if reason := files.why_not([_as_restored(page) for page in file.pages], files.format_for(target)):
            raise ImageWriteError(f"{target}: {reason}")
        restored = []
        for i, page in enumerate(file.pages, start=1):
            restored.append(self._restore(page))
            if on_page:
                on_page(i, len(file.pages))
        files.write(target, file.with_pages(restored), overwrite)

    def _restore(self, picture: Picture) -> Picture:
        pixels = picture.pixels
        if self.threshold is None:
            warn_if_not_two_levels(pixels)
        if pixels.ndim == 2:
            return picture.with_pixels(self._restore_plane(pixels))
        first = self._restore_plane(np.ascontiguousarray(pixels[..., 0]))
        planes = [first]
        for c in (1, 2):  # a grey picture stored as RGB is restored once, and stays exactly grey
            same = np.array_equal(pixels[..., c], pixels[..., 0])
            planes.append(first if same else self._restore_plane(np.ascontiguousarray(pixels[..., c])))
        return picture.with_pixels(np.stack(planes, axis=-1))

    def _restore_plane(self, plane: np.ndarray) -> np.ndarray:
        def infer(part: np.ndarray) -> np.ndarray:  # tiles become float one at a time: a whole page of floats would be four times the page
            values = to_unit(part)
            return self._backend.run(values if self.threshold is None else (values > self.threshold).astype(np.float32))

        return from_unit(infer_tiled(plane, infer, self.tile, self.overlap, self.metadata.size_multiple), plane.dtype)


def _tile_and_overlap(metadata: ModelMetadata, tile: int | None, overlap: int | None) -> tuple[int, int]:
    """The given values checked, or the model's: tiles overlap by twice the reach of the context."""
    multiple = metadata.size_multiple
    if tile is None:
        tile = metadata.tile
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
    """This version feeds one grey plane in [0, 1] and nothing else."""
    if (metadata.input_color, metadata.output_color, metadata.input_range) != ("grey", "grey", (0.0, 1.0)) or metadata.needs_noise:
        raise ModelError(
            f"{where} takes {metadata.input_color} in {metadata.input_range}{' and noise' if metadata.needs_noise else ''}; "
            "this version runs models of one grey plane in (0.0, 1.0). Upgrade inverse-halftoner."
        )


def _as_restored(page: Picture) -> Picture:
    """A page of the kind its restoration will be: 1 bit becomes 8, without a copy."""
    is_bool = page.pixels.dtype == np.bool_
    return replace(page, pixels=page.pixels.view(np.uint8)) if is_bool else page


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
            "If JPEG coding or smoothing blurred its dots, pass threshold=0.5 (--threshold 0.5); if it was resized, go back to the "
            "original size. Grey scans of coarse print screens often come out well without either.",
            NotTwoLevelsWarning,
            stacklevel=4,
        )
