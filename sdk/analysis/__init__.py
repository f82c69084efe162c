"""What kind of picture is this: 1-bit dither, screen of print with its period and angle, palette, few bits, or none of these?

>>> print(sdk.analyze("page.tif"))
AM screen, period 3.30 px at 46 degrees (91 lpi at 300 dpi), confidence 0.97

The levels are counted first. Two of them are judged by their dots (``two_levels``), a few by their grid and dither
(``levels``, ``dither``); everything else by the peaks of its mean spectrum (``screens``): ``judges``. Large pages are
judged by some of their full-resolution windows, those with the most texture.
"""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Real

import numpy as np
from PIL import Image

from sdk import files
from sdk.analysis.dither import is_dithered
from sdk.analysis.hidden_dots import find_hidden_dots
from sdk.analysis.judges import Windows, ends, judge_blurred_dots, judge_few_levels, judge_spectrum, judge_two_levels, judge_unsharp_dots
from sdk.analysis.methods import find_method
from sdk.analysis.plain_dots import find_repetition, find_two_levels
from sdk.analysis.result import KINDS, Analysis
from sdk.analysis.smeared_dots import find_smeared_levels
from sdk.analysis.turns import find_turn
from sdk.analysis.windows import MOST_PIXELS, choose_windows
from sdk.errors import OptionError
from sdk.headers import resolution
from sdk.images import ImageLike, as_8_bits, from_unit, is_grey, no_picture, picture_from_array, picture_from_pil, to_unit

__all__ = ["KINDS", "Analysis", "analyze", "analyze_pixels"]


def analyze(image: ImageLike, dpi: float | None = None) -> Analysis:
    """Say what a picture is. image: as ``InverseHalftoner.run`` takes; of several pages, the first is judged.

    dpi: resolution of the scan, for ``lpi``; the default is what the file says, if it says anything.
    Raises ``ImageReadError``, ``UnsupportedImageError`` or ``OptionError``.
    """
    if isinstance(image, np.ndarray):
        return analyze_pixels(picture_from_array(image).pixels, dpi)
    if isinstance(image, Image.Image):
        known = resolution(image.info.get("dpi"))
        return analyze_pixels(picture_from_pil(image).pixels, dpi if dpi is not None else known[0] if known else None)
    if isinstance(image, (str, os.PathLike, bytes)):
        page = files.read(image, first_page_only=True).pages[0]
        return analyze_pixels(page.pixels, dpi if dpi is not None else page.header.dpi[0] if page.header.dpi else None)
    raise no_picture(image)


def analyze_pixels(pixels: np.ndarray, dpi: float | None = None) -> Analysis:
    """The same for HxW or HxWx3 pixels: bool, uint8, uint16, or float32 in [0, 1]."""
    if dpi is not None and not (isinstance(dpi, Real) and not isinstance(dpi, bool) and 0 < dpi < np.inf):
        raise OptionError(f"dpi is {dpi!r}; it must be a number above 0.")
    found = _judge(pixels)
    return replace(found, lpi=dpi / found.period) if dpi and found.kind == "screen" and found.period else found


def _judge(pixels: np.ndarray) -> Analysis:
    if repeated := find_repetition(pixels):
        small = repeated.undo(pixels)
        found = _judge(small)
        # Drawings in large pixels are few-coloured as well, and look as they shall.
        if found.is_two_level or (found.kind == "palette" and is_dithered(small)):
            return replace(found, enlarged=repeated.times)
    if (smeared := find_smeared_levels(pixels)) and find_repetition(dots := smeared.spread(pixels)):
        found = _judge(dots)
        if found.is_two_level:
            return found
    if (dots := find_hidden_dots(pixels)) is not None:
        found = _judge(dots)
        # Small letters may look like dots without a method.
        if found.kind == "ordered" or found.method:
            return replace(found, smoothed_from=(dots.shape[0], dots.shape[1]))
    large = pixels.shape[0] * pixels.shape[1] > MOST_PIXELS
    windows = [from_unit(to_unit(window), np.uint8) for window in (choose_windows(pixels) if large else [pixels])]
    if windows[0].ndim == 3 and all(is_grey(window) for window in windows):
        windows = [np.ascontiguousarray(window[..., 0]) for window in windows]
    for judge in (judge_two_levels, judge_unsharp_dots, judge_few_levels, judge_blurred_dots):
        found = judge(windows)
        if found and found.is_two_level:
            return _with_method(found, pixels, windows)
        if found and not (found.kind == "palette" and as_8_bits(pixels) is None):
            return found
    return judge_spectrum(windows)


def _with_method(found: Analysis, pixels: np.ndarray, windows: Windows) -> Analysis:
    """And what placed the dots of a dither, and how they lie; no matrix of another size than was found."""
    threshold = 0.5
    if levels := find_two_levels(pixels):
        pixels = levels.spread(pixels)
    else:
        _, low, high = ends(windows)
        threshold = (low + high) / 2 / 255 if high > low else threshold
    if turn := find_turn(pixels, threshold):
        found, pixels = replace(found, turned=turn.degrees, mirrored=turn.mirrored), turn.undo(pixels)
    method = find_method(pixels, threshold)
    if method is not None and method.startswith("clustered-dot") and found.period is not None and not method.endswith(f"x{found.period:g}"):
        return found
    return replace(found, method=method)
