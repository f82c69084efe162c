"""``Halftoner``: any picture kind through a method of ``sdk.halftoning``."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sdk import files
from sdk.errors import UnsupportedImageError
from sdk.halftoning import halftone, method_named
from sdk.images import ACCEPTED, Picture, from_unit, picture_from_array, picture_from_pil, picture_to_pil, to_unit


class Halftoner:
    """Halftones a photograph.

    >>> white = sdk.Halftoner("floyd-steinberg", serpentine=True).run(photo)

    method: a name from ``sdk.halftoning.METHODS``; the keywords are that method's parameters.
    grey: turn colour pictures to grey first (BT.601 luma); else each channel is halftoned on its own.
    """

    def __init__(self, method: str, *, grey: bool = False, **parameters: Any):
        self.method = method_named(method)
        self.parameters = parameters
        self.grey = grey
        depth = np.uint16 if self.method.keeps_16_bits else np.uint8
        halftone(np.zeros((8, 8), depth), method, **parameters)  # a wrong parameter fails here, not in the middle of a folder

    def run(self, image: Any) -> Any:
        """ndarray or path -> ndarray (bool, True = white; ``palette`` and ``bit-depth``: uint8); PIL -> PIL; bytes -> bytes (PNG or TIFF).

        Pictures of more than 8 bits are rounded to 8 first (``bit-depth`` keeps 16). Alpha is dropped from arrays, kept elsewhere.
        """
        if isinstance(image, np.ndarray):
            return self._halftone(picture_from_array(image)).pixels
        if isinstance(image, Image.Image):
            halftoned = picture_to_pil(self._halftone(picture_from_pil(image)))
            halftoned.info |= {key: image.info[key] for key in ("dpi",) if key in image.info}
            return halftoned
        if isinstance(image, bytes):
            file = files.read(image)
            return files.encode(self._halftone_pages(file), "TIFF" if file.format == "TIFF" else "PNG")
        if isinstance(image, (str, os.PathLike)):
            return self._halftone(files.read(image, first_page_only=True).pages[0]).pixels
        raise UnsupportedImageError(f"Found a {type(image).__name__}; give a path, bytes, a PIL image or a numpy array. {ACCEPTED}")

    def run_file(self, source: str | os.PathLike, target: str | os.PathLike, overwrite: bool = False) -> None:
        """Halftone a file into another one, all pages, DPI kept; a lossy target format would ruin the dots, so use .png or .tif."""
        files.check_target(target, overwrite)
        files.write(target, self._halftone_pages(files.read(source)), overwrite)

    def _halftone_pages(self, file: files.ImageFile) -> files.ImageFile:
        return file.with_pages([self._halftone(page) for page in file.pages])

    def _halftone(self, picture: Picture) -> Picture:
        pixels = picture.pixels
        if not (pixels.dtype == np.uint16 and self.method.keeps_16_bits):
            pixels = from_unit(to_unit(pixels), np.uint8)
        if self.grey and pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return picture.with_pixels(halftone(pixels, self.method.name, **self.parameters))
