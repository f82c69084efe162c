"""Restorers in other processes."""

from __future__ import annotations

from functools import partial
from typing import Any


class Remade:
    """Pickled, or copied, as the arguments that it was made with: runtimes and GPUs belong to one process, so another loads its own."""

    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *arguments: Any, **options: Any):
        made = super().__new__(cls)
        made._made_with = arguments, options
        return made

    def __reduce__(self):
        arguments, options = self._made_with
        return partial(type(self), *arguments, **options), ()
