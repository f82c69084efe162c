"""Classical halftoning: one table of methods drives ``Halftoner``, the CLI, the docs and the tests.

>>> white = Halftoner("floyd-steinberg", serpentine=True).run(grey)      # bool HxW, True = white
>>> white = Halftoner("am-screen", lpi=85, dpi=300, angle=45).run(rgb)   # bool HxWx3, each channel screened on its own
>>> greys = Halftoner("bayer", size=4, levels=4).run(grey)               # uint8 HxW of 0, 85, 170, 255
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sdk.errors import OptionError, UnsupportedImageError, nearest
from sdk.halftoning import palettes, thresholds
from sdk.halftoning.error_diffusion import KERNELS, diffuse

MOST_LEVELS = 64
LEAST_PERIOD = 2
"""px; dots of fewer have hardly any tones."""
PHASE = (0.137, 0.271)
"""Where AM screens begin, in periods: where these are whole px, pixels meet more of their tones than if a dot began at a pixel."""


@dataclass(frozen=True)
class Method:
    """One row of the table. ``apply`` takes uint8 HxW (``per_plane``) or HxW / HxWx3, and the parameters as keywords."""

    name: str
    family: str
    summary: str
    apply: Callable[..., np.ndarray]
    per_plane: bool = True
    keeps_16_bits: bool = False
    """Takes uint16 as it is; all others take 8 bits."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters it takes, with their defaults."""
        bound = self.apply.keywords if isinstance(self.apply, partial) else {}
        parameters = inspect.signature(self.apply).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in bound}

    def check_names(self, given: Iterable[str]) -> None:
        """``OptionError`` where a parameter of such a name is none of its own."""
        known = self.parameters
        if unknown := sorted(set(given) - known.keys()):
            raise OptionError(f"Method {self.name!r} has no parameter {unknown[0]!r}.{nearest(unknown[0], known)}")


def even_levels(count: int) -> np.ndarray:
    """uint8 (count,): from 0 to 255, equally far apart."""
    if not 2 <= count <= MOST_LEVELS:
        raise OptionError(f"levels is {count}; it must be 2..{MOST_LEVELS}.")
    return np.rint(np.linspace(0, 255, count)).astype(np.uint8)


def _error_diffusion(grey: np.ndarray, *, serpentine: bool = False, levels: int = 2, kernel: str) -> np.ndarray:
    dots = diffuse(grey, KERNELS[kernel], serpentine, even_levels(levels))
    return dots > 0 if levels == 2 else dots


def _exceeds(grey: np.ndarray, threshold: np.ndarray, levels: int) -> np.ndarray:
    """Where the grey's way from the level below it to the one above is longer than the threshold, the one above."""
    if threshold.shape != grey.shape:
        threshold = thresholds.tile_over(threshold, *grey.shape)
    values, threshold = even_levels(levels), threshold * np.float32(255)
    if levels == 2:
        return grey > threshold
    below, way = np.divmod(grey.astype(np.uint16) * np.uint16(levels - 1), np.uint16(255))
    return values[below + (way > threshold)]


def _bayer(grey: np.ndarray, *, size: int = 8, levels: int = 2) -> np.ndarray:
    return _exceeds(grey, thresholds.bayer(size), levels)


def _clustered_dot(grey: np.ndarray, *, size: int = 8, levels: int = 2) -> np.ndarray:
    return _exceeds(grey, thresholds.clustered_dot(size), levels)


def _am_screen(
    grey: np.ndarray, *, lpi: float = 85.0, dpi: float = 600.0, angle: float = 45.0, dot: str = "round", levels: int = 2
) -> np.ndarray:
    if not (0 < lpi < math.inf and 0 < dpi < math.inf):
        raise OptionError(f"lpi = {lpi:g} and dpi = {dpi:g}: both must be above 0.")
    if not math.isfinite(angle):
        raise OptionError(f"angle = {angle:g}: it must be a number of degrees.")
    if dpi / lpi < LEAST_PERIOD:
        raise OptionError(f"lpi = {lpi:g} at dpi = {dpi:g}: a dot has {dpi / lpi:g} px; it must have {LEAST_PERIOD} or more.")
    return _exceeds(grey, thresholds.am_screen(*grey.shape, period=dpi / lpi, angle=angle, dot=dot, phase=PHASE), levels)


def _blue_noise(grey: np.ndarray, *, size: int = 64, seed: int = 0, levels: int = 2) -> np.ndarray:
    return _exceeds(grey, thresholds.blue_noise(size, seed), levels)


def _white_noise(grey: np.ndarray, *, seed: int = 0, levels: int = 2) -> np.ndarray:
    return _exceeds(grey, thresholds.white_noise(*grey.shape, seed=seed), levels)


def _palette(image: np.ndarray, *, colors: int = 256, palette: str = "median-cut", dither: str = "floyd-steinberg") -> np.ndarray:
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
    return palettes.reduce_palette(rgb, colors, palette, dither)


def _bit_depth(image: np.ndarray, *, bits: int = 3) -> np.ndarray:
    return palettes.quantise_bits(image, bits)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *(
            Method(name, "error diffusion", f"{kernel.source}; raster or serpentine", partial(_error_diffusion, kernel=name))
            for name, kernel in KERNELS.items()
        ),
        Method("bayer", "ordered", "dispersed dots, Bayer 1973; size 2, 4, 8 or 16", _bayer),
        Method("clustered-dot", "ordered", "one growing dot per size x size cell; size 2..32", _clustered_dot),
        Method(
            "am-screen",
            "screen",
            "printer's screen, lpi lines an inch at dpi, any angle; round, ellipse, diamond or line dots",
            _am_screen,
        ),
        Method("blue-noise", "ordered", "void-and-cluster mask, Ulichney 1993; size 8..256", _blue_noise),
        Method("white-noise", "noise", "random thresholds", _white_noise),
        Method(
            "palette",
            "palette",
            "GIF palette: median-cut, octree, web, or colours of your own (#000000,#ffffff,#cc0000); dither floyd-steinberg, bayer or none",
            _palette,
            per_plane=False,
        ),
        Method(
            "bit-depth",
            "bit depth",
            "keep the highest bits, no dither; Hou & Qiu 2017 eq. 2",
            _bit_depth,
            per_plane=False,
            keeps_16_bits=True,
        ),
    )
}


def _check_kind(method: str, key: str, value: Any, default: Any) -> None:
    """A parameter has the type of its default; a whole number will do for a float."""
    kinds = {float: (float, int, np.floating, np.integer), int: (int, np.integer)}.get(type(default), (type(default),))
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise OptionError(f"{method}: {key} is {value!r}; it must be of type {type(default).__name__}, like the default {default!r}.")


def method_named(name: str) -> Method:
    """The row of the table, or an ``OptionError`` that names the nearest."""
    if name not in METHODS:
        raise OptionError(f"Halftoning method {name!r} is unknown.{nearest(name, METHODS)}")
    return METHODS[name]


def halftone(image: np.ndarray, name: str, **parameters: Any) -> np.ndarray:
    """Halftone uint8 HxW or HxWx3 by the method ``name``; the plain function under ``Halftoner``.

    Returns bool of the same shape, True = white; of more than two ``levels`` uint8 (``palette``: uint8 HxWx3; ``bit-depth``: the shape and
    dtype given, which may be uint16).
    """
    method, image = method_named(name), np.asarray(image)
    method.check_names(parameters)
    for key, value in parameters.items():
        _check_kind(name, key, value, method.parameters[key])
    accepted = (np.uint8, np.uint16) if method.keeps_16_bits else (np.uint8,)
    if image.dtype not in accepted or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UnsupportedImageError(f"Found {image.dtype} of shape {image.shape}; halftone() takes uint8 HxW or HxWx3.")
    if image.ndim == 3 and method.per_plane:
        return np.stack([method.apply(np.ascontiguousarray(image[..., c]), **parameters) for c in range(3)], axis=-1)
    return method.apply(image, **parameters)
