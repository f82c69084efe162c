"""What all measurements share: their command line, their files, and what they ran on."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from sdk.files.whole_files import write_whole
from sdk.metadata import ModelMetadata
from sdk.metrics import psnr, ssim
from training.data import DataError
from training.metrics import Lpips

LPIPS_WEIGHTS = "alexnet_features_lpips_fp16.npz"


def parser(doc: str | None, data: str) -> argparse.ArgumentParser:
    """``MODEL --data DIR -o FOLDER``; ``doc`` is the module's, ``data`` says what DIR holds."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model", help="a released model's name, or an .onnx file")
    made.add_argument("--data", type=Path, required=True, help=data)
    made.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    return made


def lpips_of(data: Path) -> Lpips:
    """LPIPS with the weights in the data folder, or those of the ``lpips`` package."""
    weights = data / LPIPS_WEIGHTS
    return Lpips(weights if weights.is_file() else None)


def software() -> str:
    return f"{platform.machine()}, onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}"


def result_of(model: ModelMetadata, rows: list[dict]) -> dict:
    """What a table's JSON holds: which weights were measured, on what software, and the rows."""
    return {"model": model.name, "training": model.training, "software": software(), "rows": rows}


def weights_of(training: Mapping[str, Any]) -> str:
    """What the rows of a table of several models say of their weights; ``export.release`` reads it back."""
    return json.dumps(training, sort_keys=True)


def mean_scores(pairs: Iterable[tuple[np.ndarray, np.ndarray]], lpips: Lpips) -> dict[str, float]:
    """Mean PSNR (dB), SSIM and LPIPS of (restoration, photograph) pairs."""
    means = np.mean([(psnr(restored, photo), ssim(restored, photo), lpips(restored, photo)) for restored, photo in pairs], axis=0)
    return {"psnr": round(float(means[0]), 3), "ssim": round(float(means[1]), 4), "lpips": round(float(means[2]), 4)}


def cell(scores: Mapping[str, float] | None, missing: str = "not measured") -> str:
    """Of a page's table; ``missing`` where there are no scores."""
    return missing if scores is None else f"{scores['psnr']:.2f} / {scores['ssim']:.3f} / {scores['lpips']:.3f}"


def by_key(rows: Iterable[dict]) -> dict[tuple[str, str, str], dict]:
    """(restorer, dither, set) -> row."""
    return {(row["restorer"], row["dither"], row["set"]): row for row in rows}


def present(wanted: Sequence[str], sets: Collection[str], data: Path) -> list[str]:
    """Those test sets that are there; what is missing is named, and if that is all, it is a ``DataError``."""
    found = [name for name in wanted if name in sets]
    missing = ", ".join(name for name in wanted if name not in sets)
    if not found:
        raise DataError(f"{data}/test has none of the sets that are measured here: {missing}.")
    if missing:
        print(f"{data}/test has no {missing}: nothing is measured there.")
    return found


def write_json(folder: Path, name: str, result: dict) -> None:
    """``folder``/<name>.json, whole or not at all; folders on the way are made."""
    write_whole(folder / f"{name}.json", (json.dumps(result, indent=1) + "\n").encode())


def write(output: Path, kind: str, result: dict, page: str) -> None:
    """<output>/evaluations/<kind>/<model>.json and the page <output>/<kind>.md, which is printed, too."""
    write_json(output / "evaluations" / kind, result["model"], result)
    write_page(output / f"{kind}.md", page)


def write_page(path: Path, text: str) -> None:
    """Whole or not at all, and print it."""
    write_whole(path, text.encode())
    print(text)
