"""Find the screen of a print in a picture: its period and angle, from the mean spectrum.

A screen of dots is a square lattice, so its spectrum has two peaks at right angles and equally far from the centre. Such
pairs are rare in photographs: their textures run one way, or along the axes, or stand in a few places only. A screen of
lines has one peak; it must stand out further, and do so in most of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sdk.analysis.spectrum import BLOCK, background, block_powers, vertex_offset

FINEST, COARSEST, COARSEST_LINES = 1.42, 45.0, 18.0
"""Periods looked for, px. A fine screen at 45 degrees is below the limit of the pixel grid along the axes, yet visible."""
OCTAVE = 12.5
"""px; coarser screens are looked for in a copy of half the size, and again of half that."""
ON_AXIS = 5.0
"""Degrees from the axes within which fences, windows, bricks and the blocks of JPEG have their peaks."""
CHECKER, CHECKER_PERIODS, CHECKER_ANGLE = 8.0, (1.5, 6.0), 0.06
"""dB more, px, degrees: the checkerboard of a camera's colour filter is a lattice at exactly 45 degrees in an enlarged photograph."""
JPEG_BLOCK = 16
"""px; side of a JPEG block whose colour is stored at half size (its 8 px grid is every second peak of this)."""

FAINTEST = 72.0
"""dB; the power of a wave of half a grey level. Rounding makes weaker ones, which stand high above the nothing around them in a clean
gradient. The weakest screens of prints have 76."""

OF_DOTS, LETTERS = 95.0, 13.0
"""dB, px: large dots that fill a picture have 104 or more; rows, edges, and the figures of a table, which stand on a lattice of so many px
or more, below 91."""

ROWS = 8.0
"""px; coarser lines along an axis are most often rows of text, blinds, or a blurred movement."""

DOTS, DOTS_ON_AXIS, LINES, FINE_LINES_ON_AXIS, LINES_ON_AXIS, GRID = 15.0, 22.0, 25.0, 42.0, 60.0, 30.0
"""dB above the surroundings that make a screen: dots in print have 17 to 45, the peaks of photographs seldom 13. GRID: on the JPEG grid."""


@dataclass(frozen=True)
class Screen:
    """A screen that was found, or the best of what is too weak to be one (``margin`` below 0)."""

    period: float
    """px."""
    angle: float
    """Degrees in [0, 90), counter-clockwise from the x axis; of a line screen, of the direction across its lines, in [0, 180)."""
    margin: float
    """dB by which its peaks exceed what it takes."""
    level: float
    """dB; power of its weaker peak. The fundamental has more than its harmonics."""
    lines: bool = False


_SUMS = ((1.0, 0.0), (np.sqrt(2), 45.0), (2.0, 0.0), (np.sqrt(5), 26.565))
"""Period of a screen over that of what its two fundamentals make, and degrees between: a bin beside itself, their sum, a harmonic, a
harmonic and the other fundamental."""

NOTHING = Screen(0.0, 0.0, -99.0, -99.0)


def find_screen(planes: Sequence[np.ndarray], coded: bool = True) -> Screen:
    """The screen in some windows (uint8 HxW, ``without_rules``) of one picture; ``NOTHING`` where they are flat.

    coded: the picture may have been coded as JPEG, whose 8 px grid is no screen.
    """
    found: list[Screen] = []
    factor = 1
    while COARSEST / factor > OCTAVE / 2 and planes:
        coarsest = min(OCTAVE, COARSEST / factor)
        finest = FINEST if factor == 1 else OCTAVE / 2 * 0.95
        for screen in _candidates(planes, finest, coarsest, coded):
            screen = replace(screen, period=screen.period * factor)
            if coded and _is_checker(screen):
                screen = replace(screen, margin=screen.margin - CHECKER)
            if screen.level >= (OF_DOTS if screen.period > LETTERS else FAINTEST) and not (screen.lines and screen.period > COARSEST_LINES):
                found.append(screen)
        planes = [cv2.pyrDown(plane) for plane in planes if min(plane.shape) >= 64]
        factor *= 2
    if not found:
        return NOTHING
    best = max(found, key=lambda screen: screen.margin)
    # Harmonics of the fundamentals, and sums and differences of several inks', are peaks as clear as they are, but weaker
    # in power. What stands out far less than the clearest is chance or moire, strongest in power at coarse periods.
    least = 0.55 * best.margin if best.margin > 0 else best.margin
    alike = [screen for screen in found if screen.lines == best.lines]
    strongest = max((screen for screen in alike if screen.margin >= least), key=lambda screen: screen.level)
    # A fundamental drowned in the photograph's own coarse texture is known by its place: the strongest is its sum or harmonic.
    parents = (screen for screen in alike if not screen.lines and _makes(strongest, screen))
    return max(parents, key=lambda screen: screen.level, default=strongest)


def _is_checker(screen: Screen) -> bool:
    return not screen.lines and CHECKER_PERIODS[0] < screen.period < CHECKER_PERIODS[1] and abs(screen.angle - 45) < CHECKER_ANGLE


def _makes(peak: Screen, screen: Screen) -> bool:
    """Whether the peak is one of ``_SUMS`` of the screen's, and no stronger."""
    if screen.margin < -5 or screen.level < peak.level:
        return False
    turn = abs((screen.angle - peak.angle + 45) % 90 - 45)
    return any(abs(screen.period / peak.period / ratio - 1) < 0.02 and abs(turn - angle) < 1.5 for ratio, angle in _SUMS)


def _candidates(planes: Iterable[np.ndarray], finest: float, coarsest: float, coded: bool) -> list[Screen]:
    """What could be a screen, at most a dozen each of dots and lines."""
    mean = typical = np.float32(0)
    count = 0
    for plane in planes:
        for power in block_powers(plane):
            mean, typical, count = mean + power, typical + cv2.log(power + np.float32(1e-3)), count + 1
    if not count:
        return []
    spectrum = (10 * np.log10(mean / count + 1e-3)).astype(np.float32)
    rise = _centred(spectrum - background(spectrum))
    level = _centred(spectrum)
    around = np.ones((3, 3), np.uint8)
    # The partner a quarter turn away may lie a bin beside its place: sheets bend, and two scanner axes differ in scale.
    pair = np.minimum(rise, np.rot90(cv2.dilate(rise, around)))
    pair_level = np.minimum(level, np.rot90(cv2.dilate(level, around)))
    period = BLOCK / np.maximum(_RADIUS, 0.5)
    ring = (period >= finest) & (period <= coarsest)
    quarter = ring & (_ACROSS > 0) & (_DOWN <= 0)
    half = ring & (period >= 2.2) & ((_ACROSS > 0) | ((_ACROSS == 0) & (_DOWN < 0)))
    dots = [
        Screen(*_polar(_refined(level, row, column, pair=True), 90), margin, float(pair_level[row, column]))
        for row, column, margin in _highest(pair, pair - _DOTS_NEED[coded], quarter)
    ]
    if not (rise >= _LINES_NEED[coded])[half].any():
        return dots
    typical = (10 / np.log(10) * typical / count).astype(np.float32)
    single = np.minimum(rise, _centred(typical - background(typical)))
    lines = [
        Screen(*_polar(_refined(level, row, column, pair=False), 180), margin, float(level[row, column]), lines=True)
        for row, column, margin in _highest(single, single - _LINES_NEED[coded], half)
        if margin >= 0
    ]
    return dots + lines


def _centred(spectrum: np.ndarray) -> np.ndarray:
    """The half plane of a spectrum -> the whole, (BLOCK + 1) x (BLOCK + 1), zero frequency in the middle."""
    half = BLOCK // 2
    right = np.roll(spectrum, half, axis=0)
    right = np.concatenate([right, right[:1]])
    return np.concatenate([right[::-1, :0:-1], right], axis=1)


_DOWN, _ACROSS = np.mgrid[-(BLOCK // 2) : BLOCK // 2 + 1, -(BLOCK // 2) : BLOCK // 2 + 1]
_RADIUS = np.hypot(_DOWN, _ACROSS)
_FROM_AXIS = np.abs((np.rad2deg(np.arctan2(-_DOWN, _ACROSS)) + 45) % 90 - 45)


def _needs(off_axis: float, on_axis: float, coded: bool) -> np.ndarray:
    """dB that a peak must have, by its place in the spectrum."""
    need = np.where(_FROM_AXIS < ON_AXIS, on_axis, off_axis)
    step = BLOCK // JPEG_BLOCK
    beside, along = np.minimum(np.abs(_DOWN), np.abs(_ACROSS)), np.maximum(np.abs(_DOWN), np.abs(_ACROSS)) % step
    on_grid = coded & (beside <= 1) & (np.minimum(along, step - along) <= 1)
    return np.where(on_grid, np.maximum(need, GRID), need).astype(np.float32)


_DOTS_NEED = {coded: _needs(DOTS, DOTS_ON_AXIS, coded) for coded in (False, True)}
_LINES_NEED = {
    coded: np.where(_RADIUS > BLOCK / ROWS, _needs(LINES, FINE_LINES_ON_AXIS, coded), _needs(LINES, LINES_ON_AXIS, coded))
    for coded in (False, True)
}


def _highest(values: np.ndarray, margins: np.ndarray, inside: np.ndarray, count: int = 12) -> list[tuple[int, int, float]]:
    """(row, column, margin) of the local maxima of ``values`` with the largest margins."""
    maxima = np.argwhere(inside & (values >= cv2.dilate(values, np.ones((5, 5), np.uint8))))
    found = margins[maxima[:, 0], maxima[:, 1]]
    return [(int(maxima[i, 0]), int(maxima[i, 1]), float(found[i])) for i in np.argsort(-found)[:count]]


def _refined(level: np.ndarray, row: int, column: int, pair: bool) -> tuple[float, float]:
    """(up, across) in bins, to a fraction of one: a parabola through the logarithms along each axis, the mean of both peaks of a pair."""
    up, across = _vertex(level, row, column)
    if not pair:
        return up, across
    half = BLOCK // 2
    turned_row, turned_column = half - (column - half), row  # up = across, across = -up: a quarter turn counter-clockwise
    near = level[turned_row - 1 : turned_row + 2, turned_column - 1 : turned_column + 2]
    if near.shape != (3, 3):
        return up, across
    step = np.unravel_index(int(near.argmax()), near.shape)
    turned_up, turned_across = _vertex(level, turned_row + int(step[0]) - 1, turned_column + int(step[1]) - 1)
    return (up - turned_across) / 2, (across + turned_up) / 2


def _vertex(level: np.ndarray, row: int, column: int) -> tuple[float, float]:
    def offset(line: np.ndarray) -> float:
        if line.size < 3:
            return 0.0  # at the border of the spectrum
        return vertex_offset(*(float(value) for value in line))

    down = row + offset(level[max(0, row - 1) : row + 2, column])
    across = column + offset(level[row, max(0, column - 1) : column + 2])
    return BLOCK // 2 - down, across - BLOCK // 2


def _polar(place: tuple[float, float], turn: int) -> tuple[float, float]:
    """(up, across) in bins -> period in px, angle in degrees [0, turn); after a turn of so many, the screen is the same."""
    return BLOCK / float(np.hypot(*place)), round(float(np.rad2deg(np.arctan2(*place))), 2) % turn
