"""Which layer of VGG a loss should look at: ``python -m training.layers --data DIR --steps 400 -o docs``.

After Tables II and III of Hou & Qiu (2017): one U-Net of the paper's kind for pictures of few bits, another for Floyd-Steinberg
halftones; each learns once from the squared error of pixels and once from that of the features of each layer, as layers.toml
says. Layers that the VGG weights at hand lack are left out (those of the data folder end at conv4_3). Runs are kept in
runs/layers/<task>-<loss>: what was done is not done again. Writes evaluations/layers/layers.json and layers.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from sdk.catalog import tomllib
from sdk.images import from_unit
from training.arguments import count
from training.checkpoints import load_model
from training.compare import SCORES, measured, trained
from training.config import LossConfig, OptimiserConfig, Recipe, ValidationConfig, from_table
from training.data import as_pictures, as_tensor, read_rgb
from training.degradations import BitDepth, Degradation, HalftoneFamily
from training.errors import TrainingError, said_plainly
from training.evaluate_companding import BITS
from training.metrics import Lpips
from training.perceptual import VGG_WEIGHTS, layer_names
from training.precision import accelerated
from training.results import cell, lpips_of, mean_scores, write
from training.testsets import PROTOCOL, sets_of

STUDY = Path(__file__).with_suffix(".toml")
KINDS: dict[str, dict[str, Degradation]] = {
    "bits": {f"{bits} bits": BitDepth(weight=1.0, bits=(bits,), grey=0.0) for bits in BITS},
    "halftones": {
        colour: HalftoneFamily(("floyd-steinberg",), weight=1.0, grey=share) for colour, share in (("colour", 0.0), ("grey", 1.0))
    },
}
"""Task -> what its networks are measured on; grey pictures are three equal planes."""


@dataclass(frozen=True)
class NamedLoss:
    name: str
    loss: LossConfig


@dataclass(frozen=True)
class Study:
    """``tasks``: what a network learns to restore; the rest of their recipes is the study's."""

    optimiser: OptimiserConfig
    validation: ValidationConfig
    tasks: tuple[Recipe, ...]
    losses: tuple[NamedLoss, ...]

    def recipe(self, task: Recipe, loss: NamedLoss, steps: int) -> Recipe:
        shared = {"optimiser": self.optimiser, "validation": self.validation}
        return replace(task, name=f"{task.name}-{loss.name}", steps=steps, loss=loss.loss, **shared)


def load_study() -> Study:
    return from_table(Study, tomllib.loads(STUDY.read_text(encoding="utf-8")), str(STUDY))


def study(plan: Study, steps: int, data: Path, runs: Path, lpips: Lpips, vgg: Path) -> Iterator[dict]:
    """One row a task and loss, trained and measured as far as that is not done yet."""
    photos = sets_of(data, read_rgb).get(PROTOCOL)
    if photos is None:
        raise TrainingError(f"{data}/test has no coco_val50, on which the layers are compared.")
    layers, accelerator = layer_names(vgg), accelerated()
    for task in plan.tasks:
        for loss in plan.losses:
            recipe = plan.recipe(task, loss, steps)
            if "perceptual" in recipe.loss.weights and recipe.loss.layer not in layers:
                print(f"{recipe.name} is left out: {vgg} ends at {layers[-1]}.")
                continue
            run = runs / recipe.name
            model, _, progress = load_model(trained(recipe, data, run, vgg))
            restore = restorer(model, accelerator)
            kinds = {name: partial(measure, restore, kind, photos, lpips) for name, kind in KINDS[task.name].items()}
            seconds = round(progress["seconds"] / steps, 3)
            scores = measured(kinds, run / SCORES, accelerator.device)
            yield {"task": task.name, "loss": loss.name, "seconds_per_step": seconds, **scores}


def restorer(model: nn.Module, accelerator: Accelerator) -> Callable[[np.ndarray], np.ndarray]:
    """float32 HxWxC as the network takes it -> uint8 HxWx3; H and W fit the network."""
    model = model.to(accelerator.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def restore(planes: np.ndarray) -> np.ndarray:
        with accelerator.autocast():
            restored = model(as_tensor(planes[None]).to(accelerator.device, memory_format=torch.channels_last))
        return as_pictures(restored)[0]

    return restore


def measure(restore: Callable[[np.ndarray], np.ndarray], kind: Degradation, photos: list[np.ndarray], lpips: Lpips) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and LPIPS over the pictures."""
    pairs = (kind(photo, np.random.default_rng(0)) for photo in photos)
    return mean_scores(((restore(degraded), from_unit(target, np.uint8)) for degraded, target in pairs), lpips)


def page(result: dict) -> str:
    """layers.md from the JSON."""
    optimiser, rows = result["optimiser"], result["rows"]
    lines = [
        "# Which layer a perceptual loss looks at: PSNR (dB) / SSIM / LPIPS\n",
        f"By `python -m training.layers --data DIR --steps {result['steps']} -o docs`, after Tables II and III of Hou & Qiu (2017). On\n"
        f"{PROTOCOL}. Each network learnt for {result['steps']:,} steps from the same crops with the same optimiser\n"
        f"({optimiser['name']} at {optimiser['learning_rate']:g}), from the squared error of pixels or of the features of one layer\n"
        f"of {result['vgg']}; measured are its averaged weights.\n"
        "The paper trains far longer, on VGG19 up to conv5_1: this shows what a layer does, not what it may reach. From conv2_1 on the\n"
        "features lie behind VGG's pooling, which hardly sees a grid of 2 px (from conv3_1 on, of 4 px): networks that learn from one of\n"
        "these layers alone may draw it.\n"
        f"Trained and measured on {'; '.join(dict.fromkeys(row['machine'] for row in rows))}.",
    ]
    for task, title in (("bits", "Pictures of few bits, colour"), ("halftones", "Floyd-Steinberg halftones")):
        lines += ["", f"## {title}\n", *table([row for row in rows if row["task"] == task])]
    return "\n".join(lines) + "\n"


def table(rows: list[dict]) -> list[str]:
    """Markdown: a line a loss, a column a kind."""
    kinds = list(rows[0]["scores"])
    lines = [f"| loss on | s a step | {' | '.join(kinds)} |", f"|---|{'---|' * (len(kinds) + 1)}"]
    for row in rows:
        cells = (cell(score) for score in row["scores"].values())
        lines.append(f"| {row['loss']} | {row['seconds_per_step']:.2f} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, val/ and test/coco_val50")
    parser.add_argument("--steps", type=count, required=True, help="optimiser steps of each network")
    parser.add_argument("--runs", type=Path, default=Path("runs/layers"), help="folder of the runs (default: runs/layers)")
    parser.add_argument("--vgg", type=Path, help=f"VGG weights; VGG19's reach conv5_1 (default: DIR/{VGG_WEIGHTS})")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    plan, vgg = load_study(), options.vgg or options.data / VGG_WEIGHTS
    rows = list(study(plan, options.steps, options.data, options.runs, lpips_of(options.data), vgg))
    result = {"model": "layers", "steps": options.steps, "optimiser": asdict(plan.optimiser), "vgg": vgg.stem, "rows": rows}
    write(options.output, "layers", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
