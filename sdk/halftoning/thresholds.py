"""Threshold arrays: a pixel is white where its value exceeds the threshold at its place.

All functions return float32 thresholds in (0, 1). Those of matrices are spread evenly, so the mean tone of a flat area is kept. Screens are
spread evenly over all phases, of which the pixel grid meets few where a period is a whole number of px, or 45 degrees of one: then tones
are off, the more the fewer, and most where a dot begins at a pixel.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from sdk.errors import OptionError

DOTS = ("round", "ellipse", "diamond", "line")


def tile_over(thresholds: np.ndarray, height: int, width: int) -> np.ndarray:
    """Repeat a threshold tile over a height x width picture."""
    down, across = -(-height // thresholds.shape[0]), -(-width // thresholds.shape[1])
    return np.tile(thresholds, (down, across))[:height, :width]


def _ranks_to_thresholds(ranks: np.ndarray) -> np.ndarray:
    thresholds = ((ranks + 0.5) / ranks.size).astype(np.float32)
    thresholds.setflags(write=False)  # they are cached and shared
    return thresholds


@cache
def bayer(size: int) -> np.ndarray:
    """The recursive size x size matrix of Bayer (1973); size is 2, 4, 8 or 16."""
    if size not in (2, 4, 8, 16):
        raise OptionError(f"Bayer size is {size}; it must be 2, 4, 8 or 16.")
    ranks = np.zeros((1, 1), dtype=int)
    while ranks.shape[0] < size:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return _ranks_to_thresholds(ranks)


@cache
def clustered_dot(size: int) -> np.ndarray:
    """A size x size cell whose white dot grows from the centre and whose black dot shrinks to the corners (Ulichney 1987)."""
    if not 2 <= size <= 32:
        raise OptionError(f"Clustered-dot size is {size} px; it must be 2..32.")
    phase = 2 * np.pi * (np.arange(size) + 0.5) / size
    spot = np.cos(phase)[:, None] + np.cos(phase)[None, :]
    # Equal spot values are told apart by their angle around the centre, so that dots grow as a spiral, not row by row.
    centred = np.arange(size) - (size - 1) / 2
    angle = np.arctan2(centred[:, None], centred[None, :])
    order = np.lexsort((angle.ravel(), spot.round(9).ravel()))
    ranks = np.empty(size * size, dtype=int)
    ranks[order] = np.arange(size * size)
    return _ranks_to_thresholds(ranks.reshape(size, size))


def am_screen(height: int, width: int, period: float, angle: float, dot: str = "round", phase: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A screen of any period (px) and angle (degrees, counter-clockwise from the x axis), height x width.

    ``round`` dots are Euclidean: round in the lights, a chessboard at half tone, round holes in the shadows.
    ``ellipse`` dots touch along one axis first, so that the jump in tone where dots meet is split in two.
    ``phase`` shifts the screen, in periods.
    """
    if dot not in DOTS:
        raise OptionError(f"Dot shape {dot!r} is unknown; it must be one of {', '.join(DOTS)}.")
    if not 1 <= period <= 1000:
        raise OptionError(f"Screen period is {period:g} px; it must be 1..1000 (period = dpi / lpi).")
    radians = np.deg2rad(angle)
    cos, sin = np.float32(np.cos(radians) / period), np.float32(np.sin(radians) / period)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x * cos - y * sin + np.float32(phase[0]), x * sin + y * cos + np.float32(phase[1])
    levels = _equalising_levels(dot)
    quantiles = np.linspace(0.5 / levels.size, 1 - 0.5 / levels.size, levels.size, dtype=np.float32)
    return np.interp(_spot(u, v, dot), levels, quantiles).astype(np.float32)


def _spot(u: np.ndarray, v: np.ndarray, dot: str) -> np.ndarray:
    """Height of the dot at u, v (in periods); white appears where it is low first."""
    if dot == "round":
        return np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)
    if dot == "ellipse":
        return np.cos(2 * np.pi * u) + 0.7 * np.cos(2 * np.pi * v)
    if dot == "diamond":
        return -np.abs(u - np.round(u)) - np.abs(v - np.round(v))
    return np.abs(v - np.round(v))


@cache
def _equalising_levels(dot: str) -> np.ndarray:
    """The quantiles of the spot function over one cell: maps it to a uniform distribution."""
    axis = (np.arange(256) + 0.5) / 256
    spots = np.sort(_spot(axis[None, :] + 0 * axis[:, None], axis[:, None] + 0 * axis[None, :], dot).ravel())
    return spots[128::256]


@cache
def blue_noise(size: int, seed: int, sigma: float = 1.5) -> np.ndarray:
    """A size x size dispersed mask made by void-and-cluster (Ulichney, SPIE 1913, 1993), wrapping at its borders.

    The three phases of the paper: shape a minority pattern until moving its tightest point to the largest void
    changes nothing; rank its points by removing the tightest ones; rank the rest by filling the largest voids.
    """
    if not 8 <= size <= 256:
        raise OptionError(f"Blue-noise mask size is {size} px; it must be 8..256.")
    if seed < 0:
        raise OptionError(f"seed is {seed}; it must be 0 or more.")
    distance = np.minimum(np.arange(size), size - np.arange(size)) ** 2
    bump = np.exp(-(distance[:, None] + distance[None, :]) / (2 * sigma**2))
    bumps = np.tile(bump, (2, 2))

    def influence(point: int) -> np.ndarray:
        y, x = divmod(point, size)
        return bumps[size - y : 2 * size - y, size - x : 2 * size - x]

    points = np.random.default_rng(seed).permutation(size * size)[: size * size // 10]
    ones = np.zeros((size, size), dtype=bool)
    ones.flat[points] = True
    energy = np.zeros((size, size))
    for point in points:
        energy += influence(point)

    def tightest() -> int:
        return int(np.where(ones, energy, -np.inf).argmax())

    def largest_void() -> int:
        return int(np.where(ones, np.inf, energy).argmin())

    def set_point(point: int, value: bool) -> None:
        ones.flat[point] = value
        energy[:] += influence(point) if value else -influence(point)

    for _ in range(20 * points.size):
        cluster = tightest()
        set_point(cluster, False)
        void = largest_void()
        set_point(void, True)
        if void == cluster:
            break

    ranks = np.zeros((size, size), dtype=int)
    prototype, prototype_energy = ones.copy(), energy.copy()
    for rank in reversed(range(points.size)):
        cluster = tightest()
        set_point(cluster, False)
        ranks.flat[cluster] = rank
    ones[:], energy[:] = prototype, prototype_energy
    for rank in range(points.size, size * size):
        void = largest_void()
        set_point(void, True)
        ranks.flat[void] = rank
    return _ranks_to_thresholds(ranks)


def white_noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Independent uniform thresholds: the noisiest halftone there is, a lower bound for the others."""
    if seed < 0:
        raise OptionError(f"seed is {seed}; it must be 0 or more.")
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)
