"""What kind of picture is this: 1-bit dither, print screen with its period and angle, palette, few bits, or none of these?

>>> print(sdk.analyze("page.tif"))
AM screen, period 3.30 px at 46 degrees (91 lpi at 300 dpi), confidence 0.97

The levels are counted first. Two of them are judged by their dots (``two_levels``), a few by their grid and dither
(``levels``, ``dither``); everything else by the peaks of its mean spectrum (``screens``). Large pages are judged by some of their
full-resolution windows, those with the most texture.
"""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Real
from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image

from sdk import files
from sdk.analysis.dither import CLUMPED, find_clumps, find_dither, is_dithered
from sdk.analysis.levels import (
    GREY_GAP,
    MOSTLY,
    are_two_smeared,
    busy_level_counts,
    distinct_colors,
    distinct_levels,
    is_toned,
    level_counts,
    regular_grid,
)
from sdk.analysis.methods import find_method
from sdk.analysis.result import KINDS, Analysis
from sdk.analysis.rules import without_rules
from sdk.analysis.screens import OF_DOTS, Screen, find_screen
from sdk.analysis.turns import find_turn
from sdk.analysis.two_levels import MASKS, MATRICES, POWERS, find_matrix, measure_texture, measure_whiteness
from sdk.analysis.windows import MOST_PIXELS, WINDOW, choose_windows
from sdk.errors import OptionError
from sdk.halftoning.error_diffusion import KERNELS
from sdk.headers import resolution
from sdk.images import ImageLike, as_8_bits, from_unit, is_grey, no_picture, picture_from_array, picture_from_pil, to_unit
from sdk.networks.plain_dots import find_repetition, find_two_levels
from sdk.networks.smeared_dots import find_smeared_levels

SPECKLED = 0.02
"""Share of a photograph of two levels that is speckled, at least; small letters make speckles here and there."""

__all__ = ["KINDS", "Analysis", "analyze", "analyze_pixels"]

Windows: TypeAlias = list[np.ndarray]


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
    large = pixels.shape[0] * pixels.shape[1] > MOST_PIXELS
    windows = [from_unit(to_unit(window), np.uint8) for window in (choose_windows(pixels) if large else [pixels])]
    if windows[0].ndim == 3 and all(is_grey(window) for window in windows):
        windows = [np.ascontiguousarray(window[..., 0]) for window in windows]
    for judge in (_judge_two_levels, _judge_few_levels, _judge_blurred_dots):
        found = judge(windows)
        if found and found.is_two_level:
            return _with_method(found, pixels, windows)
        if found and not (found.kind == "palette" and as_8_bits(pixels) is None):
            return found
    return _judge_spectrum(windows)


def _with_method(found: Analysis, pixels: np.ndarray, windows: Windows) -> Analysis:
    """And what placed the dots of a dither, and how they lie; no matrix of another size than was found."""
    threshold = 0.5
    if levels := find_two_levels(pixels):
        pixels = levels.spread(pixels)
    else:
        low, high = np.percentile(np.concatenate([window[::3, ::5].ravel() for window in windows]), (1, 99))
        threshold = float(low + high) / 2 / 255 if high > low else threshold
    if turn := find_turn(pixels, threshold):
        found, pixels = replace(found, turned=turn.degrees, mirrored=turn.mirrored), turn.undo(pixels)
    method = find_method(pixels, threshold)
    if method is not None and method.startswith("clustered-dot") and found.period is not None and not method.endswith(f"x{found.period:g}"):
        return found
    return replace(found, method=method)


def _planes(windows: Windows) -> list[Windows]:
    """The windows of each channel."""
    if windows[0].ndim == 2:
        return [windows]
    return [[np.ascontiguousarray(window[..., channel]) for window in windows] for channel in range(3)]


def _luma(windows: Windows) -> Windows:
    return [cv2.cvtColor(window, cv2.COLOR_RGB2GRAY) if window.ndim == 3 else window for window in windows]


def _sure(margin: float, scale: float) -> float:
    """Confidence from how far a measure is beyond its threshold: 0.5 at 0, 0.73 at ``scale``."""
    return float(1 / (1 + np.exp(-np.clip(margin / scale, -30, 30))))


# Judges: each returns None where the picture is none of its kinds.


def _judge_two_levels(windows: Windows) -> Analysis | None:
    """Beside the two levels a 1-bit dither may have a caption, a stamp or a stray pixel of others."""
    channels = _planes(windows)
    counts = [level_counts(planes) for planes in channels]
    busy = [busy_level_counts(planes) for planes in channels]  # a mat or a frame of a third level has no dots
    ends = [np.sort(np.argsort(of_channel)[-2:]) for of_channel in busy]
    shares = [max(some[pair].sum() / some.sum() for some in both) for pair, *both in zip(ends, counts, busy)]
    if min(shares) < MOSTLY:
        return None
    cut = [[plane > pair.mean() for plane in planes] for planes, pair in zip(channels, ends)]
    found = _judge_dots(max(cut, key=_changes))
    if max(np.count_nonzero(of_channel) for of_channel in counts) > 2:
        return found if found.is_two_level else None
    # Levels of 0 and 128 are the highest bits of a photograph. Those of 0 and 255 may be, but drawings in pure colours have them, too.
    if found.kind == "line-art" and {int(level) for of_channel in counts for level in np.flatnonzero(of_channel)} in ({0, 127}, {0, 128}):
        return Analysis("few-bit", found.confidence, bits=1)
    return found


def _changes(planes: Windows) -> int:
    return sum(int(np.count_nonzero(plane[:, 1:] ^ plane[:, :-1])) for plane in planes)


def _judge_dots(planes: Windows) -> Analysis:
    """Two levels, bool."""
    dots = [without_rules(plane.astype(np.uint8) * np.uint8(255)) for plane in planes]
    planes = [plane > 0 for plane in dots]
    texture = measure_texture(planes)
    matrix = find_matrix(planes)
    screen = find_screen(dots, coded=False)
    if (
        matrix
        and matrix.dispersed
        and texture.dispersed > 0.1
        and matrix.contrast < 0.65
        and (screen.margin <= 0 or _on_lattice(screen, max(POWERS)))
    ):
        return Analysis("ordered", _sure(0.65 - matrix.contrast, 0.05), float(matrix.period), bits=1)
    if screen.margin > 0 and screen.level >= OF_DOTS and not (texture.dispersed > 0.9 and _is_of_mask(screen, planes)):
        side = round(screen.period)
        exact = abs(screen.period - side) < 0.006 * side and abs((screen.angle + 45) % 90 - 45) < 0.4
        if exact and not screen.lines and side in MATRICES:
            return Analysis("ordered", _sure(screen.margin, 3), float(side), bits=1)
        return _screen(screen, bits=1)
    if matrix and matrix.on_axis and matrix.contrast < 0.8:
        return Analysis("ordered", _sure(0.8 - matrix.contrast, 0.1), float(matrix.period), bits=1)
    margin = max(texture.dispersed - 0.3, 3 * min(texture.area - 0.05, texture.dispersion - 0.08))
    if margin > 0:
        whiteness = measure_whiteness(planes) - 0.83
        if whiteness > 0:
            return Analysis("dither", min(_sure(margin, 0.12), _sure(whiteness, 0.03)), bits=1)
        # Where a photograph goes beyond its two levels, diffusion does not get rid of its errors; its habits stay.
        if _is_diffused(planes):
            return Analysis("dither", _sure(margin, 0.12), bits=1)
        if texture.area > SPECKLED:  # but the speckles are those of the photograph
            return Analysis("few-bit", min(_sure(margin, 0.12), _sure(-whiteness, 0.03)), bits=1)
    return Analysis("line-art", _sure(max(0, min(-margin, -screen.margin / 20)), 0.1), bits=1)


def _is_diffused(planes: Windows) -> bool:
    method = find_method(max(planes, key=np.size))
    return method is not None and method.removesuffix(", serpentine") in KERNELS


def _is_of_mask(screen: Screen, planes: Windows) -> bool:
    """Whether a mask of blue noise made the peaks. It repeats, which makes a lattice in the spectrum: a smaller mask, a clearer one."""
    if screen.margin <= 3 or screen.lines:
        return not screen.lines
    mask = find_matrix(planes, MASKS)
    return bool(mask and mask.contrast < 0.65 and _on_lattice(screen, mask.period))


def _on_lattice(screen: Screen, side: int) -> bool:
    """Whether something that repeats every ``side`` px along both axes can have the screen's peaks."""
    turn = np.deg2rad(screen.angle)
    cycles = np.array([np.cos(turn), np.sin(turn)]) * side / screen.period
    return bool(np.abs(cycles - np.round(cycles)).max() < 0.08)


def _judge_few_levels(windows: Windows) -> Analysis | None:
    levels = [distinct_levels(planes) for planes in _planes(windows)]
    if all(are_two_smeared(of_channel) for of_channel in levels):
        return None
    grids = [regular_grid(of_channel) for of_channel in levels if of_channel.size > 2]
    regular = max((grid for grid in grids if grid), default=None) if all(grids) else None
    colors = _palette_size(windows)
    if regular is None and colors is None:
        return None
    looked_at = windows[:2] if len(windows) > 1 else choose_windows(windows[0], count=1)
    dither = find_dither(looked_at)
    # Without dither, colours have contours: nearly everywhere in a photograph, in parts of a drawing.
    margin = (dither.singles - (0.015 if dither.contours > 0.07 else 0.08)) / 0.03
    if regular in (4, 8, 16, 32, 64):
        # The levels of bit depths are powers of two, those of palettes seldom; and what was cut has clumps of equal levels.
        clumps = find_clumps(looked_at)
        margin = (dither.roughness - 3.0) / 0.1 if clumps is None else (CLUMPED - clumps) / 0.02
    if regular and margin <= 0:
        screen = _find_in_any_channel(windows)
        if screen.margin > 3:
            return _screen(screen)
        return Analysis("few-bit", _sure(-margin, 1), bits=int(np.ceil(np.log2(regular))))
    return Analysis("palette", _sure(margin, 1), colors=colors) if margin > 0 else None


def _palette_size(windows: Windows) -> int | None:
    """Distinct colours, if so few of them must come from a palette."""
    grey = windows[0].ndim == 2
    palette = distinct_levels(windows) if grey else distinct_colors(windows)
    if palette is None or len(palette) < 2 or sum(window.size for window in windows) < 16 * len(palette):
        return None
    # Grey photographs, and toned ones, have at most 256 colours without any palette.
    if grey or is_toned(palette):
        levels = max((distinct_levels(planes) for planes in _planes(windows)), key=len)
        if np.median(np.diff(levels)) < GREY_GAP:
            return None
    return len(palette)


def _judge_blurred_dots(windows: Windows) -> Analysis | None:
    """A 1-bit dither after JPEG: nearly two levels, and dots of one pixel. A scan of text has the levels, but not the dots."""
    of_colour = _planes(windows) if windows[0].ndim == 3 else []  # whose dots lie at other places in each channel
    return next((found for planes in (_luma(windows), *of_colour) if (found := _judge_blurred_plane(planes))), None)


def _judge_blurred_plane(grey: Windows) -> Analysis | None:
    sample = np.concatenate([plane[::3, ::5].ravel() for plane in grey])  # odd, so that every phase of a matrix is met
    ink, paper = (float(level) for level in np.percentile(sample, (1, 99)))
    spread = paper - ink
    if spread < 64:
        return None
    position = (sample - ink) / spread
    near = float(np.mean((position < 0.2) | (position > 0.8)))
    cut = [plane > (ink + paper) / 2 for plane in grey]
    if near < 0.75 or measure_texture(cut).area < 0.3:
        return None
    found = _judge_dots(cut)
    if not found.is_two_level:
        return None
    return Analysis(found.kind, min(found.confidence, _sure(near - 0.75, 0.05)), found.period, bits=1)


def _judge_spectrum(windows: Windows) -> Analysis:
    screen = _find_in_any_channel(windows)
    return _screen(screen) if screen.margin > 0 else Analysis("continuous", _sure(-screen.margin, 1.5))


def _find_in_any_channel(windows: Windows) -> Screen:
    """Luma first; inks at different angles may cancel in it. One window of the channels will do, but then more is asked of it."""
    screen = find_screen([without_rules(plane) for plane in _luma(windows)])
    if screen.margin > 0 or windows[0].ndim == 2:
        return screen
    window = choose_windows(windows[0], count=1)[0] if windows[0].size > 3 * WINDOW**2 else windows[0]
    channels = (find_screen([without_rules(plane) for plane in planes]) for planes in _planes([window]))
    return max((screen, *(replace(found, margin=found.margin - 2) for found in channels)), key=lambda screen: screen.margin)


def _screen(screen: Screen, bits: int | None = None) -> Analysis:
    return Analysis("screen", _sure(screen.margin, 1.5), screen.period, screen.angle, bits=bits)
