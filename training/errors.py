"""What can go wrong in a command of training or export, and how it is said: the message, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sdk.errors import InverseHalftonerError


class TrainingError(Exception):
    """Base of the errors that say what to do about them."""


@contextmanager
def said_plainly() -> Iterator[None]:
    """End the program with the message of such an error on stderr and exit status 1."""
    try:
        yield
    except (TrainingError, InverseHalftonerError) as error:
        raise SystemExit(f"error: {error}") from error
