"""DeHalftone, the U-Net that PRL's paper compares with: here that of Hou & Qiu (2017) on grey halftones, with four levels.

Four rather than five, so that crops of 80 px will do.
"""

from __future__ import annotations

from training.models.companding_unet import CompandingUNet


class DeHalftone(CompandingUNet):
    """Halftone (N, 1, H, W) in [0, 1] -> continuous tone of the same shape; H and W are multiples of 16. 6.17 M parameters."""

    def __init__(self):
        super().__init__((64, 128, 256, 512), planes=1, bit_depth=False)
