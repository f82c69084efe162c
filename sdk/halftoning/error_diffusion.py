"""Error diffusion: nine kernels, one loop.

The arithmetic is that of Pillow's ``convert("1")``, so grey Floyd-Steinberg equals it pixel for pixel: 8-bit values,
integer errors, the incoming error divided by the kernel's divisor and rounded towards zero, the corrected value
clipped to 0..255, white where it exceeds 128 (of more levels: the nearest one), and whatever would leave the picture dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from sdk.errors import MissingDependencyError


@dataclass(frozen=True)
class Kernel:
    """Weights of one method: ``rows[j]`` lists the weights of row y+j; in row 0 they start right of the pixel,
    in the rows below they are centred under it. The sum may be less than ``divisor`` (Atkinson drops a quarter)."""

    divisor: int
    rows: tuple[tuple[int, ...], ...]
    source: str

    def taps(self) -> np.ndarray:
        """(number of taps, 3) int64 array of dy, dx, weight, in the reading direction, without zeros."""
        taps = [(0, dx, weight) for dx, weight in enumerate(self.rows[0], start=1)]
        for dy, row in enumerate(self.rows[1:], start=1):
            taps += [(dy, dx - len(row) // 2, weight) for dx, weight in enumerate(row)]
        return np.array([tap for tap in taps if tap[2]], dtype=np.int64)


KERNELS = {
    "floyd-steinberg": Kernel(16, ((7,), (3, 5, 1)), "Floyd & Steinberg 1976"),
    "simple-floyd-steinberg": Kernel(8, ((3,), (0, 3, 2)), "'false' Floyd-Steinberg, 1980s practice"),
    "jarvis-judice-ninke": Kernel(48, ((7, 5), (3, 5, 7, 5, 3), (1, 3, 5, 3, 1)), "Jarvis, Judice & Ninke 1976"),
    "stucki": Kernel(42, ((8, 4), (2, 4, 8, 4, 2), (1, 2, 4, 2, 1)), "Stucki 1981"),
    "atkinson": Kernel(8, ((1, 1), (1, 1, 1), (0, 1, 0)), "Atkinson, Apple MacPaint 1984"),
    "burkes": Kernel(32, ((8, 4), (2, 4, 8, 4, 2)), "Burkes 1988"),
    "sierra": Kernel(32, ((5, 3), (2, 4, 5, 4, 2), (0, 2, 3, 2, 0)), "Sierra 1989"),
    "two-row-sierra": Kernel(16, ((4, 3), (1, 2, 3, 2, 1)), "Sierra 1990"),
    "sierra-lite": Kernel(4, ((2,), (1, 1, 0)), "Sierra 1990, also 'Filter Lite'"),
}


def diffuse(grey: np.ndarray, kernel: Kernel, serpentine: bool, levels: np.ndarray) -> np.ndarray:
    """Halftone uint8 HxW ``grey`` to ``levels`` (uint8, ascending); returns uint8 HxW. ``serpentine`` reads every second row backwards."""
    midway = (levels[1:].astype(int) + levels[:-1]) / 2
    nearest = levels[np.searchsorted(midway, np.arange(256) - 0.5)]  # white begins at 129, as Pillow has it, not at 128
    return _compiled_loop()(np.ascontiguousarray(grey), kernel.taps(), kernel.divisor, serpentine, nearest)


@cache
def _compiled_loop():
    try:
        import numba
    except ImportError as error:
        raise MissingDependencyError(
            "Error diffusion needs numba, which is not installed. Install it with: pip install 'inverse-halftoner[halftone]'. "
            "The ordered, screen and noise methods work without it."
        ) from error
    try:
        return numba.njit(cache=True, nogil=True)(_loop)
    except RuntimeError:  # neither beside this file nor in a home can anything be kept: it is compiled anew by each process
        return numba.njit(nogil=True)(_loop)


def _loop(grey, taps, divisor, serpentine, nearest):  # pragma: no cover - runs as machine code
    height, width = grey.shape
    dots = np.empty((height, width), dtype=np.uint8)
    margin, rows = np.abs(taps[:, 1]).max(), taps[:, 0].max() + 1  # how far errors go sideways, and down
    stride = width + 2 * margin
    errors = np.zeros(rows * stride, dtype=np.int32)  # so many rows, in turns
    weights, places = taps[:, 2].astype(np.int32), np.empty(taps.shape[0], dtype=np.int64)
    for y in range(height):
        backwards = serpentine and y % 2 == 1
        step = -1 if backwards else 1
        x = width - 1 if backwards else 0
        own = y % rows * stride + margin
        for k in range(taps.shape[0]):
            places[k] = (y + taps[k, 0]) % rows * stride + margin + step * taps[k, 1]
        for _ in range(width):
            error = errors[own + x]
            value = grey[y, x] + (error // divisor if error >= 0 else -(-error // divisor))
            value = min(max(value, 0), 255)
            dots[y, x] = nearest[value]
            error = value - nearest[value]
            for k in range(taps.shape[0]):
                errors[places[k] + x] += error * weights[k]
            x += step
        errors[own - margin : own - margin + stride] = 0
    return dots
