"""Train one model: ``python -m training.train fast --data DIR --minutes 90``.

DIR holds train/ and val/ folders of photographs. The run is kept in runs/<recipe>/ and goes on from where it stopped;
weights.safetensors there is the averaged model so far. With --steps a resumed run follows the same trajectory as an
uninterrupted one; with --minutes the schedule follows the clock.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset

from training.arguments import add_training
from training.config import Recipe, load_recipe
from training.data import Pairs
from training.errors import said_plainly
from training.losses import Loss
from training.models import build
from training.perceptual import VGG_WEIGHTS
from training.precision import accelerated
from training.run import Run
from training.validation import size_multiple_of, validate, validation_set

ENDLESS = 10**9
"""Steps, where the clock decides."""


def train(
    recipe: Recipe,
    data: Path,
    folder: Path,
    steps: int | None = None,
    minutes: float | None = None,
    start_from: Path | None = None,
    workers: int = 0,
    save_every: float = 180,
    vgg: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Train (or go on with) the run in ``folder``; returns the path of the averaged weights.

    ``minutes``, ``steps``, ``start_from``, ``save_every``: as of ``Run``. ``stop_after`` ends this session at that step, with the schedule
    of the whole budget.
    """
    accelerator = accelerated()
    device = accelerator.device
    torch.manual_seed(recipe.data.seed)
    network = build(recipe.architecture, **recipe.model).to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    run = Run(folder, recipe, network, accelerator, minutes=minutes, steps=steps, start_from=start_from, save_every=save_every)
    loss_of = Loss(recipe.loss.weights, recipe.loss.layer, vgg or data / VGG_WEIGHTS).to(device)
    examples = validation_set(data / "val", recipe, size_multiple_of(network, recipe))
    last = run.total or ENDLESS
    pairs = Pairs.of(data / "train", recipe.data, last, recipe.model.get("planes", 1))
    batches = DataLoader(Subset(pairs, range(run.step, last)), batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    run.begin(len(pairs.photos), partial(validate, examples=examples, device=device, recipe=recipe))
    for halftones, photos in accelerator.prepare(batches):
        if not run.goes_on() or (stop_after is not None and run.step >= stop_after):
            break
        with accelerator.autocast():
            loss = loss_of(run.network, halftones.to(device, memory_format=torch.channels_last), photos.to(device))
        run.learn(loss)
    return run.end()


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
