"""Does the exported file compute what torch computes? ``python -m export.verify WEIGHTS ONNX``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.exported import as_exported
from sdk.analysis.methods import LABELS
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import model_bytes
from sdk.files import read
from sdk.halftoning.palettes import quantise_bits
from sdk.images import from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.onnx_file import read_props
from sdk.tiling import padded
from training.errors import TrainingError, said_plainly
from training.models.inputs import Inputs

TOLERANCE = 1e-4
"""Largest accepted absolute difference, values in [0, 1]."""

SAMPLES = Path(__file__).parents[1] / "docs" / "samples"
SIZES = ((16, 24), (64, 64), (96, 160), (256, 256))


class ParityError(TrainingError):
    """torch and onnxruntime disagree."""


def real_picture(inputs: Inputs) -> np.ndarray:
    """A real picture, (1, planes, 512, 768), values in [0, 1]."""
    name = "kodim23_grey.png" if inputs.continuous else "kodim23_floyd-steinberg.png"
    return np.repeat(to_unit(read(SAMPLES / name).pages[0].pixels)[None, None], inputs.planes, axis=1)


def completed(pictures: np.ndarray, inputs: Inputs) -> list[np.ndarray]:
    """(N, planes, H, W) -> what the network takes: cut to 1, 3 and 5 bits where it asks for bits, of no known method and of one where
    it asks for that, with noise where it needs that."""
    given = [pictures]
    if "method" in inputs.conditions:
        numbers = (0, 1 + LABELS.index("floyd-steinberg"))
        given = [np.concatenate([pictures, np.full_like(pictures[:, :1], number / 256)], axis=1) for number in numbers]
    if "bits" in inputs.conditions:
        cuts = [(to_unit(quantise_bits(from_unit(pictures, np.uint8), bits)), bits) for bits in (1, 3, 5)]
        given = [np.concatenate([cut, np.full_like(cut[:, :1], bits / 8)], axis=1) for cut, bits in cuts]
    if inputs.needs_noise:
        noise = np.random.default_rng(0).standard_normal((len(pictures), 1, *pictures.shape[2:]), dtype=np.float32)
        given = [np.concatenate([planes, noise], axis=1) for planes in given]
    return given


@torch.no_grad()
def verify(model: nn.Module, backend: OnnxRuntimeBackend) -> float:
    """Largest absolute difference over random noise, random dots and a real picture at several sizes; raises beyond TOLERANCE."""
    differences = [np.abs(model(torch.from_numpy(batch)).numpy() - backend.run(batch)).max() for batch in example_inputs(Inputs.of(model))]
    worst = float(np.max(differences))  # NaN, which a network of ruined weights gives, if any is
    if not worst <= TOLERANCE:
        raise ParityError(
            f"onnxruntime differs from torch by {worst:.2e}; at most {TOLERANCE:.0e} is accepted. Is the file an export of these weights?"
        )
    return worst


def measure_halo(backend: OnnxRuntimeBackend, inputs: Inputs, limit: int = 192) -> int:
    """How far from a cut, in px, the output still differs visibly (by half a grey level) from that of the whole picture.

    Measured on a real picture and on its negative, cut at both sides of several columns.
    """
    multiple, picture, halo = inputs.multiple, real_picture(inputs)[..., :256, :], 0
    for image in (image for positive in (picture, 1 - picture) for image in completed(positive, inputs)):
        whole = backend.run(image)
        for cut in range(256 // multiple * multiple, 512, 8 * multiple):
            for part, distance in ((np.s_[..., cut:], np.arange(image.shape[-1] - cut)), (np.s_[..., :cut], np.arange(cut)[::-1])):
                difference = np.abs(backend.run(image[part]) - whole[part]).max(axis=(0, 1, 2))
                visible = distance[difference > 0.5 / 255]
                halo = max(halo, int(visible.max(initial=-1)) + 1)
    return min(padded(halo, multiple), limit)


def example_inputs(inputs: Inputs) -> list[np.ndarray]:
    """(N, all planes, H, W) float32 batches of several sizes."""
    rng = np.random.default_rng(0)
    picture, batches = real_picture(inputs), []
    for size in SIZES:
        height, width = (padded(extent, inputs.multiple) for extent in size)
        noise = rng.random((1, inputs.planes, height, width), dtype=np.float32)
        batches += [noise, np.concatenate([np.round(noise), picture[:, :, :height, :width]])]
    return [image for batch in batches for image in completed(batch, inputs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="weights.safetensors of a run")
    parser.add_argument("onnx", type=Path, help="what export.to_onnx made of them")
    options = parser.parse_args()
    data, where = model_bytes(options.onnx)
    metadata = ModelMetadata.from_props(read_props(data, where), where)
    model, _, _ = as_exported(options.weights, metadata.num_inference_steps if metadata.needs_noise else None)
    print(f"largest difference: {verify(model, OnnxRuntimeBackend(data, 'cpu', where=where)):.2e}")


if __name__ == "__main__":
    with said_plainly():
        main()
