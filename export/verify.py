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
from training.errors import said_plainly

TOLERANCE = 1e-4
"""Largest accepted absolute difference, values in [0, 1]."""

SAMPLE = Path(__file__).parents[1] / "docs" / "samples" / "kodim23_floyd-steinberg.png"
SIZES = ((16, 24), (64, 64), (96, 160), (256, 256))


class ParityError(Exception):
    """torch and onnxruntime disagree."""


@torch.no_grad()
def verify(model: nn.Module, backend: OnnxRuntimeBackend) -> float:
    """Largest absolute difference over random noise, random dots and a real halftone at several sizes; raises beyond TOLERANCE."""
    worst = 0.0
    for batch in example_inputs(int(getattr(model, "planes", 1))):
        expected = model(torch.from_numpy(batch)).numpy()
        worst = max(worst, float(np.abs(expected - backend.run(batch)).max()))
    if worst > TOLERANCE:
        raise ParityError(
            f"onnxruntime differs from torch by {worst:.2e}; at most {TOLERANCE:.0e} is accepted. Is the file an export of these weights?"
        )
    return worst


def measure_halo(backend: OnnxRuntimeBackend, multiple: int, planes: int = 1, limit: int = 192) -> int:
    """How far from a cut, in px, the output still differs visibly (by half a grey level) from that of the whole picture.

    Measured on a real halftone and on its negative, cut at both sides of several columns.
    """
    halftone = to_unit(read(SAMPLE).pages[0].pixels)[None, None, :256]
    halo = 0
    for image in (np.repeat(image, planes, axis=1) for image in (halftone, 1 - halftone)):
        whole = backend.run(image)
        for cut in range(256 // multiple * multiple, 512, 8 * multiple):
            for part, distance in ((np.s_[..., cut:], np.arange(image.shape[-1] - cut)), (np.s_[..., :cut], np.arange(cut)[::-1])):
                difference = np.abs(backend.run(image[part]) - whole[part]).max(axis=(0, 1, 2))
                visible = distance[difference > 0.5 / 255]
                halo = max(halo, int(visible.max(initial=-1)) + 1)
    return min(-(-halo // multiple) * multiple, limit)


def example_inputs(planes: int = 1) -> list[np.ndarray]:
    """(N, planes, H, W) float32 batches."""
    rng = np.random.default_rng(0)
    halftone = np.repeat(to_unit(read(SAMPLE).pages[0].pixels)[None, None], planes, axis=1)
    inputs = []
    for height, width in SIZES:
        noise = rng.random((1, planes, height, width), dtype=np.float32)
        inputs += [noise, np.concatenate([np.round(noise), halftone[:, :, :height, :width]])]
    return inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("onnx", type=Path)
    options = parser.parse_args()
    model, _, _ = load_model(options.weights)
    backend = OnnxRuntimeBackend(options.onnx.read_bytes(), "cpu", where=str(options.onnx))
    print(f"largest difference: {verify(model.half().float(), backend):.2e}")


if __name__ == "__main__":
    with said_plainly():
        main()
