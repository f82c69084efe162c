"""Does the exported file compute what torch computes? ``python -m export.verify WEIGHTS ONNX``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.files import read
from sdk.images import to_unit
from training.checkpoints import load_model

TOLERANCE = 1e-4
"""Largest accepted absolute difference, values in [0, 1]."""

SAMPLE = Path(__file__).parents[1] / "docs" / "samples" / "kodim23_floyd-steinberg.png"
SIZES = ((16, 24), (64, 64), (96, 160), (256, 256))


class ParityError(Exception):
    """torch and onnxruntime disagree."""


@torch.no_grad()
def verify(model: nn.Module, onnx_file: Path) -> float:
    """Largest absolute difference over random noise, random dots and a real halftone at several sizes; raises beyond TOLERANCE."""
    backend = OnnxRuntimeBackend(onnx_file.read_bytes(), "cpu", where=str(onnx_file))
    worst = 0.0
    for batch in example_inputs():
        expected = model(torch.from_numpy(batch)).numpy()
        worst = max(worst, float(np.abs(expected - backend.run(batch)).max()))
    if worst > TOLERANCE:
        raise ParityError(f"{onnx_file} differs from torch by {worst:.2e}; at most {TOLERANCE:.0e} is accepted. Is it an export of these weights?")
    return worst


def example_inputs() -> list[np.ndarray]:
    """(N, 1, H, W) float32 batches."""
    rng = np.random.default_rng(0)
    halftone = to_unit(read(SAMPLE).pages[0].pixels)[None, None]
    inputs = []
    for height, width in SIZES:
        noise = rng.random((1, 1, height, width), dtype=np.float32)
        inputs += [noise, np.concatenate([np.round(noise), halftone[:, :, :height, :width]])]
    return inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("onnx", type=Path)
    options = parser.parse_args()
    model, _, _ = load_model(options.weights)
    print(f"largest difference: {verify(model.half().float(), options.onnx):.2e}")


if __name__ == "__main__":
    main()
