"""Networks, one paper a file, and the table that recipes name them by."""

from __future__ import annotations

from typing import Any

from torch import nn

from training.models.cdh import HalftoneCDH, InverseCDH
from training.models.companding_unet import CompandingUNet
from training.models.construct import construct
from training.models.dehalftone import DeHalftone
from training.models.dncnn import DnCNN
from training.models.fast import FastNet
from training.models.msprl import MSPRL
from training.models.prl import PRL
from training.models.srresnet import SRResNet
from training.models.vdsr import VDSR

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "cdh": InverseCDH,
    "cdh-halftone": HalftoneCDH,
    "companding": CompandingUNet,
    "dehalftone": DeHalftone,
    "dncnn": DnCNN,
    "fast": FastNet,
    "msprl": MSPRL,
    "prl": PRL,
    "srresnet": SRResNet,
    "vdsr": VDSR,
}


def build(architecture: str, **arguments: Any) -> nn.Module:
    """A network with fresh weights; lists from TOML are taken for tuples. Unknown names are an ``OptionError``."""
    return construct(architecture, ARCHITECTURES, **arguments)
