"""Measure few-step restoration by the protocol of Jiang & Mu (NeurIPS 2022), Tables 1 and 2:
``python -m training.evaluate_cdh --models cdh-4step cdh-2step cdh-1step prl fast --teacher WEIGHTS --data DIR -o docs``.

Models learnt five error diffusions; the four others are new to them. Released models run as users run them, the teacher as torch runs
it, with 50 DDIM steps and, to see what distillation is worth, with 4. What the JSON holds is not measured again, so methods and
models may be added later: name those that it holds, too. Writes evaluations/cdh/cdh.json and cdh.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from tqdm import tqdm

import sdk
from training.checkpoints import load_model
from training.data import DataError
from training.errors import TrainingError, said_plainly
from training.evaluate import DITHERS, Restore, dithers_named, measure
from training.metrics import Lpips
from training.models.cdh import CDH
from training.precision import accelerated
from training.results import cell, lpips_of, software, weights_of, write, write_json
from training.testsets import PROTOCOL, sets_of
from training.whole_pictures import machine, restorer

LEARNT = ("floyd-steinberg", "jarvis-judice-ninke", "stucki", "burkes", "sierra")
UNSEEN = ("simple-floyd-steinberg", "atkinson", "two-row-sierra", "sierra-lite")
TEACHER = "teacher"
EVERY_METHOD = [*UNSEEN, *LEARNT]
PAPER = {"CDH, the paper's": (24.24, 0.727), "PRL, the paper's": (22.82, 0.698)}
"""Jiang & Mu, Table 1: means over their four unseen methods."""


def teacher_restores(path: Path, steps: int, accelerator: Accelerator) -> Restore:
    """bool HxW -> uint8 HxW by the diffusion model before its distillation."""
    model, recipe, _ = load_model(path)
    if not isinstance(model, CDH):
        raise TrainingError(f"{path} is a {recipe.architecture}, no diffusion model.")
    model.steps = steps
    return restorer(model, accelerator)


def measure_all(
    restorers: dict[str, tuple[Restore, str]],
    chosen: list[str],
    data: Path,
    path: Path,
    lpips: Lpips,
    ran_on: str,
    slow: tuple[str, ...] = (),
    teacher_on: str = "",
) -> list[dict]:
    """The rows of ``path`` and those that were missing there, which have ``ran_on`` for their software; written after each.

    ``teacher_on``: what a teacher ran on beside.

    ``slow`` restorers skip the learnt methods on COCO. Rows of a restorer that was another model then are measured anew.
    """
    sets, dithers = sets_of(data), dithers_named(chosen)
    if missing := {PROTOCOL, "kodak24"} - set(sets):
        raise DataError(f"{data}/test lacks {' and '.join(sorted(missing))} (coco_val50@256 is made of the pictures in coco_val50).")
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": []}
    rows = before["rows"]
    if others := {row["restorer"] for row in rows} - restorers.keys():
        raise TrainingError(f"{path} also holds rows of {', '.join(sorted(others))}. Name these, too, or choose another folder by -o.")
    rows = [row for row in rows if row["model"] == restorers[row["restorer"]][1]]
    done = {(row["restorer"], row["dither"], row["set"]) for row in rows}
    todo = [
        (title, dither, place)
        for title in restorers
        for dither, place in [(DITHERS[0], "kodak24"), *((dither, PROTOCOL) for dither in dithers)]
        if (title, dither.title, place) not in done and not (title in slow and place == PROTOCOL and dither.title not in UNSEEN)
    ]
    for title, dither, place in tqdm(todo, desc="rows"):
        restore, model = restorers[title]
        scores = measure(restore, dither, sets[place], lpips)
        found_on = ran_on + teacher_on * title.startswith(TEACHER)
        rows.append({"restorer": title, "model": model, "dither": dither.title, "set": place, **scores, "software": found_on})
        write_json(path.parent, path.stem, before | {"rows": rows})
    return sorted(rows, key=lambda row: list(restorers).index(row["restorer"]))


def mean_of(rows: list[dict], restorer: str, dithers: tuple[str, ...]) -> dict[str, float] | None:
    """Means over methods on the protocol's set, or None where one is not measured."""
    found = {row["dither"]: row for row in rows if row["restorer"] == restorer and row["set"] == PROTOCOL}
    if not set(dithers) <= set(found):
        return None
    return {metric: float(np.mean([found[dither][metric] for dither in dithers])) for metric in ("psnr", "ssim", "lpips")}


def page(result: dict) -> str:
    rows = result["rows"]
    every = dict.fromkeys(row["software"] for row in rows)
    ran_on = "; ".join(each for each in every if not any(other != each and other.startswith(each) for other in every))
    titles = list(dict.fromkeys(row["restorer"] for row in rows))

    def kodak(title: str) -> dict | None:
        return next((row for row in rows if row["restorer"] == title and row["set"] == "kodak24"), None)

    lines = [
        "# CDH, restoration in few steps: PSNR (dB) / SSIM / LPIPS\n",
        f"By `{result['command']}`\n({ran_on}).\n"
        f"Learnt: {', '.join(LEARNT)}. Unseen: {', '.join(UNSEEN)}. Which five the paper learnt we do not know, and its pictures are\n"
        "others: its rows tell the order of size. `prl` learnt Floyd-Steinberg alone, `fast` all nine methods.\n",
        "| | four unseen methods, COCO at 256 (Table 1) | all nine (Table 2) | Floyd-Steinberg, kodak24 |\n|---|---|---|---|",
        *(f"| {title} | {psnr:.2f} / {ssim:.3f} | | |" for title, (psnr, ssim) in PAPER.items()),
    ]
    for title in titles:
        unseen, all_nine = mean_of(rows, title, UNSEEN), mean_of(rows, title, LEARNT + UNSEEN)
        lines.append(f"| {title} | {cell(unseen)} | {cell(all_nine)} | {cell(kodak(title))} |")
    lines.append(f"\n| COCO at 256 | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    for dither in LEARNT + UNSEEN:
        found = {row["restorer"]: row for row in rows if row["dither"] == dither and row["set"] == PROTOCOL}
        mark = "" if dither in LEARNT else " (unseen)"
        lines.append(f"| {dither}{mark} | {' | '.join(cell(found.get(title)) for title in titles)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, help="released names or .onnx files")
    parser.add_argument("--teacher", type=Path, help="weights of the diffusion model they were distilled from")
    parser.add_argument("--data", type=Path, required=True, help="folder with test/<set>/")
    parser.add_argument("--methods", nargs="+", default=EVERY_METHOD, help="error diffusions to measure on COCO (default: all nine)")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    restorers: dict[str, tuple[Restore, str]] = {}
    for model in options.models:
        released = sdk.InverseHalftoner(model, device="cpu")
        if released.metadata.name in restorers:
            raise TrainingError(f"{model} calls itself {released.metadata.name!r}, as another of --models does; give one of them.")
        restorers[released.metadata.name] = (released.run, weights_of(released.metadata.training))
    command, teacher_on = f"python -m training.evaluate_cdh --models {' '.join(options.models)}", ""
    if options.teacher:
        trained, accelerator = load_model(options.teacher)[2], accelerated()
        for steps in (50, 4):
            title = f"{TEACHER}, {steps} DDIM steps"
            restorers[title] = (teacher_restores(options.teacher, steps, accelerator), weights_of(trained))
        command += f" --teacher {options.teacher}"
        teacher_on = f"; teacher on {machine(accelerator.device)}"
    if options.methods != EVERY_METHOD:
        command += f" --methods {' '.join(options.methods)}"
    path = options.output / "evaluations" / "cdh" / "cdh.json"
    slow = (f"{TEACHER}, 50 DDIM steps",)
    rows = measure_all(restorers, options.methods, options.data, path, lpips_of(options.data), software(), slow, teacher_on)
    result = {"model": "cdh", "command": f"{command} --data DIR -o docs", "rows": rows}
    write(options.output, "cdh", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
