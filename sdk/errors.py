"""Every error the SDK raises on purpose. Each message says what was found, what is accepted, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InverseHalftonerError(Exception):
    """Base of all errors of this package; the CLI prints its text and no traceback."""


class ImageReadError(InverseHalftonerError, ValueError):
    """A file or a byte string could not be decoded as a picture."""


class UnsupportedImageError(InverseHalftonerError, ValueError):
    """A picture was decoded (or an array given), but its kind is not one the SDK works on."""


class ImageWriteError(InverseHalftonerError, OSError):
    """A result could not be written; what stood at that path before is untouched."""


class ModelError(InverseHalftonerError, ValueError):
    """A model file is missing, damaged, or not one of ours."""


class EngineMismatchError(ModelError):
    """An engine was built for another TensorRT or another GPU than there is here; the message holds both and how to rebuild."""


class EngineBuildError(InverseHalftonerError, RuntimeError):
    """TensorRT refused a model or failed to build it; the message ends with its log."""


class DeviceError(InverseHalftonerError, RuntimeError):
    """The device or runtime that was asked for is not to be had; nothing else is used in its place."""


class InferenceError(InverseHalftonerError, RuntimeError):
    """The runtime failed in the middle of a picture, most often for lack of memory."""


class OptionError(InverseHalftonerError, ValueError):
    """An option has a value out of its range, or a name that does not exist."""


class MissingDependencyError(InverseHalftonerError, ImportError):
    """An optional package is needed for what was asked."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, and all of them."""
    known = sorted(known)
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    between = "; " if any(", " in each for each in known) else ", "
    return f"{hint} Known: {between.join(known)}."
