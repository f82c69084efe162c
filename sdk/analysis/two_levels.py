"""Pictures of two levels: how dispersed their dots are, and whether a matrix repeats in them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sdk.analysis.levels import BLOCK, block_means

MATRICES, MASKS = range(2, 17), range(17, 65)
"""Sides of the matrices of ordered dither, and of the masks of blue noise, px."""
POWERS = (2, 4, 8, 16)
TELLING = 8_000
"""Pixels that tell a matrix of 4 px from one of 8, which is the usual one."""
TEXTURED = 0.03
"""Share of pixels that differ from a neighbour, above which a block is more than an edge."""
DISPERSED = 0.08
"""Lone pixels per change of level: error diffusion and noise 0.13 or more in most blocks, grown dots and letters 0.05 or less."""
ENOUGH = 500_000
"""px; a matrix shows in so many as well as in more, if they are those with the most texture."""
FAR = 8
"""px; what a pixel has to do with one so far away, it has by the photograph's tone alone."""


@dataclass(frozen=True)
class Texture:
    """Measures over the blocks that are more than an edge."""

    dispersion: float
    """Lone pixels per change of level."""
    dispersed: float
    """Share of these blocks whose dots are dispersed."""
    area: float
    """Share of the picture that has dispersed dots."""


@dataclass(frozen=True)
class Matrix:
    """A square matrix that repeats along both axes."""

    period: int
    """px."""
    contrast: float
    """Changes between pixels one and two periods apart, over those between pixels a little nearer or farther: 0 = exact, 1 = none."""
    wave: tuple[int, int]
    """Its strongest component, cycles a period (down, across); each 0..period / 2."""

    @property
    def dispersed(self) -> bool:
        """Bayer's kind: the strongest component is (nearly) as fine as the pixel grid allows."""
        return 2 * max(self.wave) >= self.period - 1

    @property
    def on_axis(self) -> bool:
        return min(self.wave) == 0


def measure_texture(planes: Sequence[np.ndarray]) -> Texture:
    """planes: bool HxW."""
    changes, lone = (np.concatenate(blocks) for blocks in zip(*(_blocks(plane) for plane in planes)))
    textured = changes > TEXTURED
    if not textured.any():
        return Texture(0.0, 0.0, 0.0)
    spread = textured & (lone > DISPERSED * changes)
    return Texture(float(lone[textured].sum() / changes[textured].sum()), float(spread.sum() / textured.sum()), float(spread.mean()))


def _blocks(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per block: share of changes of level between neighbours, and of pixels that differ from all four."""
    across, down = plane[:, 1:] ^ plane[:, :-1], plane[1:] ^ plane[:-1]
    changes = across[1:].astype(np.uint8) + down[:, 1:]
    lone = across[1:-1, 1:] & across[1:-1, :-1] & down[1:, 1:-1] & down[:-1, 1:-1]
    return block_means(changes).ravel() / 2, block_means(np.pad(lone, ((0, 1), (0, 1)))).ravel()


def find_matrix(planes: Sequence[np.ndarray], sides: range = MATRICES) -> Matrix | None:
    """The matrix with a side in ``sides`` that repeats most exactly in the textured parts of bool HxW planes."""
    parts, room = [], ENOUGH
    for plane in planes:
        mask = _textured_pixels(plane)
        band = _densest(mask, max(BLOCK, room // plane.shape[1]))
        parts.append((plane[band], mask[band]))
        room -= mask[band].size
        if room <= 0:
            break
    lags = range(sides[0] - 1, 2 * sides[-1] + 2)
    changes = np.array([_changes(parts, lag) for lag in lags]).T
    if not np.isfinite(changes).all():
        return None

    def contrast(side: int) -> float:
        near = []
        for place in (side - lags[0], 2 * side - lags[0]):
            near.append((changes[:, place] + 1e-4) / (changes[:, [place - 1, place + 1]].mean(axis=1) + 1e-4))
        return float(np.max(near))

    contrasts = {side: contrast(side) for side in sides}
    side = min(contrasts, key=lambda side: contrasts[side])
    best = contrasts[side]
    wave = _strongest_wave(parts, side)
    if side in POWERS and 2 * max(wave) >= side - 1:  # Bayer's: each contains the smaller ones, so their contrasts are alike
        side = _smallest_fitting(parts)
        wave = _strongest_wave(parts, side)
    return Matrix(side, best, wave)


def measure_whiteness(planes: Sequence[np.ndarray]) -> float:
    """How little neighbours are alike where bool HxW planes have dispersed dots: their changes of level over those of pixels far apart.

    Dither (error diffusion, blue or white noise) 0.9 or more; the texture of a photograph that was cut to two levels 0.75 or less.
    1 where the planes are too small to tell.
    """
    parts = [(plane, _textured_pixels(plane, least=0.0)) for plane in planes]
    near, far = (np.mean(_changes(parts, lag)) for lag in (1, FAR))
    return float(near / far) if far > 0 else 1.0


def _textured_pixels(plane: np.ndarray, least: float = 0.1) -> np.ndarray:
    """1 where the block is more than an edge; if ``least`` of them are dispersed, those alone, so that letters do not count."""
    changes, lone = _blocks(plane)
    shape = max(1, (plane.shape[0] - 1) // BLOCK), max(1, (plane.shape[1] - 1) // BLOCK)
    textured = changes > TEXTURED
    spread = textured & (lone > DISPERSED * changes)
    chosen = (spread if spread.sum() >= least * textured.sum() else textured).reshape(shape)
    mask = np.repeat(np.repeat(chosen, BLOCK, axis=0), BLOCK, axis=1)[: plane.shape[0], : plane.shape[1]]
    return np.pad(mask, [(0, whole - extent) for whole, extent in zip(plane.shape, mask.shape)])


def _densest(mask: np.ndarray, rows: int) -> slice:
    """So many adjacent rows that hold most of the mask; a halftone may stand anywhere on a page of text."""
    sums = np.cumsum([0, *np.count_nonzero(mask, axis=1)])
    rows = min(rows, mask.shape[0])
    top = int((sums[rows:] - sums[:-rows]).argmax())
    return slice(top, top + rows)


def _smallest_fitting(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
    """The side of a matrix of Bayer's. A side of 2 misfits by 17 at least where it is too small, else by 10 at most; one of 4 by the more,
    the more pixels there are, and by so few as if it fitted where there are less than ``TELLING``. Of 8 and 16 the thresholds differ so
    little that only the misfit at twice the side shows what is much."""
    inner = [(plane, _inside(mask)) for plane, mask in parts]
    if _misfit(inner, 2) < 16:
        return 2
    pixels = sum(np.count_nonzero(mask) for _, mask in inner)
    if pixels >= TELLING and _misfit(inner, 4) < np.clip(4.5 * (pixels / TELLING) ** 0.5, 4.5, 16):
        return 4
    misfit = _misfit(parts, 8)
    return 8 if misfit < 1.8 or misfit < 2.2 * _misfit(parts, 16) else 16


def _inside(mask: np.ndarray) -> np.ndarray:
    """Without the blocks at its border, which a halftone shares with paper, if half of it or more are others."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((2 * BLOCK + 1, 2 * BLOCK + 1), np.uint8)) > 0
    return inner if 2 * np.count_nonzero(inner) >= np.count_nonzero(mask) else mask


def _misfit(parts: Sequence[tuple[np.ndarray, np.ndarray]], side: int) -> float:
    """How badly a matrix of this side fits: about 1 if it does, more if one of twice the side would be better.

    Pixels one side apart differ because the tone changes, either way alike; or because their thresholds do, and then the
    same way in every cell of twice the side. So it is the mean square of the differences summed by their place in that
    cell, over what chance would make it.
    """
    ratios = []
    for axis in (0, 1):
        sums, counts, differing = (np.zeros((2 * side, 2 * side)) for _ in range(3))
        for plane, mask in parts:
            plane, mask = (plane, mask) if axis else (plane.T, mask.T)
            rows, columns = plane.shape[0] // (2 * side), (plane.shape[1] - side) // (2 * side)
            if min(rows, columns) < 1:
                continue
            here = np.s_[: rows * 2 * side, : columns * 2 * side]
            step = plane[:, side:][here].astype(np.int8) - plane[:, :-side][here]
            counted = mask[here] & _even(step, mask[here]) if side >= 8 else mask[here]
            step *= counted
            for total, values in ((sums, step), (counts, counted), (differing, step != 0)):
                total += values.reshape(rows, 2 * side, columns, 2 * side).sum(axis=(0, 2))
        chance = counts * differing.sum() / max(counts.sum(), 1)
        ratios.append(float((sums**2).sum() / max(chance.sum(), 1e-9)))
    return max(ratios)


def _even(step: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where the tone is even: the half of the masked blocks with the fewest differences."""
    shares, counted = block_means(step != 0), block_means(mask) > 0.5
    if not counted.any():
        return np.ones_like(mask)
    even = counted & (shares <= np.median(shares[counted]))
    grown = np.repeat(np.repeat(even, BLOCK, axis=0), BLOCK, axis=1)[: mask.shape[0], : mask.shape[1]]
    return np.pad(grown, [(0, whole - extent) for whole, extent in zip(mask.shape, grown.shape)])


def _changes(parts: Sequence[tuple[np.ndarray, np.ndarray]], lag: int) -> tuple[float, float]:
    """Shares of textured pixels that differ from the one ``lag`` px below, and to the right."""
    differing, seen = [0, 0], [0, 0]
    for plane, mask in parts:
        for axis, (further, here) in enumerate(
            (np.s_[lag:], np.s_[:-lag]) if axis == 0 else (np.s_[:, lag:], np.s_[:, :-lag]) for axis in (0, 1)
        ):
            counted = mask[here]
            differing[axis] += np.count_nonzero((plane[further] ^ plane[here]) & counted)
            seen[axis] += np.count_nonzero(counted)
    down, across = (changed / all_ if all_ else float("nan") for changed, all_ in zip(differing, seen))
    return down, across


def _strongest_wave(parts: Sequence[tuple[np.ndarray, np.ndarray]], period: int) -> tuple[int, int]:
    """(down, across) of the strongest component of the mean cells; the parts need not begin at the same place in theirs."""
    power = np.zeros((period, period))
    for plane, mask in parts:
        rows, columns = (extent // period * period for extent in plane.shape)
        if min(rows, columns) == 0:
            continue
        masked = (plane & mask)[:rows, :columns]
        cell = masked.reshape(rows // period, period, columns // period, period).sum(axis=(0, 2))
        power += np.abs(np.fft.fft2(cell - cell.mean())) ** 2
    down, across = (int(place) for place in np.unravel_index(int(power.argmax()), power.shape))
    return min(down, period - down), min(across, period - across)
