"""How many bits a channel was cut to, told by its levels alone.

A picture of b bits has at most 2^b levels k = 0 .. 2^b - 1, stored in one of two ways: cut, k 2^(8-b) of 0..255 (Hou & Qiu
2017, eq. 2), or stretched to the full range, k 255 / (2^b - 1), as bit replication and most viewers do. Either way the value
lies in the interval [k 2^(8-b), (k + 1) 2^(8-b) - 1] that the level stands for, so ``cut`` gets k from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdk.errors import OptionError, UnsupportedImageError
from sdk.images import to_unit

MOST_BITS = 5
MOST_LEVELS = 64
"""Of a channel: RGB565 has that many greens."""
CLOSE = 2e-5
"""Two levels closer than this are the same: a little more than one of 16 bits."""
ROWS = 256
"""Levels are counted in bands of so many rows, and no further than ``MOST_LEVELS``."""

ACCEPTED_DEPTHS = (
    "Accepted: 1 to 5 bits a channel, cut (of 3 bits: 0, 32, 64 .. 224) or stretched to the full range (0, 36, 73 .. 255), the same in "
    "all channels; and RGB565. JPEG coding, resizing and colour conversion destroy such levels: give the picture from before."
)


@dataclass(frozen=True)
class Depth:
    """How far a picture was cut."""

    bits: int
    """1..5: what the network is told."""
    channels: tuple[int, ...]
    """Bits of each channel: ``bits``, but for the 6 of the green of RGB565."""

    def __str__(self) -> str:
        if len(set(self.channels)) > 1:
            return f"{', '.join(map(str, self.channels))} bits (RGB565)"
        return f"{self.bits} bit{'' if self.bits == 1 else 's'} a channel"


def check_bits(bits: Any) -> None:
    """``OptionError`` unless ``bits`` is None or 1..5."""
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MOST_BITS):
        raise OptionError(f"bits is {bits!r}; it must be a whole number, 1..{MOST_BITS}; left out, it is told from the picture's levels.")


def find_depth(pixels: np.ndarray, bits: int | None = None) -> Depth:
    """The fewest bits that HxW or HxWx3 ``pixels`` of any dtype have levels of; or ``bits``, where the levels allow it.

    A channel need not use all levels. Raises ``UnsupportedImageError`` saying what was found: continuous tone, more bits, levels of
    no number of bits or other than ``bits``, or a single level, which tells nothing unless ``bits`` is given.
    """
    channels = distinct_levels(pixels)
    if max(levels.size for levels in channels) > MOST_LEVELS:
        raise UnsupportedImageError(f"Found more than {MOST_LEVELS} levels: continuous tone, or more than 6 bits. {ACCEPTED_DEPTHS}")
    stored = np.unique(np.concatenate(channels))
    if stored.size == 1 and bits is None and pixels.dtype != np.bool_:
        raise UnsupportedImageError(f"Found one level only ({stored[0]}), which does not tell the bits; pass them (bits=3, --bits 3).")
    if stored.dtype == np.uint16 and not (stored & 255).any():  # 8 bits, moved up
        channels = [(values >> 8).astype(np.uint8) for values in channels]
    levels = to_unit(np.unique(np.concatenate(channels)))
    for candidate in range(1, MOST_BITS + 1) if bits is None else (int(bits),):
        if fits(levels, candidate):
            return Depth(candidate, (candidate,) * len(channels))
    if bits in (None, 5) and len(channels) == 3 and _is_rgb565(channels):
        return Depth(5, (5, 6, 5))
    raise UnsupportedImageError(f"{_in_words(stored, levels, bits)} {ACCEPTED_DEPTHS}")


def is_few_bit(pixels: np.ndarray) -> bool:
    """Whether ``find_depth`` finds one."""
    try:
        find_depth(pixels)
    except UnsupportedImageError:
        return False
    return True


def cut(unit: np.ndarray, bits: int | np.ndarray) -> np.ndarray:
    """The level 0 .. 2^bits - 1 of values in [0, 1], float32: their ``bits`` highest bits, for integers of any depth."""
    levels = np.exp2(bits, dtype=np.float32)
    return np.minimum(np.floor(unit * levels + np.float32(1e-3)), levels - 1)


def fits(levels: np.ndarray, bits: int) -> bool:
    """Whether ``levels`` (float32 in [0, 1]) are such of ``bits`` bits, all stored in one of the usual ways."""
    k = cut(levels, bits).astype(int)
    return any(np.abs(levels - way[k]).max() < CLOSE for way in _ways(bits))


def _ways(bits: int) -> list[np.ndarray]:
    """The levels 0 .. 2^bits - 1 in [0, 1]: cut and stretched, exact (floats; 16 bits, nearly) and as 8-bit writers have them."""
    k, top = np.arange(2**bits), 2**bits - 1
    replicated = np.bitwise_or.reduce([(k << 8 >> shift) & 255 for shift in range(bits, 8 + bits, bits)])
    of_8_bits = (k << (8 - bits), np.rint(k * 255 / top), k * 255 // top, replicated)
    return [k / 2**bits, k / top, *(way / 255 for way in of_8_bits)]


def distinct_levels(pixels: np.ndarray) -> list[np.ndarray]:
    """The values of each channel of HxW or HxWx3 pixels, ascending; once one has more than ``MOST_LEVELS``, not all of them."""
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    channels = [np.empty(0, pixels.dtype) for _ in range(planes.shape[2])]
    for top in range(0, planes.shape[0], ROWS):
        channels = [np.union1d(levels, planes[top : top + ROWS, :, c]) for c, levels in enumerate(channels)]
        if max(levels.size for levels in channels) > MOST_LEVELS:
            break
    return channels


def _is_rgb565(channels: Sequence[np.ndarray]) -> bool:
    """The usual 16 bits a pixel of framebuffers and old BMP files."""
    red, green, blue = channels
    return fits(to_unit(np.union1d(red, blue)), 5) and fits(to_unit(green), 6)


def _in_words(stored: np.ndarray, levels: np.ndarray, bits: int | None) -> str:
    found = next((candidate for candidate in (*range(1, MOST_BITS + 1), 6) if fits(levels, candidate)), None)
    few = ", ".join(f"{level:g}" for level in stored[:5]) + (" .." if stored.size > 5 else "")
    what = f"Found {stored.size} levels ({few}), " + (f"those of {found} bits a channel" if found else "those of no number of bits")
    return f"{what}, but bits={bits} was given." if bits is not None else f"{what}."
