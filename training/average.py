"""Average two networks of one architecture: ``python -m training.average runs/prl/weights.safetensors sdk/models/prl.onnx -o FILE``.

Where the second is what the first was trained on from, the way between their weights leads through networks as good as either, or
better (model soups, Wortsman et al. 2022), and trades what one loss prefers against what another does. ``--share`` is chosen on val.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from training.checkpoints import load_model, save_weights, warm_start
from training.errors import TrainingError, said_plainly
from training.optim import update_average


def average(first: Path, second: Path, share: float, output: Path) -> None:
    """``share`` of the run's weights ``first``, the rest of ``second`` (a run's, or .onnx); recipe and progress are the first's."""
    if not 0 < share < 1:
        raise TrainingError(f"share is {share:g}; it must lie between 0 and 1.")
    network, recipe, progress = load_model(first)
    mean = copy.deepcopy(network)
    if missing := warm_start(mean, second):
        raise TrainingError(f"{second} lacks {len(missing)} tensors of {first}, such as {missing[0]}: these are no networks of one kind.")
    update_average(mean, network, 1 - share)
    save_weights(output, mean.state_dict(), recipe, progress | {"averaged": {"share": share, "with": second.name}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="weights.safetensors of a run")
    parser.add_argument("second", type=Path, help="those of another, or an .onnx file")
    parser.add_argument("--share", type=float, default=0.5, help="of the first in the average (default: 0.5)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    average(options.first, options.second, options.share, options.output)
    print(f"averaged weights: {options.output}")


if __name__ == "__main__":
    with said_plainly():
        main()
