"""Measure what is done about dithers in disguise: ``python -m training.evaluate_disguises fast --data DIR -o docs``.

Dithers of the papers' pictures are turned, enlarged, coded by JPEG ... and restored as ``InverseHalftoner`` does, which looks for all
that, and by the network alone, which takes every dot for one that lies as it was made: PSNR, SSIM and LPIPS.
Writes <out>/evaluations/disguises/<model>.json and <out>/disguises.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from sdk.halftoning import halftone
from sdk.images import widened
from sdk.input_warnings import InputWarning
from sdk.networks.halftone import HalftoneNetwork
from sdk.turn import Turn
from training.data import photo_paths, read_grey
from training.errors import said_plainly
from training.pages import jpeg
from training.results import cell, lpips_of, mean_scores, parser, result_of, write
from training.testsets import PROTOCOL, centre_256

METHODS = ("floyd-steinberg", "stucki", "bayer")
BY_US, ALONE = "restored", "by the network alone"


def _as_it_was(picture: np.ndarray) -> np.ndarray:
    return picture


@dataclass(frozen=True)
class Disguise:
    """What happened to a dither, uint8 HxW black and white; ``undo`` takes a restoration to the photograph's size and place."""

    title: str
    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray], np.ndarray] = _as_it_was


def _turned(title: str, turn: Turn) -> Disguise:
    return Disguise(title, turn.apply, turn.undo)


def _coded(quality: int) -> Disguise:
    return Disguise(f"JPEG, quality {quality}", lambda dots: jpeg(dots, quality))


def _smoothed(sigma: float) -> Disguise:
    return Disguise(f"Gaussian of {sigma:g} px", lambda dots: cv2.GaussianBlur(dots, (0, 0), sigma))


def _noisy(dots: np.ndarray) -> np.ndarray:
    return np.clip(dots + np.random.default_rng(0).normal(0, 25, dots.shape), 0, 255).astype(np.uint8)


def _reduced(large: np.ndarray, times: float) -> np.ndarray:
    return cv2.resize(large, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)


def _enlarged(times: float, quality: int | None = None) -> Disguise:
    def enlarge(dots: np.ndarray) -> np.ndarray:
        large = cv2.resize(dots, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
        return jpeg(large, quality) if quality else large

    title = f"enlarged {times:g} times, bicubic" + (f"; JPEG, quality {quality}" if quality else "")
    return Disguise(title, enlarge, lambda large: _reduced(large, times))


DISGUISES = (
    Disguise("none", _as_it_was),
    _turned("turned by 90 degrees", Turn(90)),
    _turned("mirrored", Turn(mirrored=True)),
    Disguise(
        "pixels repeated 2x2 times",
        lambda dots: dots.repeat(2, 0).repeat(2, 1),
        lambda large: _reduced(large, 2),
    ),
    *(_coded(quality) for quality in (90, 60, 30)),
    Disguise("noise of 25 levels", _noisy),
    *(_smoothed(sigma) for sigma in (0.4, 0.6, 0.8)),
    *(_enlarged(times) for times in (1.5, 2)),
    _enlarged(1.5, quality=70),
)


def evaluate(model: str, data: Path) -> dict:
    network, lpips, rows = HalftoneNetwork(model, device="cpu"), lpips_of(data), []
    photos = [centre_256(read_grey(path)) for path in photo_paths(data / "test" / "coco_val50")]
    restorers: dict[str, Callable[[np.ndarray], np.ndarray]] = {BY_US: network.restore, ALONE: network.restore_as_it_is}
    for method in METHODS:
        dithers = [widened(halftone(photo, method)) for photo in photos]
        for disguise in tqdm(DISGUISES, desc=method):
            for title, restore in restorers.items():
                pairs = ((disguise.undo(restore(disguise.apply(dots))), photo) for dots, photo in zip(dithers, photos))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", InputWarning)
                    scores = mean_scores(pairs, lpips)
                rows.append({"restorer": title, "dither": method, "disguise": disguise.title, "set": PROTOCOL, **scores})
    return result_of(network.metadata, rows)


def page(result: dict) -> str:
    scores = {(row["restorer"], row["dither"], row["disguise"]): row for row in result["rows"]}
    lines = [
        f"# Dithers in disguise: PSNR (dB) / SSIM / LPIPS of `{result['model']}`\n",
        f"By `python -m training.evaluate_disguises {result['model']} --data DIR -o docs` ({result['software']}), on {PROTOCOL} in grey.",
        f"Most disguises are seen through ([usage.md](usage.md)); `{ALONE}`: each pixel is taken for a dot that lies as it was made.",
        "Enlarged dithers are compared at the photograph's size.\n",
        f"| disguise | {' | '.join(f'{method} | {ALONE}' for method in METHODS)} |",
        "|---|" + "---|" * (2 * len(METHODS)),
    ]
    for disguise in DISGUISES:
        cells = (cell(scores[restorer, method, disguise.title]) for method in METHODS for restorer in (BY_US, ALONE))
        lines.append(f"| {disguise.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = parser(__doc__, "folder with test/coco_val50").parse_args()
    result = evaluate(options.model, options.data)
    write(options.output, "disguises", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
