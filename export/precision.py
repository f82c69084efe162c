"""fp16 and int8 files of a model, and what they cost: ``python -m export.precision fast --data DIR``.

int8: convolutions between QuantizeLinear and DequantizeLinear (``export.quantise``), their ranges from halftones of DIR/val made
by the model's recipe. The first and the last convolution stay in float, and as many of the others, those first that cost most, as
it takes to lose no more than 0.03 dB on val. fp16: as engines are built (``sdk.onnx_precision``). Each file is then measured on
Kodak24 (DIR/test/kodak24) against fp32: int8 as OpenVINO computes it (or onnxruntime, where that is not installed), fp16 as a GPU
would, with every result rounded. The figures are printed, go into <output>/precision.json, and into the files; ``export.release``
refuses a file that loses more than 0.05 dB.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx import ModelProto

from export.quantise import convolutions, find_scales, name_of, open_session, quantise, rounded_to_fp16, with_float_weights
from export.to_onnx import write
from sdk.catalog import model_bytes, releases
from sdk.errors import ModelError
from sdk.halftoning import halftone
from sdk.images import from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.metrics import psnr
from sdk.networks.halftone import expects_clean_dots
from sdk.onnx_file import read_props
from sdk.onnx_precision import in_precision, precision_of
from sdk.tiling import padded
from training.arguments import count
from training.config import Recipe, load_recipe
from training.data import evenly, photo_paths, read_grey, read_rgb
from training.degradations import degrade, with_method
from training.errors import TrainingError, said_plainly
from training.results import write_json

MAY_LOSE = 0.05
"""dB on Kodak24; a file that loses more is not released."""
MAY_LOSE_ON_VAL = 0.03
"""dB; more convolutions stay in float until this is kept, so that Kodak24 decides nothing but the release."""
LOST, TO_FP32 = "kodak24/lost to fp32/psnr", "kodak24/against fp32/psnr"
"""Keys of the files' metrics."""

Run: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""(1, planes, H, W) -> (1, planes, H, W), float32."""


class PrecisionError(TrainingError):
    """A model cannot be quantised or measured here."""


@dataclass(frozen=True)
class Pair:
    """What the network is given, (1, planes, H, W) float32, and the photograph, uint8 HxW or HxWx3."""

    given: np.ndarray
    photo: np.ndarray


@dataclass(frozen=True)
class Cost:
    """Of a precision, on some pictures: PSNR of fp32 and of the variant against the photographs, and of one against the other; dB."""

    fp32: float
    variant: float
    against_fp32: float

    @property
    def lost(self) -> float:
        return self.fp32 - self.variant

    def __str__(self) -> str:
        return f"{self.variant:.3f} dB, {self.lost:+.3f} dB lost of {self.fp32:.3f} dB; {self.against_fp32:.2f} dB against fp32"


def crops(folder: Path, recipe: Recipe, metadata: ModelMetadata, number: int, side: int, seed: int = 0) -> list[Pair]:
    """One of ``side`` px from each of evenly chosen photographs, degraded as in training."""
    side, rng = padded(side, metadata.size_multiple), np.random.default_rng(seed)
    photos = [photo for path in photo_paths(folder) if min((photo := _read(path, metadata)).shape[:2]) >= side]
    if not photos:
        raise PrecisionError(f"No photograph in {folder} is at least {side}x{side} px.")
    pairs = []
    for photo in evenly(photos, number):
        top, left = (int(rng.integers(extent - side + 1)) for extent in photo.shape[:2])
        pairs.append(_pair(photo[top : top + side, left : left + side], recipe, metadata, rng))
    return pairs


def whole_pictures(folder: Path, recipe: Recipe, metadata: ModelMetadata) -> list[Pair]:
    """Of a test set: by Floyd-Steinberg for models of 1-bit halftones, as their tables have it; for the others as in training."""
    rng = np.random.default_rng(0)
    plain = metadata.input_color == "grey" and expects_clean_dots(metadata)
    pairs = []
    for path in photo_paths(folder):
        photo = _read(path, metadata)
        height, width = (extent // metadata.size_multiple * metadata.size_multiple for extent in photo.shape[:2])
        photo = photo[:height, :width]
        if plain:
            dots = to_unit(halftone(photo, "floyd-steinberg"))
            given = with_method(dots, "floyd-steinberg") if metadata.conditions else dots
            pairs.append(Pair(_planes(given, metadata, rng), photo))
        else:
            pairs.append(_pair(photo, recipe, metadata, rng))
    return pairs


def _pair(photo: np.ndarray, recipe: Recipe, metadata: ModelMetadata, rng: np.random.Generator) -> Pair:
    given, target = degrade(np.ascontiguousarray(photo), recipe.data.families, rng)
    return Pair(_planes(given, metadata, rng), from_unit(target, np.uint8))


def _planes(given: np.ndarray, metadata: ModelMetadata, rng: np.random.Generator) -> np.ndarray:
    """HxW or HxWxC -> (1, planes, H, W) float32, with noise where the network needs it."""
    planes = np.moveaxis(np.atleast_3d(given), -1, 0)[None].astype(np.float32)
    if metadata.needs_noise:
        planes = np.concatenate([planes, rng.standard_normal(planes[:, :1].shape, np.float32)], axis=1)
    return np.ascontiguousarray(planes)


def _read(path: Path, metadata: ModelMetadata) -> np.ndarray:
    return (read_rgb if metadata.input_color == "rgb" else read_grey)(path)


def restored(run: Run, pairs: Sequence[Pair]) -> list[np.ndarray]:
    """float32 HxW or HxWx3, not rounded."""
    return [np.moveaxis(run(pair.given)[0], 0, -1).reshape(pair.photo.shape) for pair in pairs]


def cost(variant: Sequence[np.ndarray], fp32: Sequence[np.ndarray], pairs: Sequence[Pair]) -> Cost:
    """Means of the pictures' PSNR, after rounding to 8 bits; of the variant against fp32 before it, over all pixels together."""
    scores = [[psnr(from_unit(result, np.uint8), pair.photo) for result, pair in zip(results, pairs)] for results in (fp32, variant)]
    error = np.mean([np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(variant, fp32)])
    against = float(-10 * np.log10(max(error, 1e-12)))
    return Cost(float(np.mean(scores[0])), float(np.mean(scores[1])), against)


def make_int8(model: ModelProto, calibration: Sequence[Pair], checks: Sequence[Pair], threads: int) -> tuple[ModelProto, list[str]]:
    """The Q/DQ graph, and the convolutions that stay in float."""
    names = [name_of(node) for node in convolutions(model)]
    if len(names) < 3:
        raise PrecisionError(
            "The graph has fewer than three convolutions with constant weights; there is nothing to quantise between them."
        )
    scales = find_scales(model, (pair.given for pair in calibration), threads)
    fp32 = restored(runner(model, threads), checks)

    def check(keep: Sequence[str]) -> Cost:
        return cost(restored(runner(quantise(model, scales, keep), threads), checks), fp32, checks)

    keep = [names[0], names[-1]]
    found = check(keep)
    if found.lost > MAY_LOSE_ON_VAL:
        gains = {name: check([*keep, name]).against_fp32 for name in names if name not in keep}
        for name in sorted(gains, key=lambda name: gains[name], reverse=True)[: len(names) // 2]:
            keep.append(name)
            found = check(keep)
            if found.lost <= MAY_LOSE_ON_VAL:
                break
    print(f"int8: {len(names) - len(keep)} of {len(names)} convolutions; on val {found}", flush=True)
    return quantise(model, scales, keep), keep


def runner(model: ModelProto, threads: int) -> Run:
    session = open_session(model, threads)
    source = session.get_inputs()[0].name
    return lambda given: np.asarray(session.run(None, {source: given})[0])


def int8_runner(data: bytes, threads: int) -> tuple[Run, str]:
    """As users run it on a CPU, and by what."""
    if find_spec("openvino") is None:
        return runner(onnx.load_from_string(data), threads), "onnxruntime"
    from sdk.backends.openvino import OpenVinoBackend

    return OpenVinoBackend(data, threads=threads, precision="int8").run, "openvino"


def make(model: str, data: Path, output: Path, recipe_name: str | None, precisions: Sequence[str], threads: int) -> dict[str, Cost]:
    """Write <output>/<name>_<precision>.onnx of each precision; gives what it costs on Kodak24."""
    source, where = model_bytes(model)
    metadata = ModelMetadata.from_props(read_props(source, where), where)
    if precision_of(source, where) != "fp32" or metadata.task not in ("inverse-halftoning", "bit-depth-expansion"):
        raise ModelError(f"{where} is not an fp32 model that restores photographs; its variants are made of such models.")
    recipe = load_recipe(recipe_name or metadata.training.get("recipe", metadata.name))
    graph = with_float_weights(onnx.load_from_string(source))
    pictures = whole_pictures(data / "test" / "kodak24", recipe, metadata)
    fp32 = restored(runner(graph, threads), pictures)
    costs: dict[str, Cost] = {}
    for precision in precisions:
        facts = replace(metadata, name=f"{metadata.name}_{precision}", precision=precision, parity_max_abs_diff=None)
        if precision == "int8":
            calibration, checks = (crops(data / "val", recipe, metadata, number, 128, seed) for seed, number in enumerate((32, 12)))
            variant, keep = make_int8(graph, calibration, checks, threads)
            encoded = variant.SerializeToString()
            run, by = int8_runner(encoded, threads)
            facts = replace(facts, training={**facts.training, "kept_in_float": keep})
        else:
            encoded = in_precision(source, precision, where)
            run, by = runner(rounded_to_fp16(graph), threads), "onnxruntime, results rounded to fp16"
        costs[precision] = found = cost(restored(run, pictures), fp32, pictures)
        metrics = {LOST: round(found.lost, 4), TO_FP32: round(found.against_fp32, 2)}
        path = output / f"{_stem(model)}_{precision}.onnx"
        write(onnx.load_from_string(encoded), replace(facts, metrics=metrics), path)
        verdict = "may be released" if found.lost <= MAY_LOSE else f"is refused for release: at most {MAY_LOSE} dB may be lost"
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB; Kodak24, {by}: {found}; {verdict}", flush=True)
    return costs


def _stem(model: str) -> str:
    return model if model in releases() else Path(model).stem


def note(output: Path, model: str, costs: dict[str, Cost]) -> None:
    """Into precision.json, beside what is there of other models."""
    path = output / "precision.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for precision, found in costs.items():
        known[f"{_stem(model)}_{precision}"] = {**vars(found), "lost": found.lost, "may_be_released": found.lost <= MAY_LOSE}
    write_json(output, path.stem, known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="released models' names, or .onnx files of export.to_onnx")
    parser.add_argument("--data", type=Path, required=True, help="folder with val/ and test/kodak24/")
    parser.add_argument("--precisions", nargs="+", default=["fp16", "int8"], choices=["fp16", "int8"])
    parser.add_argument("--recipe", help="whose degradations the pictures get (default: the recipe it was trained by)")
    parser.add_argument("--threads", type=count, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/precision"), help="folder for the files (default: runs/precision)")
    options = parser.parse_args()
    stems = [_stem(model) for model in options.models]
    if twins := {stem for stem in stems if stems.count(stem) > 1}:
        raise ModelError(f"Several models would become {' and '.join(sorted(twins))} in {options.output}; make them one by one, with -o.")
    for model in options.models:
        costs = make(model, options.data, options.output, options.recipe, options.precisions, options.threads)
        note(options.output, model, costs)


if __name__ == "__main__":
    with said_plainly():
        main()
