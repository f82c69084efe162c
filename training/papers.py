"""docs/papers.md, the papers' figures and ours side by side: ``python -m training.papers -o docs``.

Reads what the measurements left in <out>/evaluations; a section whose measurement is missing says which command makes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from sdk.files.whole_files import write_whole
from training.errors import said_plainly
from training.evaluate_cdh import LEARNT, UNSEEN, mean_of
from training.evaluate_cdh import PAPER as CDH_TABLE_1
from training.evaluate_companding import BITS, PAPER
from training.layers import table as layer_table
from training.testsets import PROTOCOL

PRL_TABLE_1 = {"PRL": (29.705, 0.8797), "PRL, squared error alone": (29.914, 0.8854)}
"""Xia & Wong (2018), Table 1: PSNR and SSIM on their split of PASCAL VOC at 256x256 px."""

COMPANDING_TABLE_3 = (31.43, 0.91)
"""Hou & Qiu (2017), Table III: colour Floyd-Steinberg halftones, COCO pictures of 256x256 px; the best row."""

Evaluations = dict[str, dict]


def read(folder: Path) -> Evaluations:
    """``fast``, ``colour/gif``, ... -> what was measured."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
    }


def cell(result: dict, dither: str, set_name: str, restorer: str | None = None) -> str:
    """``PSNR / SSIM`` of a row, or nothing."""
    for row in result["rows"]:
        if (row["restorer"], row["dither"], row["set"]) == (restorer or result["model"], dither, set_name):
            return f"{row['psnr']:.2f} / {row['ssim']:.3f}"
    return ""


def prl(found: Evaluations) -> list[str]:
    sets = (PROTOCOL, "kodak24", "cbsd68", "set5", "set12", "set14", "coco_val50")
    lines = [f"| grey Floyd-Steinberg | paper, VOC at 256x256 | {' | '.join(sets)} |\n|---|{'---|' * (len(sets) + 1)}"]
    lines += [f"| {name}, Xia & Wong | {psnr:.2f} / {ssim:.3f} |{' |' * len(sets)}" for name, (psnr, ssim) in PRL_TABLE_1.items()]
    for name in ("prl", "fast"):
        if name in found:
            lines.append(f"| `{name}` | | {' | '.join(cell(found[name], 'floyd-steinberg', each) for each in sets)} |")
    lines.append(
        "\nEqual: the network of Figure 1 without batch norm, the loss of eq. 1 to 3 with its weights (in the first 87 minutes of its\n"
        "training), 256x256 px by the shorter side. Not equal: RMSE in the place of the loss's absolute error (after that), SSIM in the\n"
        "place of VGG's features (in the last 55 minutes, whose result was averaged with what they began from), the pictures (VOC was\n"
        "not at hand; COCO is of the same kind), VGG16's conv4_3 in place of VGG19's conv4_4 (no VGG19 weights were at hand;\n"
        "`--vgg` takes them), Muon with a cosine schedule in place of Adam, and a far smaller budget than\n"
        "150 epochs of 13,000 pictures: the recipe and its progress are in the model's card (`inverse-halftoner info prl`). Of Set12's\n"
        "twelve pictures one (04) is a crop of a photograph that both learnt from."
    )
    return lines


def rivals(found: Evaluations) -> list[str]:
    rows = found["compare/compare"]["rows"]
    sets = [name for name in (PROTOCOL, "kodak24") if all(name in row["scores"] for row in rows)]
    if not sets:
        return [f"[compare.md](compare.md) has figures of neither {PROTOCOL} nor kodak24."]
    lines = [f"| method | parameters, M | {' | '.join(sets)} |\n|---|{'---|' * (len(sets) + 1)}"]
    for row in sorted(rows, key=lambda row: -row["scores"][sets[0]]["psnr"]):
        scores = (f"{row['scores'][name]['psnr']:.2f} / {row['scores'][name]['ssim']:.3f}" for name in sets)
        lines.append(f"| {row['name']} ({row['source']}) | {row['parameters'] / 1e6:.2f} | {' | '.join(scores)} |")
    lines.append(f"\nEach after {found['compare/compare']['steps']:,} steps on the same crops: more in [compare.md](compare.md).")
    return lines


def companding(found: Evaluations) -> list[str]:
    result = found["companding/companding"]
    lines = [
        "| bits | colour: Hou & Qiu | colour: `companding` | grey: Hou & Qiu | grey: `companding` |\n|---|---|---|---|---|",
    ]
    for bits in BITS:
        cells = [
            text
            for colour in ("colour", "grey")
            for text in ("{:.2f} / {:.2f}".format(*PAPER[colour][bits]), cell(result, f"{bits} bits, {colour}", PROTOCOL))
        ]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    lines.append(
        "\nEqual: floor without rescaling (eq. 2), the symmetric U-Net of 4x4 convolutions and transposed ones, 256x256 px. Not equal:\n"
        "the COCO pictures; the loss (the logarithm of the RMSE here, since PSNR is compared; features of VGG in the paper); one network\n"
        "for all depths and for grey, which is told the depth and answers inside each quantisation interval.\n"
        "More: [companding.md](companding.md)."
    )
    return lines


def layers(found: Evaluations) -> list[str]:
    result = found["layers/layers"]
    of_task = {name: [row for row in result["rows"] if row["task"] == name] for name in ("bits", "halftones")}
    return [
        *layer_table(of_task["halftones"]),
        "",
        *layer_table(of_task["bits"]),
        f"\nOurs, PSNR / SSIM / LPIPS on {PROTOCOL} after {result['steps']:,} steps each: [layers.md](layers.md). Equal: networks\n"
        "that differ in their loss alone, the squared error of pixels or of one layer's features. Not equal: the budget, the pictures,\n"
        "and VGG16 up to conv4_3 in place of VGG19 (`--vgg` takes it; then conv5_1 is measured, too).",
    ]


def colour(found: Evaluations) -> list[str]:
    result, dither = found["colour/colour"], "colour Floyd-Steinberg"
    psnr, ssim = COMPANDING_TABLE_3
    ours = {"`colour`, all channels together": None, "`fast`, channel by channel": "fast, per channel"}
    return [
        "| colour Floyd-Steinberg | COCO at 256x256 | kodak24 |\n|---|---|---|",
        f"| Hou & Qiu, best of Table III | {psnr:.2f} / {ssim:.2f} | |",
        *(f"| {title} | {cell(result, dither, PROTOCOL, row)} | {cell(result, dither, 'kodak24', row)} |" for title, row in ours.items()),
        "\nPSNR over all channels. The COCO pictures are not the paper's. More: [colour.md](colour.md).",
    ]


def cdh(found: Evaluations) -> list[str]:
    rows = found["cdh/cdh"]["rows"]
    lines = ["| PSNR / SSIM on COCO at 256x256 | four unseen methods (Table 1) | all nine (Table 2) |\n|---|---|---|"]
    lines += [f"| {title} | {psnr:.2f} / {ssim:.3f} | |" for title, (psnr, ssim) in CDH_TABLE_1.items()]
    for restorer in dict.fromkeys(row["restorer"] for row in rows):
        means = [mean_of(rows, restorer, methods) for methods in (UNSEEN, LEARNT + UNSEEN)]
        cells = [f"{mean['psnr']:.2f} / {mean['ssim']:.3f}" if mean else "not measured" for mean in means]
        lines.append(f"| {restorer} | {' | '.join(cells)} |")
    lines.append(
        "\nEqual: five error diffusions learnt and four unseen, a halftone diffusion of 200 steps under grey level and Laplacian with\n"
        "20 meta-halftones, an inverse diffusion that also learns its halftones. Not equal: which five, the pictures, and the budget;\n"
        "the networks are small and without attention (the preset of the paper's size is `cdh-paper`, for GPUs), predict v, and diffuse\n"
        "the detail above a low-pass of the halftone. More, with LPIPS and each method:\n"
        "[cdh.md](cdh.md); the halftones: [halftones.md](halftones.md)."
    )
    return lines


SECTIONS: tuple[tuple[str, str, Callable[[Evaluations], list[str]], str], ...] = (
    (
        "Xia & Wong, ACCV 2018: progressively residual learning",
        "prl",
        prl,
        "training.evaluate prl --data DIR --methods floyd-steinberg --sets coco_val50@256 kodak24",
    ),
    ("Xia & Wong, Tables 1 and 2: rivals at equal budget", "compare/compare", rivals, "training.compare --data DIR --steps 300"),
    (
        "Hou & Qiu 2017, Table I: few bits to many",
        "companding/companding",
        companding,
        "training.evaluate_companding companding --data DIR",
    ),
    (
        "Jiang & Mu, NeurIPS 2022: conditional diffusion",
        "cdh/cdh",
        cdh,
        "training.evaluate_cdh --models cdh-4step cdh-2step cdh-1step prl fast --teacher WEIGHTS --data DIR",
    ),
    (
        "Hou & Qiu 2017, Tables II and III: the layer of the perceptual loss",
        "layers/layers",
        layers,
        "training.layers --data DIR --steps 400",
    ),
    ("Hou & Qiu 2017, Table III: colour halftones", "colour/colour", colour, "training.evaluate_colour colour --data DIR"),
)
"""Title, the measurement it needs, how it is told, and the command that measures."""


def page(found: Evaluations) -> str:
    parts = [
        "# The papers' figures and ours\n",
        "PSNR (dB) / SSIM. Made by `python -m training.papers -o docs` from [evaluations](evaluations); each section names its command.\n",
    ]
    for title, needed, section, command in SECTIONS:
        told = "\n".join(section(found)) if needed in found else "Not measured yet."
        parts.append(f"## {title}\n\nBy `python -m {command} -o docs`.\n\n{told}\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs"), help="folder with evaluations/ (default: docs)")
    options = parser.parse_args()
    write_whole(options.output / "papers.md", page(read(options.output / "evaluations")).encode())
    print(options.output / "papers.md")


if __name__ == "__main__":
    with said_plainly():
        main()
