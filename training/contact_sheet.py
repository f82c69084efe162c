"""Look at what a recipe trains on: ``python -m training.contact_sheet scan --data DIR -o sheet.png``.

Draws crops of DIR/train with their targets to the right of them, each pixel as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from training.config import Recipe, load_recipe
from training.data import Pairs, as_pictures
from training.errors import said_plainly

GAP = 6


def contact_sheet(recipe: Recipe, data: Path, rows: int = 8, columns: int = 4, crop: int = 160) -> np.ndarray:
    """uint8 picture of rows x columns pairs, white between them."""
    planes = recipe.model.get("planes", 1)
    pairs = Pairs.of(data / "train", replace(recipe.data, crop=crop, batch=rows * columns), 1, planes)
    # without what the network is told
    inputs, targets = (as_pictures(batch[:, :planes]) for batch in pairs[0])
    cells = [_framed(np.concatenate([before, after], axis=1)) for before, after in zip(inputs, targets)]
    return np.concatenate([np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)], axis=0)


def _framed(cell: np.ndarray) -> np.ndarray:
    padding = [(GAP // 2, GAP // 2)] * 2 + [(0, 0)] * (cell.ndim - 2)
    return np.pad(cell, padding, constant_values=255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a name in training/recipes, or a .toml file")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the picture to write")
    options = parser.parse_args()
    Image.fromarray(contact_sheet(load_recipe(options.recipe), options.data)).save(options.output)
    print(options.output)


if __name__ == "__main__":
    with said_plainly():
        main()
