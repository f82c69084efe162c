"""Dots of two levels that do not show as such, and can be told apart all the same."""

from __future__ import annotations

import numpy as np

from sdk.analysis.plain_dots import exact_levels
from sdk.analysis.smeared_dots import find_smeared_levels
from sdk.analysis.smoothed_dots import find_smoothed_dots
from sdk.analysis.subsampled_dots import find_subsampled_dots


def find_hidden_dots(pixels: np.ndarray) -> np.ndarray | None:
    """The dots that HxW or HxWx3 was blurred or smoothly enlarged from, or coded with colour at half size; one pixel each, of two levels
    in each channel, in the same dtype. None where there are none, or a threshold does (``smeared_dots``)."""
    if exact_levels(pixels):
        return None
    dots = find_subsampled_dots(pixels)
    if dots is None and not find_smeared_levels(pixels):
        dots = find_smoothed_dots(pixels)
    return dots
