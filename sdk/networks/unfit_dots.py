"""Dots that a network was not made for: what it is given is looked at, and warned about."""

from __future__ import annotations

import numpy as np

from sdk.analysis.methods import find_method
from sdk.images import white_of
from sdk.input_warnings import NotTwoLevelsWarning, OtherMethodWarning, warn

TWO_LEVEL_SHARE = 0.9
"""A picture with fewer pixels than this near black or white (within 10 %) is no clean 1-bit halftone."""


def is_near_two_levels(pixels: np.ndarray) -> bool:
    """Whether nearly all values are within 10 % of black or white."""
    if pixels.dtype == np.bool_:
        return True
    white = white_of(pixels.dtype)
    return float(np.mean((pixels < 0.1 * white) | (pixels > 0.9 * white))) >= TWO_LEVEL_SHARE


def warn_if_not_two_levels(pixels: np.ndarray) -> None:
    """One constant text, so that Python's warning filters show it once a program unless told otherwise."""
    if not is_near_two_levels(pixels):
        warn(
            "The pixels are not near black and white: this is no clean 1-bit halftone, and is restored as it is. "
            "If it is a scan of print, use the model 'scan' (--model scan), or 'auto', which looks first. If JPEG coding or smoothing "
            "blurred its dots, pass threshold=0.5 (--threshold 0.5); if it was resized, go back to the original size.",
            NotTwoLevelsWarning,
        )


def warn_if_other_method(pixels: np.ndarray, threshold: float, model: str, taught: tuple[str, ...]) -> None:
    """Where the dots have the habits of a method that is none of ``taught``; silent where nobody can be named."""
    found = find_method(pixels, threshold)
    if found is not None and found not in taught:
        names = [label for label in taught if label.removesuffix(", serpentine") == label or label.split(",")[0] not in taught]
        warn(
            f"The dots look like those of {found}, and {model!r} was taught {', '.join(names)} only: ripples or grain may stay. "
            "Use the model 'fast' (--model fast), which knows many methods.",
            OtherMethodWarning,
        )
