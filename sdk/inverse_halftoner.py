"""``InverseHalftoner``: read, restore, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from sdk import files
from sdk.auto import AutoNetwork, Choice
from sdk.errors import ImageReadError, ImageWriteError, OptionError, UnsupportedImageError
from sdk.images import ACCEPTED, Picture, picture_from_array, picture_from_pil, picture_to_array, picture_to_pil
from sdk.metadata import ModelMetadata
from sdk.network import Network, resize

ImageLike: TypeAlias = str | os.PathLike | bytes | Image.Image | np.ndarray


class InverseHalftoner:
    """Turns halftones back into continuous-tone photographs.

    >>> restorer = sdk.InverseHalftoner("fast")
    >>> photo = restorer.run(halftone)                       # array -> array, PIL -> PIL, bytes -> bytes, path -> array
    >>> restorer.run_file("page.tif", "page_contone.tif")    # keeps pages, DPI, ICC profile and EXIF

    model: a name from ``sdk.releases()``, the path of an .onnx file made by ``python -m export.to_onnx`` or of an .engine file
        made by ``inverse-halftoner build`` (engines hold code: run only those of people you trust), or "auto": each
        picture is looked at (``sdk.analyze``) and restored by the model made for its kind; ``choice`` says what was found
        and taken. What is no halftone comes back unchanged, with a ``NoHalftoneWarning``.
    device: "cpu", "cuda", or "auto" (CUDA where this onnxruntime has it, else the CPU). What is asked for by name and
        cannot be had is a ``DeviceError``.
    tile, overlap: px; the default comes from the model. A picture that fits in one tile is computed whole.
    threshold: None, or a level in (0, 1) at which the input is cut to two levels first; it mends halftones that were
        JPEG-coded or lightly smoothed.
    threads: CPU threads; the default is one a core.
    backend, precision: "onnxruntime" (fp32), "openvino" (CPU; fp32 or bf16) or "tensorrt" (GPU; fp16, bf16 or fp32); "auto" is
        TensorRT for .engine files, and with device="cuda" where it is installed, else onnxruntime.
    scale: size of the result, as a factor of the input's; coarse screens hold no detail to fill their scan's size.
    on_choice: called with the ``Choice`` of each picture by "auto".

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
        backend: str = "auto",
        precision: str | None = None,
        scale: float = 1.0,
        on_choice: Callable[[Choice], None] | None = None,
    ):
        if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold < 1):
            raise OptionError(f"threshold is {threshold!r}; it must be a number between 0 and 1.")
        if not (isinstance(scale, (int, float)) and 0.05 <= scale <= 4):
            raise OptionError(f"scale is {scale!r}; it must be a number, 0.05..4.")
        self.scale = scale
        options = {"device": device, "tile": tile, "overlap": overlap, "threshold": threshold, "threads": threads}
        options |= {"backend": backend, "precision": precision}
        self._network = AutoNetwork(**options, on_choice=on_choice) if model == "auto" else Network(model, **options)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model says of itself."""
        return self._network.metadata

    @property
    def choice(self) -> Choice | None:
        """What "auto" found in the latest picture and which model it took."""
        return self._network.choice if isinstance(self._network, AutoNetwork) else None

    def describe(self) -> dict[str, Any]:
        """What runs, and how: model, backend, device, precision, tile."""
        return self._network.describe()

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
            if "dpi" in restored.info:
                restored.info["dpi"] = tuple(float(value) * self.scale for value in restored.info["dpi"])
            return restored
        if isinstance(image, bytes):
            file = files.read(image)
            restored_pages = [self._restore(page) for page in file.pages]
            fits = file.format in files.FORMATS.values() and files.why_not(restored_pages, file.format) is None
            return files.encode(file.with_pages(restored_pages, self.scale), file.format if fits else "PNG")
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
        files.write(target, file.with_pages(restored, self.scale), overwrite)

    def _restore(self, picture: Picture) -> Picture:
        restored = self._network.restore(picture.pixels)
        if self.scale == 1:
            return picture.with_pixels(restored)
        height, width = (max(1, round(extent * self.scale)) for extent in restored.shape[:2])
        alpha = None if picture.alpha is None else resize(picture.alpha, height, width)
        return replace(picture, alpha=alpha).with_pixels(resize(restored, height, width))


def _as_restored(page: Picture) -> Picture:
    """A page of the kind its restoration will be: 1 bit becomes 8, without a copy."""
    is_bool = page.pixels.dtype == np.bool_
    return replace(page, pixels=page.pixels.view(np.uint8)) if is_bool else page
