"""The noise that diffusion models start from: one field for a whole picture, so that its tiles meet without a seam."""

from __future__ import annotations

import operator

import numpy as np

from sdk.errors import OptionError

DEFAULT_SEED = 0
"""Of models that start from noise: results are the same every time, unless another seed is given."""


def noise_field(seed: int, channel: int, height: int, width: int) -> np.ndarray:
    """Standard normal float32 HxW, another one for every seed and channel, always the same for the same."""
    stream = np.random.SeedSequence(seed, spawn_key=(channel,))
    return np.random.default_rng(stream).standard_normal((height, width), dtype=np.float32)


def check_seed(seed: int | None, where: str, takes_one: bool = True) -> None:
    """``OptionError`` for a seed that is no whole number from 0, or that was given to what takes none; ``where`` says to what."""
    if seed is None:
        return
    if not takes_one:
        raise OptionError(f"seed is {seed!r}, but {where} takes none: its result is always the same. Leave the seed out.")
    try:
        whole = not isinstance(seed, bool) and operator.index(seed) >= 0
    except TypeError:
        whole = False
    if not whole:
        raise OptionError(f"seed is {seed!r}; it must be a whole number, 0 or more, or left out, which means {DEFAULT_SEED}.")
