"""Train one model: ``python -m training.train fast --data DIR --minutes 90``.

DIR holds train/ and val/ folders of photographs. The run is kept in runs/<recipe>/ and goes on from where it stopped;
weights.safetensors there is the averaged model so far. With --steps a resumed run follows the same trajectory as an
uninterrupted one; with --minutes the schedule follows the clock.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from sdk.analysis.methods import label_of
from sdk.errors import OptionError, nearest
from sdk.halftoning import halftone
from sdk.images import from_unit, to_unit
from sdk.metrics import psnr
from training.arguments import add_training
from training.checkpoints import CHECKPOINT, WEIGHTS, began_with, begin_from, load_checkpoint, save_checkpoint, save_weights
from training.config import OptimiserConfig, Recipe, RecipeError, load_recipe
from training.data import DataError, Pairs, as_pictures, as_tensor, evenly, photo_paths, read_photos
from training.degradations import with_method
from training.errors import TrainingError, said_plainly
from training.losses import Loss
from training.metrics import tone_psnr
from training.models import build
from training.optim import Muon, split_parameters
from training.perceptual import VGG_WEIGHTS
from training.precision import accelerated, autocast


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    steps: int | None = None,
    minutes: float | None = None,
    start_from: Path | None = None,
    workers: int = 0,
    save_every: float = 180,
    vgg: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train (or go on with) the run in folder ``run``; returns the path of the averaged weights.

    The budget is ``minutes`` of training time over all sessions of the run, or ``steps``. ``stop_after`` ends this
    session at that step, with the schedule of the whole budget. ``start_from``: weights or .onnx to warm-start from.
    """
    accelerator = accelerated()
    device = accelerator.device
    torch.manual_seed(recipe.data.seed)
    model = build(recipe.architecture, **recipe.model).to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    checkpoint = run / CHECKPOINT
    before = begin_from(model, start_from, run) if start_from else {}
    ema = copy.deepcopy(model).requires_grad_(False).eval()
    optimisers = make_optimisers(model, recipe.optimiser)
    loss_of = Loss(recipe.loss.weights, recipe.loss.layer, vgg or data / VGG_WEIGHTS).to(device)

    done, spent = 0, 0.0  # steps, seconds
    if checkpoint.is_file():
        progress = load_checkpoint(checkpoint, recipe, model, ema, optimisers)
        done, spent = progress["steps"], progress["seconds"]
        before = began_with(progress)
    total = steps or (10**9 if minutes else recipe.steps)
    examples = validation_set(data / "val", recipe, size_multiple_of(model, recipe))
    pairs = Pairs.of(data / "train", recipe.data, total, recipe.model.get("planes", 1))
    loader = DataLoader(Subset(pairs, range(done, total)), batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    model, *optimisers, loader = accelerator.prepare(model, *optimisers, loader)
    board = SummaryWriter(str(run / "tensorboard"), purge_step=done)
    bar = tqdm(total=None if minutes else total, initial=done, desc=recipe.name, unit="step", dynamic_ncols=True)

    def keep() -> None:
        progress = progress_of(done, spent + time.monotonic() - started, len(pairs.photos))
        save(run, accelerator.unwrap_model(model), ema, optimisers, recipe, progress | before)

    started = last_save = time.monotonic()
    for halftones, photos in loader:
        seconds = spent + time.monotonic() - started
        elapsed = seconds / (60 * minutes) if minutes else done / total
        if elapsed >= 1 or (stop_after is not None and done >= stop_after):
            break
        set_learning_rate(optimisers, recipe.optimiser.warmup_steps, done, elapsed)
        torch.manual_seed((recipe.data.seed << 32) + done)  # what a loss draws depends on the step alone, as the data does
        with accelerator.autocast():
            loss = loss_of(model, halftones.to(device, memory_format=torch.channels_last), photos.to(device))
        accelerator.backward(loss)
        norm = clip_gradients(model, recipe.optimiser.clip_norm, done)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        done += 1
        update_average(ema, accelerator.unwrap_model(model), min(recipe.optimiser.ema_decay, done / (done + 10)))

        bar.update()
        if done % 50 == 0:
            board.add_scalar("train/loss", loss.item(), done)
            board.add_scalar("train/gradient_norm", norm.item(), done)
            board.add_scalar("train/learning_rate", optimisers[0].param_groups[0]["lr"], done)
        if done % recipe.validation.every == 0:
            scores = validate(ema, examples, device, recipe)
            for name, score in scores.items():
                board.add_scalar(f"val_psnr/{name}", score, done)
            bar.set_postfix({name: f"{score:.2f} dB" for name, score in scores.items()})
        if time.monotonic() - last_save > save_every:
            last_save = time.monotonic()
            keep()

    bar.close()
    board.close()
    keep()
    return run / WEIGHTS


def make_optimisers(model: nn.Module, config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all, or for what Muon leaves; each group remembers its peak rate."""
    if config.name not in ("adamw", "muon"):
        raise OptionError(f"Optimiser {config.name!r} is unknown.{nearest(config.name, ('adamw', 'muon'))}")
    if config.name == "adamw":
        optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=0)]
    else:
        hidden, rest = split_parameters(model)
        optimisers = [Muon(hidden, config.muon_learning_rate), torch.optim.AdamW(rest, config.learning_rate, weight_decay=0)]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers


def size_multiple_of(model: nn.Module, recipe: Recipe) -> int:
    """Of what height and width of the model's pictures must be multiples; a ``RecipeError`` for crops that are none."""
    multiple, crop = int(getattr(model, "size_multiple", 1)), recipe.data.crop
    if crop % multiple:
        raise RecipeError(f"{recipe.name}: crop is {crop} px; this {recipe.architecture!r} takes multiples of {multiple} px.")
    return multiple


def clip_gradients(model: nn.Module, norm: float, step: int) -> Tensor:
    """Their norm before; a ``TrainingError``, before anything is updated or saved, where they are no numbers any more."""
    found = torch.nn.utils.clip_grad_norm_(model.parameters(), norm)
    if not torch.isfinite(found):
        raise TrainingError(
            f"The gradients of step {step + 1} are not finite. The last checkpoint is as it was: begin another run from its "
            f"weights (--run, --start-from .../{WEIGHTS}) with lower learning rates."
        )
    return found


def set_learning_rate(optimisers, warmup_steps: int, step: int, elapsed: float) -> None:
    """Linear warm-up over the first steps, then half a cosine to zero; ``elapsed`` is the share of the budget used, 0..1."""
    factor = min(1.0, (step + 1) / max(1, warmup_steps)) * 0.5 * (1 + math.cos(math.pi * elapsed))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


@torch.no_grad()
def update_average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights and of the statistics of batch norms; ``decay`` is smaller in the first steps,
    so that the start is forgotten."""
    now = model.state_dict()
    for name, average in ema.state_dict().items():
        if average.is_floating_point():
            average.lerp_(now[name], 1 - decay)
        else:
            average.copy_(now[name])


Examples = dict[str, list[tuple[Tensor, np.ndarray]]]


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
        if getattr(model, "needs_noise", False):
            noise = torch.randn(halftones.shape, generator=torch.Generator().manual_seed(0))
            halftones = torch.cat([halftones, noise], dim=1)
        with autocast(device):
            restored = model(halftones.to(device, memory_format=torch.channels_last))
        return as_pictures(restored)[0]

    return {method: float(np.mean([score(restore(x), photo) for x, photo in pairs])) for method, pairs in examples.items()}


def progress_of(steps: int, seconds: float, photographs: int) -> dict[str, float]:
    """What is stored with weights: how long they learnt, and from how many photographs."""
    return {"steps": steps, "seconds": round(seconds, 1), "photographs": photographs}


def save(run: Path, model: nn.Module, ema: nn.Module, optimisers, recipe: Recipe, progress: dict[str, Any]) -> None:
    plain = [getattr(optimiser, "optimizer", optimiser) for optimiser in optimisers]  # without accelerate's wrapper
    save_checkpoint(run / CHECKPOINT, model, ema, plain, recipe, progress)
    save_weights(run / WEIGHTS, ema.state_dict(), recipe, progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a name in training/recipes, or a .toml file")
    add_training(parser, "fresh weights")
    parser.add_argument("--run", type=Path, help="folder of the run (default: runs/<recipe>)")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches (default: 0, in this one)")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    run = options.run or Path("runs") / recipe.name
    weights = train(recipe, options.data, run, options.steps, options.minutes, options.start_from, options.workers, vgg=options.vgg)
    print(f"averaged weights: {weights}")


if __name__ == "__main__":
    with said_plainly():
        main()
