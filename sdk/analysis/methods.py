"""Which halftoning method placed the dots of a 1-bit picture.

Every method has its own habits: what it puts next to what it has just put. So a picture is read in raster order, and for every pixel the
13 before it (three to the left, five in each of the two rows above) are noted with it. How often each of these 2^14 patterns occurs is
compared with what each method does, counted over many photographs (``training.method_tables``): the method under which the picture
is likeliest made it, if that is not much less likely than under the picture's own habits: no less than in 97 of 100 photographs that it
did make. Otherwise the picture may be a page with text beside its dots: then the blocks that some method explains are judged without the
rest. Else nobody is named: text, scans, dots that were resized, most methods not in the table. Dots that were turned since have other
habits; ``turns`` finds how they lay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sdk.images import cut_at, is_grey

TABLE = Path(__file__).with_name("methods.npz")
BEFORE = ((0, -1), (0, -2), (0, -3), *((-1, dx) for dx in range(-2, 3)), *((-2, dx) for dx in range(-2, 3)))
"""(rows, columns) from a pixel to those that are noted with it, the first of them in bit 1."""
PATTERNS = 2 ** (len(BEFORE) + 1)

DIFFUSIONS = (
    "floyd-steinberg", "simple-floyd-steinberg", "jarvis-judice-ninke", "stucki", "atkinson",
    "burkes", "sierra", "two-row-sierra", "sierra-lite",
)  # fmt: skip
LABELS: tuple[str, ...] = (
    *DIFFUSIONS,
    *(f"{kernel}, serpentine" for kernel in DIFFUSIONS),
    "bayer",
    *(f"clustered-dot {size}x{size}" for size in (4, 5, 6, 7, 8)),
    "blue-noise",
    "white-noise",
)
"""What can be named. Networks know them by number, so the order stays, and what comes new comes last."""

ENOUGH = 2_000
"""Pixels in mixed surroundings; fewer tell nothing."""
MOST_PIXELS, BAND = 2_100_000, 64
"""A larger picture is judged by some bands of so many rows."""
BLOCK = 128
"""Side of the blocks of a page, px."""
EXPLAINED = 0.1
"""Share of the mixed surroundings of a page that must lie in blocks that a method explains."""


def label_of(method: str, parameters: Mapping[str, Any]) -> str | None:
    """What ``sdk.halftoning.halftone`` with these arguments is called here; None: it has no name here."""
    if parameters.get("levels", 2) != 2:
        return None
    if parameters.get("serpentine"):
        method = f"{method}, serpentine"
    label = f"{method} {parameters.get('size', 8)}x{parameters.get('size', 8)}" if method == "clustered-dot" else method
    return label if label in LABELS else None


def method_number(label: str | None, labels: Sequence[str]) -> int:
    """What a network that knows ``labels`` is told: from 1, or 0 for None and for a method that it does not know."""
    return labels.index(label) + 1 if label in labels else 0


def every_nth(height: int, width: int) -> int:
    """In a picture of this size, the first of so many bands of ``BAND`` rows is looked at, and the others are not."""
    return max(1, -(-height * width // MOST_PIXELS))


def count_patterns(white: np.ndarray) -> np.ndarray:
    """bool HxW -> how often each pattern occurs, int64 (PATTERNS,); the pixel itself is the lowest bit."""
    counts = np.zeros(PATTERNS, np.int64)
    height, width = white.shape
    if width < 6:
        return counts
    for start in range(0, height, BAND * every_nth(height, width)):
        dots = white[max(0, start - 2) : start + BAND].astype(np.uint16)
        five = dots[:, 1 : width - 4] | dots[:, 5:] << 4  # the five around each pixel, from left to right
        for bit, dx in ((1, -1), (2, 0), (3, 1)):
            five |= dots[:, 3 + dx : width - 2 + dx] << bit
        pattern = five[1:-1] << 4 | five[:-2] << 9
        for bit in range(4):
            pattern |= dots[2:, 3 - bit : width - 2 - bit] << bit
        counts += np.bincount(pattern.ravel(), minlength=PATTERNS)
    return counts


def find_method(pixels: np.ndarray, threshold: float = 0.5, counts: np.ndarray | None = None) -> str | None:
    """The method, one of ``LABELS``, of HxW or HxWx3 of any accepted dtype, cut at ``threshold``; channels are taken to be halftoned alike.

    counts: ``count_patterns`` of it, added up over the channels, where a GPU has counted already.
    """
    if counts is not None and (found := method_of_counts(counts)):
        return found
    planes = planes_of_dots(pixels, threshold)
    return method_of_counts(count_in_all(planes) if counts is None else counts) or _method_of_parts(planes)


def planes_of_dots(pixels: np.ndarray, threshold: float) -> list[np.ndarray]:
    """bool HxW: the channels of HxW or HxWx3, cut at ``threshold``; one of grey."""
    white = cut_at(pixels, threshold)
    return [np.atleast_3d(white)[..., channel] for channel in range(1 if is_grey(white) else 3)]


def count_in_all(planes: Iterable[np.ndarray]) -> np.ndarray:
    """``count_patterns``, added up."""
    return sum((count_patterns(plane) for plane in planes), np.zeros(PATTERNS, np.int64))


def _method_of_parts(planes: Sequence[np.ndarray]) -> str | None:
    """The method of the blocks that some method explains, if these are no mere accidents: not too few, and most of them agree."""
    height, width = planes[0].shape
    every = every_nth(height, width)  # of a large page, blocks along diagonals, so that no part of it is passed over
    places = [(y, x) for y in range(0, height, BLOCK) for x in range(0, width, BLOCK) if (x + y) // BLOCK % every == 0]
    blocks = [count_in_all(plane[y : y + BLOCK, x : x + BLOCK] for plane in planes) for y, x in places]
    explained = [(counts, found) for counts in blocks if (found := method_of_counts(counts))]
    if not explained:
        return None
    together = np.sum([counts for counts, _ in explained], axis=0)
    found = method_of_counts(together)
    agree = sum(label == found for _, label in explained)
    enough = together[2:-2].sum() >= EXPLAINED * np.sum(blocks, axis=0)[2:-2].sum()
    return found if enough and agree > len(explained) / 2 else None


def method_of_counts(counts: np.ndarray) -> str | None:
    """(PATTERNS,) as of ``count_patterns``; None where no method of the table would have made such a picture."""
    counts, pixels = _mixed(counts)
    if pixels < ENOUGH:
        return None
    limits, likelihoods = _habits()[1], _likelihoods(counts) / pixels
    best = int(likelihoods.argmax())
    misfit = own_likelihood(counts) - likelihoods[best]  # how much less likely by that method's habits than by its own, bits a pixel
    return LABELS[best] if misfit <= limits[best] else None


def likelihood(counts: np.ndarray) -> float:
    """(PATTERNS,) -> the logarithm of its likelihood by the habits of the method that suits it best, bits."""
    return float(_likelihoods(_mixed(counts)[0]).max())


def _mixed(counts: np.ndarray) -> tuple[np.ndarray, int]:
    """(surroundings, black and white), and their sum; in plain black and white all methods do the same, so these do not count."""
    counts = counts.reshape(-1, 2).copy()
    counts[[0, -1]] = 0
    return counts, int(counts.sum())


def _likelihoods(counts: np.ndarray) -> np.ndarray:
    """By the habits of each method."""
    return _habits()[0] @ counts.ravel().astype(np.float32)


def own_likelihood(counts: np.ndarray) -> float:
    """(surroundings, black and white) -> the logarithm of its likelihood by its own habits, bits a pixel.

    Less what it would gain if it had none: half a nat for each share that is fitted to it (Miller 1955).
    """
    seen = counts.sum(axis=-1)
    of_both = counts[counts.min(axis=-1) > 0]  # where it always does the same, that is certain: log2(1) = 0
    gained = np.count_nonzero(seen) / (2 * np.log(2))
    return ((of_both * np.log2(of_both / of_both.sum(axis=-1, keepdims=True))).sum() - gained) / seen.sum()


@cache
def _habits() -> tuple[np.ndarray, np.ndarray]:
    """float32 (methods, PATTERNS): logarithms of the chances, bits; and (methods,): the largest misfits."""
    with np.load(TABLE) as stored:
        assert tuple(stored["labels"].tolist()) == LABELS, "LABELS have changed: python -m training.method_tables --data DIR"
        return log_chances(stored["white"]).reshape(-1, PATTERNS), stored["misfit"].astype(np.float32)


def log_chances(white: np.ndarray) -> np.ndarray:
    """uint8 shares of white, in 256ths -> float32 with one more axis, black and white."""
    share = (white.astype(np.float32) + 0.5) / 256
    return np.log2(np.stack([1 - share, share], axis=-1))
