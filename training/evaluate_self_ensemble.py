"""Measure self-ensembles: ``python -m training.evaluate_self_ensemble --data DIR -o docs``.

Each released model that takes one restores its kind of picture alone and as the mean over all views: PSNR, SSIM and LPIPS.
Writes <out>/evaluations/self_ensemble/self_ensemble.json and <out>/self_ensemble.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

import sdk
from sdk.analysis.methods import method_number
from sdk.catalog import metadata_of
from sdk.halftoning import halftone
from sdk.halftoning.palettes import quantise_bits
from sdk.networks.self_ensemble import views_of
from training.data import read_grey, read_rgb
from training.errors import said_plainly
from training.evaluate_scans import COLOURS, simulated_prints
from training.results import cell, lpips_of, mean_scores, present, software, weights_of, write_json, write_page
from training.testsets import PROTOCOL, sets_of

ALONE, TOGETHER = "alone", "self-ensemble"
PRINTS = 12
"""Simulated prints of each colour."""

Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Task:
    """What a model is measured on: ``pairs`` of picture and photograph, made from the photographs of a test set."""

    model: str
    kind: str
    set_name: str
    pairs: Callable[[Path], Pairs]


def _made(make: Callable[[np.ndarray], np.ndarray], read: Callable[[Path], np.ndarray], set_name: str, data: Path) -> Pairs:
    sets = sets_of(data, read)
    return [(make(photo), photo) for name in present([set_name], sets, data) for photo in sets[name]]


def _prints(colour: str, data: Path) -> Pairs:
    return [(scan, tone) for scan, tone, _ in simulated_prints(data / "test" / "kodak24", colour, limit=PRINTS)]


def _dithers(model: str, method: str, set_name: str, read: Callable[[Path], np.ndarray] = read_grey) -> Task:
    return Task(model, method, set_name, partial(_made, partial(halftone, name=method), read, set_name))


def _few_bits(bits: int, colour: str) -> Task:
    read = read_rgb if colour == "colour" else read_grey
    return Task("companding", f"{bits} bits, {colour}", PROTOCOL, partial(_made, partial(quantise_bits, bits=bits), read, PROTOCOL))


TASKS = (
    *(_dithers("fast", method, "kodak24") for method in ("floyd-steinberg", "jarvis-judice-ninke", "atkinson")),
    _dithers("prl", "floyd-steinberg", PROTOCOL),
    _dithers("colour", "floyd-steinberg", "kodak24", read_rgb),
    *(Task("scan", f"{colour} print", "kodak24", partial(_prints, colour)) for colour in COLOURS),
    *(_few_bits(bits, colour) for colour in COLOURS[::-1] for bits in (2, 4)),
)


def evaluate(data: Path) -> Iterator[dict]:
    """One row a task, alone and together."""
    lpips = lpips_of(data)
    for task in tqdm(TASKS):
        metadata, pairs = metadata_of(task.model), task.pairs(data)
        views = len(views_of(metadata, method_number(task.kind, metadata.methods) / 256))
        for title in (ALONE, TOGETHER):
            make = sdk.BitDepthExpander if metadata.task == "bit-depth-expansion" else sdk.InverseHalftoner
            restorer = make(task.model, device="cpu", self_ensemble=title == TOGETHER)
            scores = mean_scores(((restorer.run(picture), photo) for picture, photo in pairs), lpips)
            facts = {"model": task.model, "dither": task.kind, "set": task.set_name, "views": views, "pictures": len(pairs)}
            yield {**facts, "restorer": title, "weights": weights_of(metadata.training), **scores}


def page(result: dict) -> str:
    """self_ensemble.md from the JSON."""
    found = {(row["model"], row["dither"], row["set"], row["restorer"]): row for row in result["rows"]}
    lines = [
        "# Self-ensembles: PSNR (dB) / SSIM / LPIPS\n",
        f"By `python -m training.evaluate_self_ensemble --data DIR -o docs` ({result['software']}).\n",
        "With `self_ensemble=True` (`--self-ensemble`) a network sees each picture in all ways that are alike to it, and the mean is what\n"
        "comes back ([self_ensemble.py](../sdk/networks/self_ensemble.py)), at as many times the work as there are views. A mean is\n"
        "smoother, which LPIPS shows.\n",
        f"| model | pictures | {ALONE} | {TOGETHER} | views | gain, dB |\n|---|---|---|---|---|---|",
    ]
    for model, dither, set_name in dict.fromkeys(key[:3] for key in found):
        alone, together = (found[model, dither, set_name, title] for title in (ALONE, TOGETHER))
        pictures = f"{dither}, {alone['pictures']} of {set_name}"
        gain = f"{together['psnr'] - alone['psnr']:+.2f}"
        lines.append(f"| `{model}` | {pictures} | {cell(alone)} | {cell(together)} | {alone['views']} | {gain} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with test/kodak24 and test/coco_val50")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    result = {"software": software(), "rows": list(evaluate(options.data))}
    write_json(options.output / "evaluations" / "self_ensemble", "self_ensemble", result)
    write_page(options.output / "self_ensemble.md", page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
