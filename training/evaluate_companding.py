"""Measure bit-depth expansion: ``python -m training.evaluate_companding companding --data DIR -o docs``.

Pictures of 256x256 px (the papers' protocol) and whole ones, cut to 1..5 bits by floor (Hou & Qiu 2017, eq. 2), colour and
grey. Beside the model: the picture as it is, and the middle of each quantisation interval. Writes
<out>/evaluations/companding/<model>.json and <out>/companding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

import sdk
from sdk.halftoning.palettes import quantise_bits
from training.data import read_grey, read_rgb
from training.errors import said_plainly
from training.metrics import Lpips
from training.results import by_key, cell, lpips_of, mean_scores, parser, present, result_of, write
from training.testsets import PROTOCOL, sets_of

BITS = (1, 2, 3, 4, 5)
SETS = (PROTOCOL, "kodak24")
COLOURS = {"colour": read_rgb, "grey": read_grey}
AS_IT_IS, MIDDLE = "as it is", "middle of the interval"

PAPER = {
    "colour": {1: (18.67, 0.55), 2: (25.65, 0.81), 3: (30.79, 0.90), 4: (34.52, 0.95), 5: (37.59, 0.97)},
    "grey": {1: (18.81, 0.49), 2: (25.84, 0.74), 3: (31.33, 0.87), 4: (36.69, 0.94), 5: (40.24, 0.97)},
}
"""Table I of Hou & Qiu (2017): PSNR and SSIM on its own COCO pictures of 256x256 px."""


def middle(picture: np.ndarray, bits: int) -> np.ndarray:
    """Each value in the middle of the interval that it stands for."""
    return picture + np.uint8((2 ** (8 - bits) - 1) // 2)


def evaluate(model: sdk.BitDepthExpander, data: Path, lpips: Lpips) -> Iterator[dict]:
    """One row a colour, number of bits, test set and restorer."""
    restorers: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        model.metadata.name: lambda picture, bits: model.run(picture, bits=bits),
        AS_IT_IS: lambda picture, bits: picture,
        MIDDLE: middle,
    }
    for colour, read in COLOURS.items():
        sets = sets_of(data, read)
        for set_name in present(SETS, sets, data):
            for bits in tqdm(BITS, desc=f"{set_name}, {colour}"):
                for title, restore in restorers.items():
                    means = mean_scores(((restore(quantise_bits(photo, bits), bits), photo) for photo in sets[set_name]), lpips)
                    yield {"restorer": title, "dither": f"{bits} bits, {colour}", "set": set_name, "settings": {}, **means}


def page(result: dict) -> str:
    """companding.md from the JSON."""
    model, rows = result["model"], result["rows"]
    score = by_key(rows)
    lines = [
        f"# `{model}`: few bits to many\n",
        f"By `python -m training.evaluate_companding {model} --data DIR -o docs` ({result['software']}): PSNR (dB) / SSIM / LPIPS.\n",
        "Cut by floor without rescaling (eq. 2). The paper's column is Table I of Hou & Qiu (2017), on COCO pictures of their own at\n"
        "256x256 px; ours are `coco_val50` at that size, so the two columns compare methods only as far as COCO resembles COCO.\n",
        f"| | `{model}` | {MIDDLE} | {AS_IT_IS} | Hou & Qiu: PSNR / SSIM |\n|---|---|---|---|---|",
    ]
    for dither, set_name in dict.fromkeys((row["dither"], row["set"]) for row in rows):
        found = [score[title, dither, set_name] for title in (model, MIDDLE, AS_IT_IS)]
        cells = " | ".join(map(cell, found))
        bits, colour = dither.split(" bits, ")
        paper = "{:.2f} / {:.2f}".format(*PAPER[colour][int(bits)]) if "256" in set_name else ""
        lines.append(f"| {set_name}, {dither} | {cells} | {paper} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = parser(__doc__, "folder with test/coco_val50 and test/kodak24").parse_args()
    model = sdk.BitDepthExpander(options.model, device="cpu")
    rows = list(evaluate(model, options.data, lpips_of(options.data)))
    result = result_of(model.metadata, rows)
    write(options.output, "companding", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
