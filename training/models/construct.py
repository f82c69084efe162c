"""Networks from what a recipe says of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sdk.errors import OptionError, nearest


def construct(name: str, known: Mapping[str, type[nn.Module]], *leading: Any, **arguments: Any) -> nn.Module:
    """``known[name](*leading, **arguments)``; lists from TOML are taken for tuples. ``OptionError`` where a name is unknown."""
    if name not in known:
        raise OptionError(f"Architecture {name!r} is unknown.{nearest(name, known)}")
    accepted = parameters_of(known[name])[len(leading) :]
    for argument in arguments:
        if argument not in accepted:
            raise OptionError(f"Architecture {name!r} has no argument {argument!r}.{nearest(argument, accepted)}")
    return known[name](*leading, **{key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()})


def parameters_of(network: type[nn.Module]) -> list[str]:
    """Names of the arguments of ``__init__``, and where it passes others on, those of the class below."""
    names: list[str] = []
    for cls in network.__mro__[: network.__mro__.index(nn.Module)]:
        if "__init__" in vars(cls):
            parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
            names += [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
            if all(each.kind is not each.VAR_KEYWORD for each in parameters):
                break
    return names


def check_levels(channels: Sequence[int], blocks: Sequence[int]) -> None:
    """``OptionError`` unless both speak of the same levels."""
    if not channels or len(channels) != len(blocks):
        raise OptionError(f"channels has {len(channels)} levels and blocks {len(blocks)}; each level needs one number in both.")
