"""``Halftoner``: any picture kind through a method of ``sdk.halftoning`` or a network that halftones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sdk import files
from sdk.catalog import released_for, releases
from sdk.engines.file import ENGINE_SUFFIX
from sdk.errors import OptionError, nearest
from sdk.files import formats
from sdk.files.few_colors import MOST
from sdk.halftoning import METHODS, Method, halftone
from sdk.images import ImageLike, Picture, from_unit, no_picture, picture_from_array, picture_from_pil, to_unit
from sdk.networks.halftoning import OPTIONS, HalftoningNetwork
from sdk.networks.noise import check_seed
from sdk.remade import Remade
from sdk.same_kind import picture_with_header_of, restore_batch, restored_pages


class Halftoner(Remade):
    """Halftones a photograph.

    >>> white = sdk.Halftoner("floyd-steinberg", serpentine=True).run(photo)
    >>> greys = sdk.Halftoner("stucki", levels=16).run(photo)
    >>> white = sdk.Halftoner("cdh").run(photo, seed=1)

    method: a name from ``sdk.halftoning.METHODS``; the keywords are that method's parameters. Or a model whose task is halftoning: a
        name from ``sdk.releases()``, or the path of an .onnx or .engine file; the keywords are device, tile, overlap, threads, backend
        and precision, as of ``InverseHalftoner``.
    grey: turn colour pictures to grey first (BT.601 luma); else each channel is halftoned on its own.

    Same input, same seed, same backend: same pixels.
    """

    def __init__(self, method: str | os.PathLike, *, grey: bool = False, **parameters: Any):
        self.grey = grey
        self._method = _method(method, parameters)
        self._made_of: dict[Any, np.ndarray] = {}
        """(dtype, channels) of pages -> a pixel of their halftones."""

    def describe(self) -> dict[str, Any]:
        """The method with its parameters; or the model, and how it runs, as of ``InverseHalftoner``."""
        return self._method.describe()

    def check_seed(self, seed: int | None) -> None:
        """What ``run`` does first with its seed, for programs that want to know before the first of many pictures."""
        self._method.check_seed(seed)

    def run(self, image: ImageLike, seed: int | None = None) -> Any:
        """ndarray or path -> ndarray (bool, True = white; ``palette``, ``bit-depth`` and more than two ``levels``: uint8); PIL -> PIL;
        bytes -> bytes (PNG or TIFF).

        Methods round pictures of more than 8 bits to 8 first (``bit-depth`` keeps 16). Alpha is dropped from arrays, kept elsewhere.

        seed: of white noise, blue noise and models that start from noise; None is the ``seed`` among the parameters, else 0. An
        ``OptionError`` where there is nothing random.
        """
        self.check_seed(seed)
        if isinstance(image, np.ndarray):
            return self._halftone(picture_from_array(image), seed).pixels
        if isinstance(image, Image.Image):
            picture = picture_from_pil(image)
            return picture_with_header_of(image, picture, self._halftone(picture, seed))
        if isinstance(image, bytes):
            file = files.read(image)
            dots = (self._halftone(page, seed) for page in file.pages)
            return files.encode(dots, "TIFF" if file.format == "TIFF" else "PNG", file.loop)
        if isinstance(image, (str, os.PathLike)):
            return self._halftone(files.read(image, first_page_only=True).pages[0], seed).pixels
        raise no_picture(image)

    def run_batch(self, images: Iterable[ImageLike], seed: int | None = None) -> list[Any]:
        """``run`` on each; the first bad picture raises, naming its place."""
        return restore_batch(images, lambda image: self.run(image, seed))

    def run_file(
        self,
        source: str | os.PathLike,
        target: str | os.PathLike,
        *,
        overwrite: bool = False,
        on_page: Callable[[int, int], None] | None = None,
        seed: int | None = None,
    ) -> None:
        """Halftone a file into another one, all pages, with DPI, ICC profile, EXIF, XMP and IPTC; not into JPEG or MP4, which blur dots.

        The DPI of ``am-screen`` are those it is made for.

        ``on_page(done, total)`` reports progress. seed: as of ``run``.
        """
        self.check_seed(seed)
        files.check_target(target, overwrite)
        file, format = files.read(source), formats.format_for(target)
        formats.check_fits([self._outline(page, format) for page in file.outlines], format, target)
        halftones = restored_pages(file, lambda page: self._halftone(page, seed), on_page=on_page)
        files.write(target, halftones, file.loop, overwrite)

    def _outline(self, page: Picture, format: str) -> Picture:
        """Of the page's halftone, from that of the page: as a small black one of its kind becomes; but dots for JPEG and MP4, which blur
        all, and for GIF, which holds palettes as well as dots."""
        if format in formats.LOSSY or (format == "GIF" and self._method.has_palette):
            return replace(page, pixels=np.broadcast_to(np.False_, page.pixels.shape))
        kind = page.pixels.dtype, page.pixels.shape[2:]
        if kind not in self._made_of:
            self._made_of[kind] = self._halftone(page.with_pixels(np.zeros((8, 8, *kind[1]), kind[0])), None).pixels[:1, :1]
        made = self._made_of[kind]
        return replace(page, pixels=np.broadcast_to(made, (*page.pixels.shape[:2], *made.shape[2:])))

    def _halftone(self, picture: Picture, seed: int | None) -> Picture:
        pixels = picture.pixels
        if pixels.dtype not in self._method.dtypes:
            pixels = from_unit(to_unit(pixels), np.uint8)
        if self.grey and pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        halftoned = picture.with_pixels(self._method.halftone(pixels, seed))
        if self._method.dpi:  # lines an inch are those of the paper it is printed on
            header = replace(halftoned.header, dpi=(self._method.dpi, self._method.dpi))
            return replace(halftoned, header=header)
        return halftoned


def _method(method: str | os.PathLike, parameters: dict[str, Any]) -> _Classical | _Learned:
    if not isinstance(method, (str, os.PathLike)):
        raise OptionError(f"method is a {type(method).__name__}; give a name, or the path of a model.")
    name = os.fspath(method)
    if name in METHODS:
        return _Classical(METHODS[name], parameters)
    if name in releases() or Path(name).suffix.lower() in (".onnx", ENGINE_SUFFIX):
        return _Learned(name, parameters)
    known = [*METHODS, *released_for("halftoning")]
    raise OptionError(f"Halftoning method {name!r} is unknown.{nearest(name, known)} A path to an .onnx file of a model works too.")


class _Classical:
    """A row of the table with parameters; a wrong one is refused here, not in the middle of a folder."""

    def __init__(self, method: Method, parameters: dict[str, Any]):
        self.dtypes = (np.uint8, np.uint16) if method.keeps_16_bits else (np.uint8,)
        self._method, self._parameters = method, parameters
        self.dpi: float | None = self.describe().get("dpi")
        """Resolution for which the dots are made, where the method knows one."""
        self.halftone(np.zeros((8, 8), self.dtypes[-1]), None)
        self.has_palette = method.family == "palette" or self.describe().get("levels", MOST) ** 3 <= MOST

    def describe(self) -> dict[str, Any]:
        return {"method": self._method.name, **self._method.parameters, **self._parameters}

    def check_seed(self, seed: int | None) -> None:
        check_seed(seed, f"method {self._method.name!r}", "seed" in self._method.parameters)

    def halftone(self, pixels: np.ndarray, seed: int | None) -> np.ndarray:
        given = self._parameters if seed is None else self._parameters | {"seed": seed}
        return halftone(pixels, self._method.name, **given)


class _Learned:
    """A network, as the rows of the table are."""

    dtypes = (np.uint8, np.uint16, np.float32)
    dpi = None
    has_palette = False

    def __init__(self, model: str, parameters: dict[str, Any]):
        unknown = sorted(parameters.keys() - set(OPTIONS))
        if unknown:
            advice = " Give the seed to run(), or by --seed." if unknown[0] == "seed" else nearest(unknown[0], OPTIONS)
            raise OptionError(f"Model {model!r} has no parameter {unknown[0]!r}.{advice}")
        network = HalftoningNetwork(model, **parameters)
        self.describe, self.check_seed, self.halftone = network.describe, network.check_seed, network.halftone
