"""What a run is measured by while it learns: PSNR on pictures of val."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sdk.analysis.methods import label_of
from sdk.halftoning import halftone
from sdk.images import from_unit, to_unit
from sdk.metrics import psnr
from training.config import Recipe, RecipeError
from training.data import DataError, as_pictures, as_tensor, evenly, photo_paths, read_photos
from training.degradations import with_method
from training.metrics import tone_psnr
from training.models.inputs import Inputs
from training.precision import autocast

Examples = dict[str, list[tuple[Tensor, np.ndarray]]]


def size_multiple_of(model: nn.Module, recipe: Recipe) -> int:
    """Of what height and width of the model's pictures must be multiples; a ``RecipeError`` for crops that are none."""
    multiple, crop = Inputs.of(model).multiple, recipe.data.crop
    if crop % multiple:
        raise RecipeError(f"{recipe.name}: crop is {crop} px; this {recipe.architecture!r} takes multiples of {multiple} px.")
    return multiple


def validation_set(folder: Path, recipe: Recipe, multiple: int, size: int = 256) -> Examples:
    """Method -> (input tensor, true picture as uint8) pairs: the central size x size of evenly chosen val pictures, or what they have of it
    in multiples of ``multiple``."""
    chosen = evenly(photo_paths(folder), recipe.validation.pictures)
    photos = []
    for path, photo in zip(chosen, read_photos(chosen, recipe.model.get("planes", 1))):
        height, width = (min(size, extent) // multiple * multiple for extent in photo.shape[:2])
        if not min(height, width):
            raise DataError(f"{path} is smaller than {multiple} px, which the network needs; remove it from val.")
        top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
        photos.append(np.ascontiguousarray(photo[top : top + height, left : left + width]))

    def dots(photo: np.ndarray, method: str) -> Tensor:
        planes = to_unit(halftone(photo, method))
        return as_tensor((with_method(planes, label_of(method, {})) if recipe.model.get("methods") else planes)[None])

    examples = {method: [(dots(photo, method), photo) for photo in photos] for method in recipe.validation.methods}
    if recipe.data.halftoning:
        examples = {"tone": [(as_tensor(to_unit(photo)[None]), photo) for photo in photos]}
    for name, families in (("prints", recipe.data.prints), ("bits", recipe.data.bit_depths)):
        if families:
            pairs = [families[0](photo, np.random.default_rng(i)) for i, photo in enumerate(photos)]
            examples[name] = [(as_tensor(degraded[None]), from_unit(tone, np.uint8)) for degraded, tone in pairs]
    return examples


@torch.no_grad()
def validate(model: nn.Module, examples: Examples, device: torch.device, recipe: Recipe) -> dict[str, float]:
    """Mean PSNR per method, dB; of made halftones that of their tones. Networks that need noise are given the same at each call."""
    score = tone_psnr if recipe.data.halftoning else psnr

    def restore(halftones: Tensor) -> np.ndarray:
        if Inputs.of(model).needs_noise:
            noise = torch.randn(halftones.shape, generator=torch.Generator().manual_seed(0))
            halftones = torch.cat([halftones, noise], dim=1)
        with autocast(device):
            restored = model(halftones.to(device, memory_format=torch.channels_last))
        return as_pictures(restored)[0]

    return {method: float(np.mean([score(restore(x), photo) for x, photo in pairs])) for method, pairs in examples.items()}
