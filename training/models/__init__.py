"""Networks, one paper a file, and the table that recipes name them by."""

from __future__ import annotations

from typing import Any

from torch import nn

from sdk.errors import OptionError, nearest
from training.models.companding_unet import CompandingUNet
from training.models.fast import FastNet
from training.models.prl import PRL

ARCHITECTURES: dict[str, type[nn.Module]] = {"companding": CompandingUNet, "fast": FastNet, "prl": PRL}


def build(architecture: str, **arguments: Any) -> nn.Module:
    """A network with fresh weights; lists from TOML are taken for tuples."""
    if architecture not in ARCHITECTURES:
        raise OptionError(f"Architecture {architecture!r} is unknown.{nearest(architecture, ARCHITECTURES)}")
    return ARCHITECTURES[architecture](**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
