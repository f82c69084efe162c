"""Measure a model for colour: ``python -m training.evaluate_colour gif --data DIR -o docs``.

A model for palettes on those of GIF; another on halftones made channel by channel. Beside the model: the picture as it is, a Gaussian
blur and a bilateral filter tuned on val for each kind, and for halftones the models for grey, which restore each channel on its own.
PSNR, SSIM and LPIPS, and how far the worst picture is from what it was. Writes <out>/evaluations/colour/<model>.json, and
<out>/colour.md with all models measured there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

import sdk
from sdk.errors import OptionError, nearest
from sdk.halftoning import halftone
from sdk.images import from_unit, to_unit
from sdk.metrics import psnr
from sdk.networks.halftone import PALETTE_KIND
from training.data import read_rgb
from training.errors import TrainingError, said_plainly
from training.evaluate import Restore, Restorers
from training.metrics import Lpips
from training.results import by_key, cell, lpips_of, mean_scores, parser, present, result_of, software, write_json, write_page
from training.testsets import PROTOCOL, sets_of, tuning_pictures
from training.tuning import Filters, tune


@dataclass(frozen=True)
class Row:
    """A kind of few colours; ``grey_models`` restore it, too, each channel on its own: where it is a halftone of each channel."""

    title: str
    method: str
    parameters: dict
    grey_models: tuple[str, ...] = ()
    sets: tuple[str, ...] = ("kodak24",)
    grey: bool = False

    def original(self, photo: np.ndarray) -> np.ndarray:
        """uint8 HxWx3 -> what is to be had back: itself, or its grey."""
        return cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if self.grey else photo

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """uint8 HxW or HxWx3 -> uint8 of the same shape."""
        return from_unit(to_unit(halftone(photo, self.method, **self.parameters)), np.uint8)


EVERY_SET = ("kodak24", "cbsd68", PROTOCOL)
PALETTES = (
    Row("256 colours", "palette", {"colors": 256}, sets=EVERY_SET),
    *(Row(f"{colors} colours", "palette", {"colors": colors}) for colors in (64, 16)),
    Row("256 colours, octree", "palette", {"colors": 256, "palette": "octree"}),
    Row("web-safe colours", "palette", {"palette": "web"}),
    Row("64 colours, ordered dither", "palette", {"colors": 64, "dither": "bayer"}),
    Row("64 colours, no dither", "palette", {"colors": 64, "dither": "none"}),
    Row("4 greys", "floyd-steinberg", {"levels": 4}, grey=True),
    Row("4 greys, ordered dither", "bayer", {"size": 4, "levels": 4}, grey=True),
    Row("16 greys", "floyd-steinberg", {"levels": 16}, grey=True),
    Row("16 greys, ordered dither", "bayer", {"size": 8, "levels": 16}, grey=True),
    Row("4 levels a channel", "floyd-steinberg", {"levels": 4}),
    Row("4 levels a channel, ordered dither", "bayer", {"size": 4, "levels": 4}),
)
HALFTONES = (
    Row("colour Floyd-Steinberg", "floyd-steinberg", {}, ("fast",), EVERY_SET),
    *(
        Row(f"colour {title}", title.lower(), {}, ("fast",))
        for title in ("Jarvis-Judice-Ninke", "Stucki", "Atkinson", "Burkes", "Sierra", "Sierra-Lite")
    ),
    Row("colour blue-noise", "blue-noise", {"seed": 100}, ("fast",)),  # a mask that training never saw
    *(Row(f"colour {method} 8x8", method, {"size": 8}, ("fast",)) for method in ("bayer", "clustered-dot")),
)
AS_IT_IS = "as it is"


def bilateral(picture: np.ndarray, space: float, colour: float) -> np.ndarray:
    return cv2.bilateralFilter(picture, 0, colour, space)


def gaussian(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


FILTERS: Filters = {
    "Gaussian": (gaussian, {"sigma": (0.4, 0.56, 0.8, 1.12, 1.6, 2.24, 3.2)}),
    "bilateral": (bilateral, {"space": (0.8, 1.3, 2.1, 3.4), "colour": (10, 20, 40, 80, 160, 320)}),
}


def evaluate(model: sdk.InverseHalftoner, data: Path, lpips: Lpips, only: Sequence[str] | None = None) -> Iterator[dict]:
    """One row a kind, test set and restorer (all, or ``only`` these titles). ``worst_gain``: dB above the input of the picture that
    gained least."""
    sets = sets_of(data, read_rgb)
    there, tuning = present(EVERY_SET, sets, data), tuning_pictures(data, 12, read_rgb)
    for row in tqdm(PALETTES if PALETTE_KIND in model.metadata.kinds else HALFTONES, desc="kinds"):
        restorers: Restorers = {model.metadata.name: ({}, model.run)}
        for grey in row.grey_models:
            restorers[f"{grey}, per channel"] = ({}, sdk.InverseHalftoner(grey, device="cpu").run)
        restorers[AS_IT_IS] = ({}, lambda picture: picture)
        if only is None or not set(only) <= restorers.keys():
            restorers |= tune(FILTERS, [((row(photo),), photo) for photo in map(row.original, tuning)])
        for title in only or ():
            if title not in restorers:
                raise OptionError(f"Nothing measured here is called {title!r}.{nearest(title, restorers)}")
        for set_name in (name for name in row.sets if name in there):
            for title, (settings, restore) in restorers.items():
                if only is not None and title not in only:
                    continue
                scores = measure(restore, row, sets[set_name], lpips)
                yield {"restorer": title, "dither": row.title, "set": set_name, "settings": settings, **scores}


def measure(restore: Restore, row: Row, photos: list[np.ndarray], lpips: Lpips) -> dict[str, float]:
    photos = [row.original(photo) for photo in photos]
    pictures = [row(photo) for photo in photos]
    restored = [restore(picture) for picture in pictures]
    gains = [psnr(after, photo) - psnr(before, photo) for before, after, photo in zip(pictures, restored, photos)]
    return {**mean_scores(zip(restored, photos), lpips), "worst_gain": round(min(gains), 3)}


def with_new(rows: list[dict], new: list[dict]) -> list[dict]:
    """``rows``, those of the same kind, set and restorer as a new one replaced."""
    before, replaced = by_key(rows), by_key(new)
    if unknown := replaced.keys() - before.keys():
        raise TrainingError(f"The table has no row {' / '.join(sorted(unknown)[0])} to measure anew. Measure it whole, without --only.")
    return list((before | replaced).values())


def page(results: list[dict]) -> str:
    """colour.md from the JSON of all models."""
    return "\n".join(
        [
            "# Colour pictures of few colours\n",
            "PSNR (dB, all channels) / SSIM / LPIPS. Palettes are made by Pillow's quantisers (median cut where nothing else is said,",
            "Floyd-Steinberg dither), halftones and even levels channel by channel. The Gaussian blur and the bilateral filter are tuned",
            "for each kind on val. *gain*: PSNR above the best of the others; *least*: of the picture that gained least, against what it",
            "was.\n",
            *(section(result) for result in results),
        ]
    )


def section(result: dict) -> str:
    model, rows = result["model"], result["rows"]
    titles = list(dict.fromkeys(row["restorer"] for row in rows))
    score = by_key(rows)
    lines = [
        f"## `{model}`\n",
        f"By `python -m training.evaluate_colour {model} --data DIR -o docs` ({result['software']}).\n",
        f"| | {' | '.join(titles)} | gain, dB | least, dB |\n|---|{'---|' * (len(titles) + 2)}",
    ]
    for dither, set_name in dict.fromkeys((row["dither"], row["set"]) for row in rows):
        found = [score.get((title, dither, set_name)) for title in titles]
        cells = " | ".join(cell(row, missing="") for row in found)
        ours = score[model, dither, set_name]
        gain = ours["psnr"] - max(row["psnr"] for row in found[1:] if row)
        lines.append(f"| {set_name}, {dither} | {cells} | {gain:+.2f} | {ours['worst_gain']:+.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = parser(__doc__, "folder with val/ and test/kodak24 ...")
    arguments.add_argument("--only", nargs="+", metavar="TITLE", help="restorers to measure anew, as the page calls them; the rest is kept")
    options = arguments.parse_args()
    model = sdk.InverseHalftoner(options.model, device="cpu")
    folder = options.output / "evaluations" / "colour"
    stored = folder / f"{model.metadata.name}.json"
    if options.only and not stored.is_file():
        raise TrainingError(f"There is no {stored} with a table to keep the rest of. Measure it whole, without --only.")
    before = json.loads(stored.read_text(encoding="utf-8")) if options.only else {}
    if options.only and model.metadata.name not in options.only and before.get("training") != model.metadata.training:
        raise TrainingError(
            f"{stored} holds figures of other weights of {model.metadata.name!r}. Measure these: without --only, or with it."
        )
    if options.only and before.get("software") != software():
        raise TrainingError(f"{stored} was measured by {before.get('software')}; here is {software()}. Measure it whole, without --only.")
    rows = list(evaluate(model, options.data, lpips_of(options.data), options.only))
    rows = with_new(before["rows"], rows) if options.only else rows
    write_json(folder, model.metadata.name, result_of(model.metadata, rows))
    text = page([json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))])
    write_page(options.output / "colour.md", text)


if __name__ == "__main__":
    with said_plainly():
        main()
