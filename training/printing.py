"""Print a photograph: paper, inks, screens, dot gain, lettering. What ``training.scanning`` then scans.

All values are coded (sRGB) reflectances in [0, 1], and all mixing is done on them, so that the tone without dots is the
local mean of the tone with dots: paper white, ink black and every tint stay what a viewer of the scan sees.

Inks lie over each other like filters, so reflectances multiply (Demichel 1924, Neugebauer 1937). Dot gain follows the
parabola a + 4 g a (1 - a) of process control (g = gain at half tone; Yule and Nielsen 1951 explain its optical part).
Screen angles of the four inks are 30 degrees apart, yellow between them (ISO 12647).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numba import njit

from sdk.halftoning.thresholds import am_screen, blue_noise
from training.lettering import Lettering, draw_lettering

Range = tuple[float, float]

CELL = 64
"""Samples along the side of one screen cell."""
PROCESS_INKS = ((15, (0.10, 0.62, 0.86)), (75, (0.84, 0.16, 0.50)), (0, (0.97, 0.90, 0.20)), (45, (0.14, 0.13, 0.13)))
"""Screen angle (degrees) and colour on white paper of cyan, magenta, yellow, black."""


@dataclass(frozen=True)
class PrintConfig:
    """Ranges that every print is drawn from; lengths are px of the scan. The values stand in the recipe."""

    period: Range
    """Of the screen: dpi of the scan / lpi."""
    fineness: float
    """1 draws periods log-uniformly; more makes fine screens likelier, as they are in what libraries publish."""
    inks: dict[str, float]
    """Chance of ``black``, ``tint`` (one coloured ink), ``duotone`` and ``process`` (CMYK)."""
    dots: dict[str, float]
    """Chance of each dot: those of ``sdk.halftoning.thresholds.DOTS``, ``blue-noise`` (FM), ``grain`` (mezzotint, collotype)."""
    fm_dot: Range
    """Side of an FM dot or grain."""
    dot_gain: Range
    """Gain of area at half tone."""
    coverage: Range
    """Widest range of ink from lights to shadows; photo-engravers leave a dot in white and a hole in black."""
    softness: Range
    """Width of a dot's edge, as a share of the tone scale; drawn log-uniformly."""
    roughness: Range
    """Raggedness of a dot's edge, as a share of the tone scale."""
    mottle: Range
    """Standard deviation of the ink's density."""
    ink_black: Range
    """Reflectance of solid black."""
    paper: Range
    """Reflectance of the paper, its brightest channel."""
    paper_yellow: Range
    """How much of its blue newsprint loses."""
    unevenness: Range
    """Slow changes of the paper's tone, which are kept."""
    show_through: Range
    """How much the back of the sheet darkens it, which is kept."""
    black_generation: Range
    """Share of the grey component printed in black (under-colour removal)."""
    misregistration: float
    """Largest shift of one ink against the others."""
    warp: Range
    """Bend of the sheet: displacement within a crop."""
    lettering: float
    """Chance of text, rules and line art in or beside the picture."""

    def draw_period(self, rng: np.random.Generator) -> float:
        """px."""
        low, high = self.period
        return float(low * (high / low) ** (rng.random() ** self.fineness))


@dataclass(frozen=True)
class Print:
    """``dots``: float32 (s h) x (s w) x 3, s = ``oversampling``; ``tone``: h x w x 3, the same sheet without dots."""

    dots: np.ndarray
    tone: np.ndarray
    oversampling: int
    period: float
    angle: float
    """Of the last ink's screen, which is the black one's if there is one; degrees in [0, 90)."""


def choose(chances: dict[str, float], rng: np.random.Generator) -> str:
    """A key, as likely as its value."""
    weights = np.array(list(chances.values()))
    return list(chances)[rng.choice(len(weights), p=weights / weights.sum())]


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


COVERAGES = np.linspace(0, 1, 33)


def covered_area(softness: float, raggedness: float) -> np.ndarray:
    """The area that dots with soft, ragged edges cover in the mean, for each of ``COVERAGES``: more in the lights, less in the shadows."""
    thresholds = (np.arange(32) + 0.5) / 32
    normal = np.array([-1.73, -1.11, -0.74, -0.45, -0.15, 0.15, 0.45, 0.74, 1.11, 1.73])  # about the quantiles, of unit variance
    distance = COVERAGES[:, None, None] - thresholds[:, None] + raggedness * normal
    return np.clip(distance / softness + 0.5, 0, 1).mean(axis=(1, 2))


def oversampling_for(period: float) -> int:
    """Fine samples along a pixel of the scan: enough to draw a dot."""
    return 4 if period < 3 else 3 if period < 4.5 else 2


def print_photo(
    photo: np.ndarray, config: PrintConfig, period: float, rng: np.random.Generator, lettering: Lettering | None = None
) -> Print:
    """Print float32 h x w x 3 in [0, 1] with screens of about ``period`` px; ``lettering`` in place of some at random."""
    height, width = photo.shape[:2]
    oversampling = oversampling_for(period)
    dot = choose(config.dots, rng)
    coverages, colours, angles = _separate(photo, config, rng)
    if lettering is None and rng.random() < config.lettering:
        lettering = draw_lettering(height, width, oversampling, rng)
    angle = rng.uniform(0, 90)
    shape = (height * oversampling, width * oversampling)
    x, y = _sheet(shape, oversampling, rng.uniform(*config.warp), rng)
    raggedness = rng.uniform(*config.roughness)
    rough = raggedness * smooth_noise(shape, 0.35 * oversampling, rng)
    softness = log_uniform(*config.softness, rng)
    density = 1 - np.abs(rng.uniform(*config.mottle) * smooth_noise(shape, 0.5 * oversampling, rng))

    tone = _paper(height, width, config, rng)
    dots = np.stack([enlarge(plane, oversampling) for plane in tone])
    darkest = min(range(len(colours)), key=lambda i: colours[i].sum())
    for i, (coverage, colour) in enumerate(zip(coverages, colours)):
        dx, dy = rng.uniform(-1, 1, 2) * config.misregistration * (i > 0)
        coverage = _shifted(coverage, dx, dy)
        thresholds = _screen(dot, x, y, period * rng.uniform(0.98, 1.02), angle + angles[i], oversampling, config, rng)
        ink = np.clip((enlarge(coverage, oversampling) - thresholds + np.roll(rough, 17 * i, (0, 1))) / softness + 0.5, 0, 1)
        covered = np.interp(coverage, COVERAGES, covered_area(softness, raggedness)).astype(np.float32)
        if lettering is not None:
            ink, covered = ink * lettering.picture, covered * shrink(lettering.picture, oversampling)
            if i == darkest:
                ink = np.maximum(ink, np.clip(2 * (lettering.ink - 0.5 + rough) + 0.5, 0, 1) * (lettering.ink > 0))
                covered = np.maximum(covered, shrink(lettering.ink, oversampling))
        ink *= density
        covered *= density.mean()
        for c, reflectance in enumerate(colour):
            dots[c] *= 1 - ink * (1 - reflectance)
            tone[c] *= 1 - covered * (1 - reflectance)
    return Print(cv2.merge(list(dots)), cv2.merge(list(tone)), oversampling, period, (angle + angles[-1]) % 90)


def _separate(photo: np.ndarray, config: PrintConfig, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    """Ink coverages (h x w, dot gain included), ink colours on white (3,) and screen angles of a photograph."""
    kind = choose(config.inks, rng)
    black = rng.uniform(*config.ink_black) * np.ones(3) + rng.uniform(0, 0.06, 3)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    if kind == "process":
        c, m, y = (1 - photo[..., i] for i in range(3))
        k = rng.uniform(*config.black_generation) * np.minimum(np.minimum(c, m), y) ** 1.5
        coverages = [(plane - k) / (1 - k + 1e-6) for plane in (c, m, y)] + [k]
        colours = [np.clip(np.array(ink) + rng.normal(0, 0.04, 3), 0, 1) for _, ink in PROCESS_INKS[:3]] + [black]
        angles = [angle for angle, _ in PROCESS_INKS]
    elif kind == "duotone":
        coverages, colours, angles = [(1 - grey) * rng.uniform(0.3, 0.9), (1 - grey) ** rng.uniform(1, 2)], [_tint(rng), black], [30, 0]
    else:
        coverages, colours, angles = [1 - grey], [black if kind == "black" else _tint(rng)], [0]
    least, most = config.coverage[0] * rng.random(), 1 - (1 - config.coverage[1]) * rng.random()
    gain = rng.uniform(*config.dot_gain)
    gained = []
    for coverage in coverages:
        area = least * (kind != "process") + (most - least) * np.clip(coverage, 0, 1)
        gained.append((area + 4 * gain * area * (1 - area)).astype(np.float32))
    return gained, [colour.astype(np.float32) for colour in colours], angles


def _tint(rng: np.random.Generator) -> np.ndarray:
    """A dark coloured ink: sepia, red, blue, green ..."""
    return np.clip(rng.uniform(0.05, 0.75, 3) * np.array([1, 0.8, 0.8]), 0, 1)


def _sheet(shape: tuple[int, int], oversampling: int, warp: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where each fine sample lies on the sheet, px: x and y, slightly bent."""
    bend = [cv2.resize(rng.uniform(-warp, warp, (4, 4)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC) for _ in range(2)]
    across = (np.arange(shape[1], dtype=np.float32) + np.float32(0.5)) / np.float32(oversampling)
    down = (np.arange(shape[0], dtype=np.float32) + np.float32(0.5)) / np.float32(oversampling)
    return across + bend[0], down[:, None] + bend[1]


def _screen(
    dot: str, x: np.ndarray, y: np.ndarray, period: float, angle: float, oversampling: int, config: PrintConfig, rng: np.random.Generator
) -> np.ndarray:
    """Thresholds at sheet positions x, y (px); uniform in (0, 1), ink where the coverage exceeds them."""
    if dot == "grain":
        noise = smooth_noise(x.shape, rng.uniform(*config.fm_dot) / 2 * oversampling, rng)
        return 0.5 + 0.5 * np.tanh(0.8 * noise)  # close to the normal distribution function
    if dot == "blue-noise":
        cell, period, angle = blue_noise(CELL, int(rng.integers(8))), CELL * rng.uniform(*config.fm_dot), 0.0
    else:
        cell = _cell(dot)
    radians, phase = np.deg2rad(angle), rng.random(2)
    return _look_up(cell, x, y, np.cos(radians) / period, np.sin(radians) / period, phase[0], phase[1])


@njit(cache=True, fastmath=True)
def _look_up(cell: np.ndarray, x: np.ndarray, y: np.ndarray, cos: float, sin: float, u0: float, v0: float) -> np.ndarray:
    """The periodic cell at x, y (px) turned and scaled into periods; phases in periods."""
    size = cell.shape[0]
    found = np.empty(x.shape, np.float32)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            u, v = x[i, j] * cos - y[i, j] * sin + u0, x[i, j] * sin + y[i, j] * cos + v0
            found[i, j] = cell[int((v - np.floor(v)) * size) % size, int((u - np.floor(u)) * size) % size]
    return found


@cache
def _cell(dot: str) -> np.ndarray:
    return am_screen(CELL, CELL, CELL, 0, dot)


def _paper(height: int, width: int, config: PrintConfig, rng: np.random.Generator) -> np.ndarray:
    """float32 3 x h x w: tone of the empty sheet, slowly varying, with what shines through from its back."""
    yellow = rng.uniform(*config.paper_yellow) * (rng.random() < 0.6)
    colour = rng.uniform(*config.paper) * np.array([1, 1 - 0.3 * yellow, 1 - yellow])
    slow = cv2.resize(rng.normal(0, 1, (3, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    back = smooth_noise((height, width), 3, rng)
    dark = rng.uniform(*config.unevenness) * np.abs(slow) + rng.uniform(*config.show_through) * np.clip(back, 0, 2) / 2
    return ((1 - dark) * colour[:, None, None]).astype(np.float32)


def _shifted(plane: np.ndarray, dx: float, dy: float) -> np.ndarray:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return cv2.warpAffine(plane, matrix, plane.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


NOISE_SIDE = 512


def smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of unit variance blurred by ``sigma`` samples (to the nearest quarter); repeats after 512 samples."""
    sheet = _noise_sheet(round(4 * sigma))
    planes = []
    for _ in range(shape[2] if len(shape) == 3 else 1):
        top, left = rng.integers(NOISE_SIDE, size=2)
        rows, columns = (np.arange(start, start + extent) % NOISE_SIDE for start, extent in ((top, shape[0]), (left, shape[1])))
        planes.append(sheet[rows][:, columns])
    return cv2.merge(planes) if len(shape) == 3 else planes[0]


@cache
def _noise_sheet(quarters: int) -> np.ndarray:
    noise = np.random.default_rng(quarters).standard_normal((NOISE_SIDE, NOISE_SIDE), dtype=np.float32)
    if quarters:
        pad = 4 * quarters
        wrapped = np.pad(noise, pad, mode="wrap")
        noise = cv2.GaussianBlur(wrapped, (0, 0), quarters / 4)[pad:-pad, pad:-pad]
    return noise / noise.std()


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean of factor x factor blocks."""
    return cv2.resize(image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_AREA)
