"""DeHalftone, the U-Net that PRL's paper compares with: here that of Hou & Qiu (2017) on grey halftones, with four levels.

Four rather than five, so that crops of 80 px will do. All weights start small: with torch's own, transposed convolutions begin ten
times too loud, and a short training ends before they are quiet.
"""

from __future__ import annotations

from torch import nn

from training.models.companding_unet import CompandingUNet


class DeHalftone(CompandingUNet):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape; H and W are multiples of 16. 6.17 M parameters."""

    def __init__(self):
        super().__init__((64, 128, 256, 512), planes=1, bit_depth=False)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(layer.weight, std=0.02)
