"""``InverseHalftoner``: read, restore, write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any

from sdk.backends import Backend
from sdk.cuda.device_array import DeviceArray, is_device_array
from sdk.errors import OptionError
from sdk.images import Picture
from sdk.metadata import ModelMetadata
from sdk.networks.auto import AutoNetwork, Choice
from sdk.networks.halftone import HalftoneNetwork
from sdk.remade import Remade
from sdk.resizing import resize
from sdk.same_kind import ImageLike, restore_batch, restore_file, restore_image
from sdk.steady_frames import SteadyFrames


class InverseHalftoner(Remade):
    """Turns halftones back into continuous-tone photographs.

    >>> restorer = sdk.InverseHalftoner("fast")
    >>> photo = restorer.run(halftone)                       # array -> array, PIL -> PIL, bytes -> bytes, path -> array
    >>> restorer.run_file("page.tif", "page_contone.tif")    # keeps pages, DPI, ICC profile, EXIF, XMP and IPTC

    model: a name from ``sdk.releases()``, the path of an .onnx file made by ``python -m export.to_onnx`` or of an .engine file
        made by ``inverse-halftoner build`` (engines hold code: run only those of people you trust), a ``sdk.backends.Backend``
        of your own, or "auto": each picture is looked at (``sdk.analyze``) and restored by the model made for its kind; ``choice`` says
        what was found and taken. What is no halftone comes back unchanged, with a ``NoHalftoneWarning`` (all warnings here are
        ``InputWarning``).
    device: "cpu", "cuda", or "auto" (CUDA where this onnxruntime has it, else the CPU). What is asked for by name and
        cannot be had is a ``DeviceError``.
    tile, overlap: px; the default comes from the model. A picture that fits in one tile is computed whole.
    threshold: None, or a level in (0, 1) at which the input is cut to two levels first; for halftones that were JPEG-coded or lightly
        smoothed and have other tones beside them, such as a mat. Without it such dots are looked for.
    method: the halftoning method that made the dots (of ``sdk.analysis.methods.LABELS``), for models that are told it (``fast``); the
        default is what each picture's dots say, "unknown" tells the model none. Dots of a method that is named are taken to lie as they
        were made; else turned ones are turned back first. "auto" takes no method.
    threads: CPU threads; the default is one a core.
    backend, precision: "onnxruntime" (fp32; int8 files; on CUDA fp16 files), "openvino" (CPU; fp32 or bf16; int8 files) or "tensorrt"
        (TensorRT or TensorRT-RTX, on GPUs; fp16, bf16 or fp32; the table is in ``sdk.backends.open_backend``); "auto" is TensorRT for
        .engine files, and with device="cuda" where it is installed, else onnxruntime. TensorRT builds an engine at the first use of a
        model, for minutes, and keeps it: ``sdk.engines.cache.watch_builds`` shows how far it is.
    scale: size of the result, as a factor of the input's; coarse screens hold no detail to fill their scan's size.
    self_ensemble: show the network each picture in all ways that are alike to it, and take the mean: a little better, in twice the time for
        error diffusion (and its negative), eight times for prints and few bits (turned, mirrored). Other pictures are seen once. An error
        for models that start from noise.
    on_choice: called with the ``Choice`` of each picture by "auto".

    Models of the diffusion kind start from noise (``metadata.needs_noise``), which is drawn from a ``seed``: one field for the whole
    picture, one for each channel of colour, the same for every page of a file and every picture of a batch. Another seed gives another,
    slightly different restoration. With TensorRT such models run tile by tile from the CPU, and take no arrays in GPU memory.

    Calls from several threads are safe; a process to which a restorer is pickled makes its own, of the same arguments. Same input, same
    seed, same backend: same pixels. But arrays in GPU memory are judged by how often patterns occur in the whole of them: of dots beside
    text no method may be found (name it), dots that were turned, enlarged or smeared are taken for plain ones, and nothing is warned about.
    """

    def __init__(
        self,
        model: str | os.PathLike | Backend = "fast",
        *,
        device: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        threshold: float | None = None,
        method: str | None = None,
        threads: int | None = None,
        backend: str = "auto",
        precision: str | None = None,
        scale: float = 1.0,
        self_ensemble: bool = False,
        on_choice: Callable[[Choice], None] | None = None,
    ):
        if threshold is not None and not (isinstance(threshold, Real) and 0 < threshold < 1):
            raise OptionError(f"threshold is {threshold!r}; it must be a number between 0 and 1.")
        if isinstance(scale, bool) or not (isinstance(scale, Real) and 0.05 <= scale <= 4):
            raise OptionError(f"scale is {scale!r}; it must be a number, 0.05..4.")
        auto = str(model) == "auto"
        if method is not None and auto:
            raise OptionError(
                f"method is {method!r}, but 'auto' decides this for each picture; name a model that is told it, such as 'fast'."
            )
        self.scale = float(scale)
        options = {"device": device, "tile": tile, "overlap": overlap, "threshold": threshold, "threads": threads}
        options |= {"backend": backend, "precision": precision, "self_ensemble": self_ensemble}
        self._network = AutoNetwork(**options, on_choice=on_choice) if auto else HalftoneNetwork(model, **options, method=method)

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

    def check_seed(self, seed: int | None) -> None:
        """What ``run`` does first with its seed, for programs that want to know before the first of many pictures."""
        self._network.check_seed(seed)

    def run(self, image: ImageLike, seed: int | None = None) -> Any:
        """Restore one picture; the same kind comes back.

        ndarray -> ndarray: HxW or HxWx3/4, RGB; uint8, uint16 and float32 keep their dtype, bool becomes uint8.
        PIL image -> PIL image, with DPI and ICC profile in ``info``.  Encoded bytes -> bytes in the same format (PNG if
        that cannot hold the result), all pages and metadata kept.  Path -> ndarray (the first page).
        With TensorRT also arrays in GPU memory (torch, CuPy, numba, JAX; ``__cuda_array_interface__`` or DLPack) -> ``DeviceArray``,
        which offers both; nothing leaves the GPU, and floats are not checked to be in [0, 1]. Not with "auto", a ``scale``, or models
        that look at each picture on the CPU (``scan``, ``gif``) or start from noise, or a self-ensemble.
        seed: of the noise, for models that start from it; None is 0. "auto" takes one only if a model it may choose does, and it then
        counts where that model is chosen.
        Raises ``ImageReadError``, ``UnsupportedImageError``, or ``OptionError``, also for a seed given to a model that takes none;
        ``InferenceError`` where the runtime fails, most often for lack of memory; "auto", which loads models as pictures ask for them,
        what that raises. All are ``sdk.errors.InverseHalftonerError``.
        """
        self.check_seed(seed)
        if is_device_array(image):
            return self._restore_in_gpu_memory(image)
        return restore_image(image, self._restoring(seed), self.scale)

    def run_batch(self, images: Iterable[ImageLike], seed: int | None = None) -> list[Any]:
        """``run`` on each; the first bad picture raises, naming its place. Folders are the CLI's job, which goes on past them."""
        return restore_batch(images, partial(self.run, seed=seed))

    def run_file(
        self,
        source: str | os.PathLike,
        target: str | os.PathLike,
        *,
        overwrite: bool = False,
        on_page: Callable[[int, int], None] | None = None,
        seed: int | None = None,
    ) -> None:
        """Restore a file into another one: every page or frame, with DPI, ICC profile, EXIF, XMP and IPTC; nothing is written on failure.

        The suffix of ``target`` chooses the format. ``on_page(done, total)`` reports progress. seed: as of ``run``.
        """
        self.check_seed(seed)
        restore_file(source, target, self._restoring(seed), self.scale, overwrite, on_page)

    def _restore_in_gpu_memory(self, picture: Any) -> DeviceArray:
        if isinstance(self._network, AutoNetwork) or self.scale != 1:
            raise OptionError("'auto' and scale look at pictures on the CPU; for arrays in GPU memory name a model, and leave scale at 1.")
        return self._network.restore_in_gpu_memory(picture)

    def _restoring(self, seed: int | None) -> Callable[[Picture], Picture]:
        """For the pages of one file, or the frames of one animation."""
        steadied = SteadyFrames()
        return lambda picture: steadied(picture, self._restore(picture, seed))

    def _restore(self, picture: Picture, seed: int | None) -> Picture:
        restored = self._network.restore(picture.pixels, seed=seed)
        if self.scale == 1:
            return picture.with_pixels(restored)
        height, width = (max(1, round(extent * self.scale)) for extent in restored.shape[:2])
        alpha = None if picture.alpha is None else resize(picture.alpha, height, width)
        return replace(picture, alpha=alpha).with_pixels(resize(restored, height, width))
