"""Measure a model: ``python -m training.evaluate fast --data DIR -o docs``.

For every halftoning method on Kodak24, and Floyd-Steinberg on every test set (--methods and --sets ask for others): PSNR, SSIM
and LPIPS of the model and of a Gaussian blur and non-local means tuned for that method on val. The model runs as users run it,
through ``sdk.InverseHalftoner``. Writes evaluations/<name>.json, and models.md with the tables of all models measured so far. The
baselines are measured once, into evaluations/baselines.json (``python -m training.evaluate baselines --data DIR`` does it anew).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

import sdk
from sdk.analysis.methods import DIFFUSIONS
from sdk.errors import OptionError, nearest
from sdk.halftoning import halftone
from training.baselines import FILTERS
from training.errors import said_plainly
from training.metrics import Lpips
from training.results import by_key, cell, lpips_of, mean_scores, parser, result_of, software, write_json, write_page
from training.testsets import picture_counts, sets_of, tuning_pictures
from training.tuning import tune

BASELINES = "baselines"
Restore = Callable[[np.ndarray], np.ndarray]
Restorers = dict[str, tuple[dict, Restore]]


@dataclass(frozen=True)
class Dither:
    """A row of the table: a halftoning method with its parameters."""

    title: str
    method: str
    parameters: dict

    def __call__(self, grey: np.ndarray) -> np.ndarray:
        return halftone(grey, self.method, **self.parameters)


DITHERS = (
    *(Dither(name, name, {}) for name in DIFFUSIONS),
    Dither("floyd-steinberg, serpentine", "floyd-steinberg", {"serpentine": True}),
    Dither("bayer 8x8", "bayer", {"size": 8}),
    Dither("clustered-dot 6x6", "clustered-dot", {"size": 6}),
    Dither("clustered-dot 8x8", "clustered-dot", {"size": 8}),
    Dither("blue-noise", "blue-noise", {"size": 64, "seed": 100}),  # a mask that training never saw
    Dither("am-screen 6 px, 45 degrees", "am-screen", {"lpi": 100.0, "dpi": 600.0, "angle": 45.0}),
)
EVERY_DITHER = ("kodak24",)
"""Test sets measured with all rows; the others with Floyd-Steinberg alone, unless they are asked for."""


def measure(restore: Restore, dither: Dither, photos: list[np.ndarray], lpips: Lpips) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and LPIPS over the pictures of one set."""
    return mean_scores(((restore(dither(photo)), photo) for photo in photos), lpips)


def evaluate(
    restorers_for: Callable[[Dither], Restorers],
    data: Path,
    lpips: Lpips,
    dithers: Sequence[Dither] = DITHERS,
    only: Sequence[str] | None = None,
) -> Iterator[dict]:
    """One row a method, test set and restorer; ``restorers_for``: title -> (settings, function) of a method.

    Sets but ``EVERY_DITHER`` are measured with Floyd-Steinberg alone, unless there are ``only`` these.
    """
    sets = sets_of(data)
    for name in only or ():
        if name not in sets:
            raise OptionError(f"{data}/test has no set {name!r}.{nearest(name, sets)}")
    sets = {name: photos for name, photos in sets.items() if only is None or name in only}
    for dither in tqdm(dithers, desc="methods"):
        restorers = restorers_for(dither)
        for set_name, photos in sets.items():
            if only is None and set_name not in EVERY_DITHER and dither is not DITHERS[0]:
                continue
            for title, (settings, function) in restorers.items():
                scores = measure(function, dither, photos, lpips)
                yield {"restorer": title, "dither": dither.title, "set": set_name, "settings": settings, **scores}


def evaluate_baselines(data: Path, lpips: Lpips) -> Iterator[dict]:
    """The rows of the Gaussian blur and non-local means, tuned for each method on val."""
    pictures = tuning_pictures(data, 10)
    return evaluate(lambda dither: tune(FILTERS, [((dither(photo),), photo) for photo in pictures]), data, lpips)


def markdown(model: str, software: str, rows: list[dict], baselines: list[dict]) -> str:
    """All methods on Kodak24, then Floyd-Steinberg on all sets, then what else was asked for."""
    rows = rows + baselines
    restorers = list(dict.fromkeys(row["restorer"] for row in rows))
    scores = by_key(rows)
    head = f"| | {' | '.join(restorers)} | gain, dB |\n|---|{'---|' * (len(restorers) + 1)}\n"

    def line(label: str, dither: str, set_name: str) -> str:
        found = [scores.get((restorer, dither, set_name)) for restorer in restorers]
        cells = [cell(row) for row in found]
        decibels = [row["psnr"] for row in found if row]
        gain = f"{decibels[0] - max(decibels[1:]):+.2f}" if 1 < len(decibels) == len(restorers) else ""
        return f"| {label} | {' | '.join(cells)} | {gain} |\n"

    measured = dict.fromkeys(row["dither"] for row in rows if row["restorer"] == model)
    sets = dict.fromkeys(row["set"] for row in rows if row["restorer"] == model)
    chosen = "" if len(measured) == len(DITHERS) else f" --methods {shlex.join(measured)}"
    chosen += "" if sets.keys() >= {row["set"] for row in baselines} else f" --sets {shlex.join(sets)}"
    parts = [
        f"## `{model}`: PSNR (dB) / SSIM / LPIPS\n",
        f"Grey pictures, whole, by `python -m training.evaluate {model} --data DIR{chosen} -o docs` ({software}).\n"
        "The Gaussian and non-local means are tuned for each method on val; *gain* is the PSNR above the better of them.\n",
    ]
    for set_name in dict.fromkeys(row["set"] for row in rows if row["set"] in EVERY_DITHER):
        dithers = dict.fromkeys(row["dither"] for row in rows if row["set"] == set_name)
        if not all((model, name, set_name) in scores for name in DIFFUSIONS):
            continue  # a model for Floyd-Steinberg alone
        diffusions = [scores[model, name, set_name]["psnr"] for name in DIFFUSIONS]
        parts.append(f"### All methods on {set_name}\n\n{head}{''.join(line(dither, dither, set_name) for dither in dithers)}")
        parts.append(f"Mean PSNR of `{model}` over the nine error diffusions: **{np.mean(diffusions):.2f} dB**.\n")
    first = DITHERS[0].title
    if measured_on := [name for name in sets if (model, first, name) in scores]:
        parts.append(f"### {first} on all sets\n\n{head}{''.join(line(name, first, name) for name in measured_on)}")
    others = [(dither, name) for restorer, dither, name in scores if restorer == model and dither != first and name not in EVERY_DITHER]
    if others:
        lines = "".join(line(f"{name}, {dither}", dither, name) for dither, name in others)
        parts.append(f"### Other methods on other sets\n\n{head}{lines}")
    return "\n".join(parts)


def main() -> None:
    arguments = parser(__doc__, "folder with val/ and test/<set>/")
    arguments.add_argument("--methods", nargs="+", metavar="TITLE", help="rows of the table to measure (default: all)")
    arguments.add_argument("--sets", nargs="+", metavar="NAME", help="test sets to measure on (default: all)")
    options = arguments.parse_args()
    dithers = dithers_named(options.methods)
    if options.model == BASELINES and (options.methods or options.sets):
        raise OptionError("The baselines are measured whole, since all tables use them: leave --methods and --sets out.")
    lpips = lpips_of(options.data)
    restorer = None if options.model == BASELINES else sdk.InverseHalftoner(options.model, device="cpu")
    folder = options.output / "evaluations"

    if restorer is not None:
        name, run = restorer.metadata.name, restorer.run
        rows = list(evaluate(lambda _: {name: ({}, run)}, options.data, lpips, dithers, options.sets))
        write_json(folder, name, with_kept(folder / f"{name}.json", result_of(restorer.metadata, rows)))
    baselines, pictures = folder / f"{BASELINES}.json", picture_counts(options.data)
    if restorer is None or not baselines.is_file():
        rows = list(evaluate_baselines(options.data, lpips))
        write_json(folder, BASELINES, {"model": BASELINES, "software": software(), "pictures": pictures, "rows": rows})
    elif json.loads(baselines.read_text(encoding="utf-8")).get("pictures", pictures) != pictures:
        print(f"{baselines} is of other pictures; `python -m training.evaluate {BASELINES} --data ... -o ...` measures them anew.")
    write_page(options.output / "models.md", page(folder))


def dithers_named(titles: Sequence[str] | None) -> Sequence[Dither]:
    """The rows of these titles, or all."""
    known = {dither.title: dither for dither in DITHERS}
    for title in titles or ():
        if title not in known:
            raise OptionError(f"There is no row {title!r}.{nearest(title, known)}")
    return [known[title] for title in titles] if titles else DITHERS


def with_kept(path: Path, result: dict) -> dict:
    """The result with the rows that ``path`` holds beside its own, if those are of the same weights and software."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if any(before.get(key) != result[key] for key in ("training", "software")):
        if before:
            print(f"{path} was measured with other weights or software: its other rows are not kept.")
        return result
    new = {(row["dither"], row["set"]): row for row in result["rows"]}
    kept = [new.pop((row["dither"], row["set"]), row) for row in before["rows"]]
    return {**result, "rows": [*kept, *new.values()]}


def page(folder: Path) -> str:
    """models.md: the tables of every model measured into ``folder``."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    baselines = results.pop(BASELINES)["rows"]
    tables = (markdown(result["model"], result["software"], result["rows"], baselines) for result in results.values())
    note = "Of Set12's twelve pictures one (04, the starfish) is a crop of a photograph that the models learnt from.\n"
    return "\n".join(["# Measured models\n", note, *tables])


if __name__ == "__main__":
    with said_plainly():
        main()
