"""Count what each halftoning method puts where: ``python -m training.method_tables --data DIR``.

Photographs of DIR/train are halftoned by every method of ``sdk.analysis.methods.LABELS``, and for each surrounding the share of white is
written to sdk/analysis/methods.npz, in steps of 1/256; and how badly the table may fit a photograph.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sdk.analysis.methods import ENOUGH, LABELS, PATTERNS, TABLE, count_patterns, log_chances, own_likelihood
from sdk.files.whole_files import write_whole
from sdk.halftoning import halftone
from training.arguments import count
from training.data import evenly, photo_paths, read_grey
from training.errors import said_plainly

ACCEPTED = 97
"""Per cent of a method's own photographs that are taken for its own."""
PRIOR = 2.0
"""Pixels that every surrounding is taken to have been seen with beforehand: rare ones say little."""
VARIED: dict[str, Callable[[int], dict]] = {
    "bayer": lambda i: {"size": (2, 4, 8, 8, 16)[i % 5]},
    "blue-noise": lambda i: {"seed": i % 16},
    "white-noise": lambda i: {"seed": i % 16},
}
"""Label -> parameters that differ from the i-th photograph to the next."""


def call_of(label: str) -> tuple[str, dict]:
    """The method of a label and its parameters, as ``sdk.halftoning.halftone`` takes them."""
    name, _, size = label.partition(" ")
    if label.endswith(", serpentine"):
        return label.removesuffix(", serpentine"), {"serpentine": True}
    return (name, {"size": int(size.split("x")[0])}) if size else (name, {})


def tabulate(photos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (methods, surroundings): share of white, 0..255 of 256; and float16 (methods,): the misfit that few photographs exceed."""
    table, misfit = np.empty((len(LABELS), PATTERNS // 2), np.uint8), np.empty(len(LABELS), np.float16)
    for row, label in enumerate(tqdm(LABELS, desc="methods")):
        method, parameters = call_of(label)
        varied = VARIED.get(label, lambda i: {})
        counts = np.stack([count_patterns(halftone(photo, method, **parameters | varied(i))) for i, photo in enumerate(photos)])
        counts = counts.reshape(len(photos), -1, 2)
        black, white = counts.sum(axis=0).T
        table[row] = np.clip(256 * (white + PRIOR / 2) / (black + white + PRIOR), 0, 255)
        counts[:, [0, -1]] = 0  # as in method_of_counts
        counts = counts[counts.sum(axis=(1, 2)) >= ENOUGH]
        likelihoods = np.einsum("sb,psb->p", log_chances(table[row]), counts) / counts.sum(axis=(1, 2))
        misfit[row] = np.percentile([own_likelihood(each) for each in counts] - likelihoods, ACCEPTED)
    return table, misfit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument("--pictures", type=count, default=400, help="how many photographs, evenly chosen (default: 400)")
    parser.add_argument("-o", "--output", type=Path, default=TABLE, help="file to write (default: the SDK's)")
    options = parser.parse_args()
    chosen = evenly(photo_paths(options.data / "train"), options.pictures)
    white, misfit = tabulate([read_grey(path) for path in chosen])
    table = BytesIO()
    np.savez_compressed(table, white=white, misfit=misfit, labels=np.array(LABELS))
    write_whole(options.output, table.getvalue())
    print(f"{len(LABELS)} methods, {len(chosen)} photographs: {options.output}")


if __name__ == "__main__":
    with said_plainly():
        main()
