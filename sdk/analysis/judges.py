"""The judges of a picture: of two levels, of a few, of blurred dots, of its spectrum.

Each takes windows (uint8 HxW or HxWx3) of one picture and says what it is, or returns None where the picture is none of its kinds. The
thresholds below lie between what the kinds had in photographs that were halftoned, cut and reduced (``training.evaluate_analysis`` counts
what they get right); confidence is 0.5 at a threshold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import cv2
import numpy as np

from sdk.analysis.dither import CLUMPED, find_clumps, find_dither
from sdk.analysis.levels import (
    GREY_GAP,
    MOSTLY,
    are_two_smeared,
    block_means,
    busy_level_counts,
    distinct_colors,
    distinct_levels,
    is_toned,
    level_counts,
    regular_grid,
)
from sdk.analysis.methods import find_method
from sdk.analysis.result import Analysis
from sdk.analysis.rules import without_rules
from sdk.analysis.screens import NOTHING, OF_DOTS, Screen, find_screen
from sdk.analysis.spectrum import BLOCK
from sdk.analysis.two_levels import DISPERSED, MASKS, MATRICES, POWERS, find_matrix, measure_texture, measure_whiteness
from sdk.analysis.windows import WINDOW, choose_windows
from sdk.halftoning.error_diffusion import KERNELS

Windows: TypeAlias = list[np.ndarray]

REPEATS, REPEATS_ON_AXIS = 0.65, 0.8
"""``Matrix.contrast`` of ordered dither, at most; a matrix whose strongest wave runs along an axis is seldom anything else."""
SOME, NEARLY_ALL, MOST_BLOCKS = 0.1, 0.9, 0.3
"""``Texture.dispersed``, the share of textured blocks with dispersed dots: of Bayer's dither, of blue noise, of any dither at least. The
last also of a page that was blurred, by ``Texture.area``."""
SOME_OF_THE_PAGE, SPECKLED = 0.05, 0.02
"""``Texture.area``, the share of the picture with dispersed dots: of a dither on a page of text, and of a photograph of two levels that is
speckled, at least; small letters make speckles here and there."""
WHITE = 0.83
"""``measure_whiteness`` of dither, at least."""
EXACT_PERIOD, EXACT_ANGLE = 0.006, 0.4
"""Share of the period, and degrees, that a screen of clustered dots on the pixel grid is off by, at most."""
ON_LATTICE = 0.08
"""Cycles that a peak of something that repeats is off whole ones, at most."""
CLEAR, OF_A_CHANNEL, OF_A_PART = 3.0, 2.0, 8.0
"""dB of ``Screen.margin``: of a screen that is beyond doubt, and what is asked more of one that shows in a single channel, or in a part of
the picture."""
PHOTO_CONTOURS, PHOTO_SINGLES, DRAWING_SINGLES = 0.07, 0.015, 0.08
"""``Dither.contours`` of a photograph, at least; ``Dither.singles`` of dither in photographs and in drawings, at least."""
DITHER_ROUGHNESS = 3.0
"""``Dither.roughness`` of dither, at least, where no clumps can tell."""
FEW_LEVELS, WIDE_SPREAD = 8, 150
"""Levels of a channel: dots that were resized or coded have more. Grey levels from ink to paper: they have more, too."""
GRAIN, COARSER = 0.1, 0.15
"""What ``_grain`` gives for such dots, at the first decile at least and at the first quartile at most. Whole photographs, of grass and sand
too, have up to 0.08, letters 0.3 and more; dots enlarged by half have 0.2, turned by a degree or more 0.11 or more; those at half the size
are photographs with noise."""
FINE, GRAIN_BLOCK, MIDDLE, FEW_BLOCKS = 2.5, 24, 0.3, 8
"""px: a blur that dots do not survive, and the side of a block; how far a block's tone is from the middle one, at most; and how many such
blocks tell."""
LEAST_SPREAD, AT_AN_END, MOST_AT_AN_END = 64, 0.2, 0.75
"""Of blurred dots: grey levels from ink to paper, at least; how near either end, as a share of that, most pixels are; and how many, as a
share of all."""


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


def judge_two_levels(windows: Windows) -> Analysis | None:
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
        and texture.dispersed > SOME
        and matrix.contrast < REPEATS
        and (screen.margin <= 0 or _on_lattice(screen, max(POWERS)))
    ):
        return Analysis("ordered", _sure(REPEATS - matrix.contrast, 0.05), float(matrix.period), bits=1)
    if screen.margin > 0 and screen.level >= OF_DOTS and not (texture.dispersed > NEARLY_ALL and _is_of_mask(screen, planes)):
        side = round(screen.period)
        exact = abs(screen.period - side) < EXACT_PERIOD * side and abs((screen.angle + 45) % 90 - 45) < EXACT_ANGLE
        if exact and not screen.lines and side in MATRICES:
            return Analysis("ordered", _sure(screen.margin, 3), float(side), bits=1)
        return _screen(screen, bits=1)
    if matrix and matrix.on_axis and matrix.contrast < REPEATS_ON_AXIS:
        return Analysis("ordered", _sure(REPEATS_ON_AXIS - matrix.contrast, 0.1), float(matrix.period), bits=1)
    margin = max(texture.dispersed - MOST_BLOCKS, 3 * min(texture.area - SOME_OF_THE_PAGE, texture.dispersion - DISPERSED))
    if margin > 0:
        whiteness = measure_whiteness(planes) - WHITE
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
    if screen.margin <= CLEAR or screen.lines:
        return not screen.lines
    mask = find_matrix(planes, MASKS)
    return bool(mask and mask.contrast < REPEATS and _on_lattice(screen, mask.period))


def _on_lattice(screen: Screen, side: int) -> bool:
    """Whether something that repeats every ``side`` px along both axes can have the screen's peaks."""
    turn = np.deg2rad(screen.angle)
    cycles = np.array([np.cos(turn), np.sin(turn)]) * side / screen.period
    return bool(np.abs(cycles - np.round(cycles)).max() < ON_LATTICE)


def judge_unsharp_dots(windows: Windows) -> Analysis | None:
    """A 1-bit dither that was resized, turned, or coded as JPEG with its colours at half size: its levels are gone, but its grain is still
    everywhere, in the smoothest places too, as the contrast of black and white makes it; and finer than anything in letters. Or a screen
    of which the same happened."""
    grey = _luma(windows)
    if max(distinct_levels(planes).size for planes in _planes(windows)) <= FEW_LEVELS:
        return None
    _, ink, paper = ends(grey)
    if paper - ink < WIDE_SPREAD:
        return None
    grains, coarser = (np.concatenate(parts) for parts in zip(*(_grain((plane - ink) / (paper - ink)) for plane in grey)))
    if grains.size < FEW_BLOCKS:
        return None
    margin = float(np.percentile(grains, 10)) - GRAIN
    if margin <= 0 or np.percentile(coarser, 25) > COARSER or judge_blurred_dots(windows):
        return None
    screen = _find_in_any_channel(windows)
    return _screen(screen) if screen.margin > 0 else Analysis("dither", _sure(margin, 0.03), bits=1)


def _grain(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the blocks of a plane (ink 0, paper 1) that are neither light nor dark: the variance of what is fine, over that of black and white
    dots of the same tone; and the share of the variance that is coarser."""
    plane = np.clip(plane, 0, 1).astype(np.float32)
    smooth = cv2.GaussianBlur(plane, (0, 0), FINE)
    tone, fine = block_means(plane, GRAIN_BLOCK), block_means((plane - smooth) ** 2, GRAIN_BLOCK)
    coarse = block_means(smooth**2, GRAIN_BLOCK) - tone**2
    middle = np.abs(tone - 0.5) < MIDDLE
    tone, fine, coarse = tone[middle], fine[middle], np.maximum(coarse[middle], 0)
    return fine / (tone * (1 - tone)), coarse / (fine + coarse + 1e-6)


def judge_few_levels(windows: Windows) -> Analysis | None:
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
    margin = (dither.singles - (PHOTO_SINGLES if dither.contours > PHOTO_CONTOURS else DRAWING_SINGLES)) / 0.03
    if regular in (4, 8, 16, 32, 64):
        # The levels of bit depths are powers of two, those of palettes seldom; and what was cut has clumps of equal levels.
        clumps = find_clumps(looked_at)
        margin = (dither.roughness - DITHER_ROUGHNESS) / 0.1 if clumps is None else (CLUMPED - clumps) / 0.02
    if regular and margin <= 0:
        screen = _find_in_any_channel(windows)
        if screen.margin > CLEAR:
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


def judge_blurred_dots(windows: Windows) -> Analysis | None:
    """A 1-bit dither after JPEG: nearly two levels, and dots of one pixel. A scan of text has the levels, but not the dots."""
    if found := _judge_blurred_plane(_luma(windows)):
        return found
    channels = _planes(windows) if windows[0].ndim == 3 else []  # of colour, whose dots lie at other places in each
    first = None
    for planes in channels:
        _, ink, paper = ends(planes)
        found = _judge_blurred_plane(planes)
        if found is None and paper - ink >= LEAST_SPREAD:
            return None
        first = first or found
    return first


def _judge_blurred_plane(grey: Windows) -> Analysis | None:
    sample, ink, paper = ends(grey)
    if paper - ink < LEAST_SPREAD:
        return None
    position = (sample - ink) / (paper - ink)
    near = float(np.mean((position < AT_AN_END) | (position > 1 - AT_AN_END)))
    cut = [plane > (ink + paper) / 2 for plane in grey]
    if near < MOST_AT_AN_END or measure_texture(cut).area < MOST_BLOCKS:
        return None
    found = _judge_dots(cut)
    if not found.is_two_level:
        return None
    return Analysis(found.kind, min(found.confidence, _sure(near - MOST_AT_AN_END, 0.05)), found.period, bits=1)


def ends(windows: Windows) -> tuple[np.ndarray, float, float]:
    """Some of the values, and the levels of ink and paper among them."""
    sample = np.concatenate([window[::3, ::5].ravel() for window in windows])  # odd, so that every phase of a matrix is met
    ink, paper = (float(level) for level in np.percentile(sample, (1, 99)))
    return sample, ink, paper


def judge_spectrum(windows: Windows) -> Analysis:
    screen = _find_in_any_channel(windows)
    if screen.margin < CLEAR:
        screen = max(screen, _find_in_a_part(windows), key=lambda screen: screen.margin)
    return _screen(screen) if screen.margin > 0 else Analysis("continuous", _sure(-screen.margin, 1.5))


def _find_in_a_part(windows: Windows) -> Screen:
    """The dots of a small picture on a page of text, which drown in the mean spectrum. Lines there are blinds as often as print."""
    likeliest = _luma(windows[:: (len(windows) + 1) // 2])  # ``choose_windows`` has looked in two ways, each half of them
    parts = [part for window in likeliest for part in choose_windows(window, 2 // len(likeliest), BLOCK)]
    found = (find_screen([without_rules(part)]) for part in parts)
    dots = (replace(screen, margin=screen.margin - OF_A_PART) for screen in found if not screen.lines)
    return max(dots, key=lambda screen: screen.margin, default=NOTHING)


def _find_in_any_channel(windows: Windows) -> Screen:
    """Luma first; inks at different angles may cancel in it. One window of the channels will do, but then more is asked of it."""
    screen = find_screen([without_rules(plane) for plane in _luma(windows)])
    if screen.margin > 0 or windows[0].ndim == 2:
        return screen
    window = choose_windows(windows[0], count=1)[0] if windows[0].size > 3 * WINDOW**2 else windows[0]
    channels = (find_screen([without_rules(plane) for plane in planes]) for planes in _planes([window]))
    return max((screen, *(replace(found, margin=found.margin - OF_A_CHANNEL) for found in channels)), key=lambda screen: screen.margin)


def _screen(screen: Screen, bits: int | None = None) -> Analysis:
    return Analysis("screen", _sure(screen.margin, 1.5), screen.period, screen.angle, bits=bits)
