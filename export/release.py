"""Release a measured model: ``python -m export.release runs/fast/fast.onnx docs/evaluations/fast.json --summary "..."``.

Writes the measured figures into the file's metadata, copies it to sdk/models/, in place of an earlier release of that name, and renews its
row in models.toml. A file of ``export.precision`` that loses more than 0.05 dB on Kodak24 is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from export.precision import LOST, MAY_LOSE, TO_FP32
from export.to_onnx import write
from sdk.catalog import FOLDER, tomllib
from sdk.errors import ModelError
from sdk.files.whole_files import write_whole
from sdk.metadata import ModelMetadata
from training.errors import said_plainly

HEADLINE = (
    "kodak24/floyd-steinberg/psnr",
    "kodak24/floyd-steinberg/ssim",
    "kodak24/floyd-steinberg/lpips",
    "cbsd68/floyd-steinberg/psnr",
    "kodak24/grey print/psnr",
    "kodak24/colour print/psnr",
    "kodak24/256 colours/psnr",
    "kodak24/16 colours/psnr",
    "kodak24/colour Floyd-Steinberg/psnr",
    "coco_val50@256/colour Floyd-Steinberg/psnr",
    "kodak24/tones/psnr",
    *(f"coco_val50@256/{bits} bits, {colour}/psnr" for colour in ("colour", "grey") for bits in (3, 1, 2, 4, 5)),
)
"""The metrics that models.toml repeats; the file's metadata has all. The first that a model has is the one that README names."""


def release(model: Path, evaluation: Path, summary: str, folder: Path = FOLDER) -> ModelMetadata:
    """Returns the metadata with its metrics; the released file is ``folder``/<name>.onnx."""
    graph = onnx.load(model)
    metadata = ModelMetadata.from_props({prop.key: prop.value for prop in graph.metadata_props}, str(model))
    refuse_what_loses(metadata, model)
    costs = {key: metadata.metrics[key] for key in (LOST, TO_FP32) if metadata.precision != "fp32"}
    metadata = replace(metadata, metrics=metrics_of(metadata, evaluation))
    if not metadata.metrics:
        raise ModelError(f"{evaluation} has no figures of {metadata.name!r}; run: python -m training.evaluate {model} --data DIR")
    metadata = replace(metadata, metrics=metadata.metrics | costs)
    target = folder / f"{metadata.name}.onnx"
    write(graph, metadata, target)
    row = {
        "file": target.name,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "summary": summary,
        "licence": metadata.licence,
        "kinds": list(metadata.kinds) if metadata.precision == "fp32" else [],  # "auto" takes the model it was made of
        "input_color": metadata.input_color,
        "metrics": {key: metadata.metrics[key] for key in HEADLINE if key in metadata.metrics},
    }
    manifest = folder / "models.toml"
    table = tomllib.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    write_whole(manifest, to_toml({**table, metadata.name: row}).encode())
    return metadata


def refuse_what_loses(metadata: ModelMetadata, model: Path) -> None:
    """A ``ModelError`` for fp16 and int8 files that were not measured, or lose too much."""
    if metadata.precision == "fp32":
        return
    lost = metadata.metrics.get(LOST)
    if lost is None or TO_FP32 not in metadata.metrics:
        raise ModelError(f"{model} does not say what its precision costs; make it by: python -m export.precision MODEL --data DIR")
    if lost > MAY_LOSE:
        raise ModelError(f"{model} loses {lost:.3f} dB on Kodak24 against fp32; at most {MAY_LOSE} dB may be lost for a release.")


def metrics_of(metadata: ModelMetadata, evaluation: Path) -> dict[str, float]:
    """``<set>/<method>/<metric>`` -> value, of the model's own rows in the JSON of ``training.evaluate``; a ``ModelError`` if that was
    measured with other weights. Tables of several models tell the weights in each row."""
    measured = json.loads(evaluation.read_text(encoding="utf-8"))
    own = [row for row in measured["rows"] if row["restorer"] == metadata.name]
    weights = [measured["training"]] if "training" in measured else [json.loads(row.get("model") or "null") for row in own]
    if any(each != metadata.training for each in weights):
        raise ModelError(
            f"{evaluation} was not measured with these weights of {metadata.name!r}; measure them: python -m training.evaluate ..."
        )
    return {f"{row['set']}/{row['dither']}/{metric}": row[metric] for row in own for metric in ("psnr", "ssim", "lpips") if metric in row}


def to_toml(table: dict[str, dict[str, Any]]) -> str:
    """models.toml: one table a model; strings and numbers are written as in JSON, which TOML shares."""
    lines = ["# Written by `python -m export.release`."]
    for name, row in table.items():
        lines.append(f"\n[{name if re.fullmatch(r'[A-Za-z0-9_-]+', name) else json.dumps(name)}]")
        for key, value in row.items():
            if isinstance(value, dict):
                value = "{ " + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + " }"
            else:
                value = json.dumps(value)
            lines.append(f"{key} = {value}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an .onnx file of export.to_onnx")
    parser.add_argument("evaluation", type=Path, help="the .json of training.evaluate for it")
    parser.add_argument("--summary", required=True, help="one line for `inverse-halftoner models`")
    options = parser.parse_args()
    metadata = release(options.model, options.evaluation, options.summary)
    print(f"released {metadata.name}: {len(metadata.metrics)} figures")


if __name__ == "__main__":
    with said_plainly():
        main()
