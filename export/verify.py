"""Does the exported file compute what torch computes? ``python -m export.verify WEIGHTS ONNX``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.files import read
from sdk.halftoning.palettes import quantise_bits
from sdk.images import from_unit, to_unit
from training.checkpoints import load_model
from training.errors import said_plainly

TOLERANCE = 1e-4
"""Largest accepted absolute difference, values in [0, 1]."""

SAMPLES = Path(__file__).parents[1] / "docs" / "samples"
SIZES = ((16, 24), (64, 64), (96, 160), (256, 256))


class ParityError(Exception):
    """torch and onnxruntime disagree."""


@torch.no_grad()
def verify(model: nn.Module, backend: OnnxRuntimeBackend) -> float:
    """Largest absolute difference over random noise, random dots and a real halftone at several sizes; raises beyond TOLERANCE."""
    worst = 0.0
    planes, multiple = int(getattr(model, "planes", 1)), int(getattr(model, "size_multiple", 1))
    for batch in example_inputs(planes, tuple(getattr(model, "conditions", ())), multiple):
        expected = model(torch.from_numpy(batch)).numpy()
        worst = max(worst, float(np.abs(expected - backend.run(batch)).max()))
    if worst > TOLERANCE:
        raise ParityError(
            f"onnxruntime differs from torch by {worst:.2e}; at most {TOLERANCE:.0e} is accepted. Is the file an export of these weights?"
        )
    return worst


def measure_halo(backend: OnnxRuntimeBackend, multiple: int, planes: int = 1, conditions: tuple[str, ...] = (), limit: int = 192) -> int:
    """How far from a cut, in px, the output still differs visibly (by half a grey level) from that of the whole picture.

    Measured on a real picture (a halftone, or one cut to few bits) and on its negative, cut at both sides of several columns.
    """
    picture = np.repeat(to_unit(read(SAMPLES / _sample(conditions)).pages[0].pixels)[None, None, :256], planes, axis=1)
    halo = 0
    for image in (image for positive in (picture, 1 - picture) for image in conditioned(positive, conditions)):
        whole = backend.run(image)
        for cut in range(256 // multiple * multiple, 512, 8 * multiple):
            for part, distance in ((np.s_[..., cut:], np.arange(image.shape[-1] - cut)), (np.s_[..., :cut], np.arange(cut)[::-1])):
                difference = np.abs(backend.run(image[part]) - whole[part]).max(axis=(0, 1, 2))
                visible = distance[difference > 0.5 / 255]
                halo = max(halo, int(visible.max(initial=-1)) + 1)
    return min(-(-halo // multiple) * multiple, limit)


def example_inputs(planes: int = 1, conditions: tuple[str, ...] = (), multiple: int = 1) -> list[np.ndarray]:
    """(N, planes and conditions, H, W) float32 batches; H and W are multiples of ``multiple``."""
    rng = np.random.default_rng(0)
    picture = np.repeat(to_unit(read(SAMPLES / _sample(conditions)).pages[0].pixels)[None, None], planes, axis=1)
    inputs = []
    for size in SIZES:
        height, width = (-(-extent // multiple) * multiple for extent in size)
        noise = rng.random((1, planes, height, width), dtype=np.float32)
        inputs += [noise, np.concatenate([np.round(noise), picture[:, :, :height, :width]])]
    return [image for batch in inputs for image in conditioned(batch, conditions)]


def _sample(conditions: tuple[str, ...]) -> str:
    return "kodim23_grey.png" if "bits" in conditions else "kodim23_floyd-steinberg.png"


def conditioned(pictures: np.ndarray, conditions: tuple[str, ...]) -> list[np.ndarray]:
    """(N, planes, H, W) -> what a network under these conditions is given: the same, or the pictures cut to 1, 3 and 5 bits."""
    if not conditions:
        return [pictures]
    inputs = []
    for bits in (1, 3, 5):
        cut = to_unit(quantise_bits(from_unit(pictures, np.uint8), bits))
        inputs.append(np.concatenate([cut, np.full_like(cut[:, :1], bits / 8)], axis=1))
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
