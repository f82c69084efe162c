"""Rivals at equal budget: ``python -m training.compare --data DIR --steps 300 -o docs``.

Trains every contender of compare.toml for as many steps on the same Floyd-Steinberg crops with the same optimiser, and measures
its averaged weights on the test sets that are there. Runs are kept in runs/compare/<name>: what was done is not done again.
Writes evaluations/compare/compare.json and compare.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sdk.catalog import tomllib
from sdk.errors import OptionError, nearest
from sdk.files.whole_files import write_whole
from training.arguments import count
from training.checkpoints import WEIGHTS, load_model, load_weights
from training.config import DataConfig, LossConfig, OptimiserConfig, Recipe, ValidationConfig, from_table
from training.cost import kflop_per_pixel
from training.errors import TrainingError, said_plainly
from training.evaluate import DITHERS, measure
from training.metrics import Lpips
from training.models import build
from training.perceptual import VGG_WEIGHTS
from training.precision import accelerated
from training.results import lpips_of, write
from training.testsets import PROTOCOL, sets_of
from training.train import train
from training.whole_pictures import machine, restorer

CONTENDERS = Path(__file__).with_suffix(".toml")
SETS = ("kodak24", PROTOCOL, "set5", "set14", "cbsd68")
SCORES = "scores.json"


@dataclass(frozen=True)
class Contender:
    """A row of the table: a network, and the loss it learns with."""

    name: str
    source: str
    architecture: str
    loss: LossConfig
    model: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Who is compared, and what all share."""

    data: DataConfig
    optimiser: OptimiserConfig
    validation: ValidationConfig
    contenders: tuple[Contender, ...]

    def recipe(self, contender: Contender, steps: int) -> Recipe:
        return Recipe(
            name=contender.name,
            architecture=contender.architecture,
            data=self.data,
            steps=steps,
            model=contender.model,
            loss=contender.loss,
            optimiser=self.optimiser,
            validation=self.validation,
        )


def load_comparison(only: list[str] | None = None) -> Comparison:
    """compare.toml, with all contenders or those that ``only`` names."""
    table = tomllib.loads(CONTENDERS.read_text(encoding="utf-8"))
    names = [contender["name"] for contender in table["contenders"]]
    for name in only or ():
        if name not in names:
            raise OptionError(f"There is no contender {name!r}.{nearest(name, names)}")
    table["contenders"] = [contender for contender in table["contenders"] if only is None or contender["name"] in only]
    return from_table(Comparison, table, str(CONTENDERS))


def compare(comparison: Comparison, steps: int, data: Path, runs: Path, lpips: Lpips, vgg: Path | None = None) -> Iterator[dict]:
    """One row a contender, trained and measured as far as that is not done yet."""
    sets = {name: photos for name, photos in sets_of(data).items() if name in SETS}
    accelerator = accelerated()
    for contender in comparison.contenders:
        recipe, run = comparison.recipe(contender, steps), runs / contender.name
        model, _, progress = load_model(trained(recipe, data, run, vgg))
        restore = restorer(model, accelerator)
        tasks = {name: partial(measure, restore, DITHERS[0], sets[name], lpips) for name in SETS if name in sets}
        yield {
            **asdict(contender),
            **facts(recipe),
            "seconds_per_step": round(progress["seconds"] / steps, 3),
            **measured(tasks, run / SCORES, accelerator.device),
        }


def trained(recipe: Recipe, data: Path, run: Path, vgg: Path | None) -> Path:
    """The averaged weights of the whole run; what is left of it is trained."""
    weights = run / WEIGHTS
    if weights.is_file():
        _, stored, progress = load_weights(weights)
        if stored != recipe:
            raise TrainingError(f"{run} was trained for another number of steps or otherwise. Move it away, or give --runs another folder.")
        if progress["steps"] == recipe.steps:
            return weights
    return train(recipe, data, run, vgg=vgg)


def measured(tasks: dict[str, Callable[[], dict]], path: Path, device: torch.device) -> dict[str, Any]:
    """Machine and scores of the finished run: what each task gives. They are kept in ``path``, each as soon as it is done."""
    result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"machine": machine(device), "scores": {}}
    for name, task in tasks.items():
        if name not in result["scores"]:
            result["scores"][name] = task()
            write_whole(path, json.dumps(result, indent=1).encode())
    return result


def facts(recipe: Recipe) -> dict[str, float]:
    """Parameters, and thousand operations a pixel (a multiply-add counts as two); nothing is computed for it."""
    with torch.device("meta"):
        model = build(recipe.architecture, **recipe.model)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "kflop_per_pixel": round(kflop_per_pixel(model), 1),
    }


def page(result: dict) -> str:
    """compare.md from the JSON."""
    data, optimiser, rows = result["data"], result["optimiser"], result["rows"]
    sets = [name for name in SETS if all(name in row["scores"] for row in rows)]
    rate = f"{optimiser['name']} at {optimiser['learning_rate']:g}"
    crops = f"{data['batch']} of {data['crop']}x{data['crop']} px a step, seed {data['seed']}"
    machines = "; ".join(dict.fromkeys(row["machine"] for row in rows))
    command = f"python -m training.compare --data DIR --steps {result['steps']}{result.get('only', '')} -o docs"
    lines = [
        "# Rivals at equal budget: PSNR (dB) / SSIM\n",
        f"By `{command}`. Floyd-Steinberg halftones, grey, whole pictures.\n"
        f"Each network learnt for {result['steps']:,} steps from the same crops ({crops})\n"
        f"with the same optimiser ({rate}) and with the loss of its paper, or the nearest\n"
        "(compare.toml says which); measured are its averaged weights.\n"
        "The papers train far longer: this shows what a method makes of a small budget, not what it may reach.\n"
        f"Trained and measured on {machines}.\n",
        f"| method | parameters, M | kFLOP a pixel | s a step | {' | '.join(sets)} |\n|---|{'---|' * (len(sets) + 3)}",
    ]
    for row in rows:
        cells = " | ".join(f"{row['scores'][name]['psnr']:.2f} / {row['scores'][name]['ssim']:.3f}" for name in sets)
        title, cost = f"{row['name']} ({row['source']})", f"{row['parameters'] / 1e6:.2f} | {row['kflop_per_pixel']:,.0f}"
        lines.append(f"| {title} | {cost} | {row['seconds_per_step']:.2f} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, val/ and test/<set>/")
    parser.add_argument("--steps", type=count, required=True, help="optimiser steps of each contender")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders of compare.toml (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"), help="folder of the runs (default: runs/compare)")
    parser.add_argument("--vgg", type=Path, help=f"VGG weights for perceptual losses (default: DIR/{VGG_WEIGHTS})")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    only = f" --only {' '.join(options.only)}" if options.only else ""
    comparison = load_comparison(options.only)
    rows = list(compare(comparison, options.steps, options.data, options.runs, lpips_of(options.data), options.vgg))
    shared = {"steps": options.steps, "data": asdict(comparison.data), "optimiser": asdict(comparison.optimiser)}
    result = {"model": "compare", "only": only, **shared, "rows": rows}
    write(options.output, "compare", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
