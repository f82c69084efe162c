"""Meta-halftones: ``python -m training.meta_halftones --data DIR``, between the two stages of the halftone diffusion.

The unguided model of runs/cdh-halftone halftones constant greys (Jiang & Mu, section 3.2, eq. 11), and what VGG sees in these patterns is
written into its weights: the guided model starts from them.
  python -m training.train cdh-halftone-guided --data DIR --start-from runs/cdh-halftone/with-meta-halftones.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training.checkpoints import WEIGHTS, load_model, save_weights
from training.diffusion import ddim
from training.errors import TrainingError, said_plainly
from training.models.cdh import HalftoneCDH
from training.perceptual import CAFFE_UNIT, VGG_WEIGHTS, VggFeatures

LAYER = "conv2_2"
SIDE, BORDER = 64, 16


@torch.no_grad()
def meta_halftones(model: HalftoneCDH, steps: int = 50, seed: int = 0) -> Tensor:
    """(k, 1, SIDE, SIDE) of 0 and 1: halftones of k greys, evenly spaced inside 0..1, without a border, where networks lack context."""
    count = model.guide.count
    side = SIDE + 2 * BORDER
    greys = ((torch.arange(count) + 0.5) / count)[:, None, None, None].expand(-1, 1, side, side)
    noise = torch.randn(greys.shape, generator=torch.Generator().manual_seed(seed))
    conditions = model.condition_planes(greys)
    made = model.picture(ddim(lambda x, t: model.velocity(x, conditions, t), noise, model.plan, steps), greys)
    return (made[..., BORDER:-BORDER, BORDER:-BORDER] > 0.5).float()


@torch.no_grad()
def features_of(patterns: Tensor, vgg: Path) -> Tensor:
    """(k, 256): mean and standard deviation over each pattern of VGG's conv2_2 features, in torchvision's units."""
    features = VggFeatures(vgg, LAYER)(patterns) / CAFFE_UNIT
    return torch.cat([features.mean(dim=(2, 3)), features.std(dim=(2, 3))], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/cdh-halftone"), help="folder of the unguided model")
    parser.add_argument("--data", type=Path, required=True, help="folder with the VGG weights")
    parser.add_argument("--vgg", type=Path, help=f"VGG16 weights (default: DIR/{VGG_WEIGHTS})")
    options = parser.parse_args()
    model, recipe, progress = load_model(options.run / WEIGHTS)
    if not isinstance(model, HalftoneCDH):
        raise TrainingError(f"{options.run} holds {recipe.name!r} ({recipe.architecture}); meta-halftones are made by a cdh-halftone.")
    patterns = meta_halftones(model)
    model.guide.features.copy_(features_of(patterns, options.vgg or options.data / VGG_WEIGHTS))  # type: ignore[operator]
    save_weights(options.run / "with-meta-halftones.safetensors", model.state_dict(), recipe, progress)
    sheet = (torch.cat(list(patterns[:, 0]), dim=1).numpy() * 255).astype(np.uint8)
    cv2.imwrite(str(options.run / "meta-halftones.png"), sheet)
    print(f"{options.run / 'with-meta-halftones.safetensors'}, {options.run / 'meta-halftones.png'}")


if __name__ == "__main__":
    with said_plainly():
        main()
