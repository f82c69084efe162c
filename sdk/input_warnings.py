"""Warnings about pictures that a model was not made for: they are restored, or returned, all the same."""

from __future__ import annotations

import sys
import warnings


class InputWarning(UserWarning):
    """The picture is not of a kind that the model was made for."""


class NotTwoLevelsWarning(InputWarning):
    """The input is not near two levels, which a model for 1-bit halftones expects."""


class OtherMethodWarning(InputWarning):
    """The dots were made by a halftoning method that the model was not taught."""


class NoHalftoneWarning(InputWarning):
    """The picture is no halftone that a released model restores; it came back as it was."""


class PictureLeftWarning(InputWarning):
    """A picture of a document is of a kind that is not read; it stays as it was, while the others are restored."""


def warn(text: str, category: type[InputWarning]) -> None:
    """Warn, pointing at the line outside this package that gave the picture."""
    level, frame, package = 1, sys._getframe(), __name__.partition(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
