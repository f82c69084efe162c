"""The released model against its promises, measured anew on Kodak24 (runs where INVERSE_HALFTONER_DATA is given)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import sdk
from sdk.halftoning.error_diffusion import KERNELS
from training.baselines import tune
from training.data import photo_paths, read_grey
from training.evaluate import DITHERS, page, tuning_pictures
from training.metrics import psnr, ssim

ROOT = Path(__file__).parents[1]
TITLES = {dither.title: dither for dither in DITHERS}


def table_rows(name: str) -> list[dict]:
    return json.loads((ROOT / "docs" / "evaluations" / f"{name}.json").read_text())["rows"]


def restored_scores(restorer: sdk.InverseHalftoner, folder: Path, title: str) -> tuple[float, float]:
    """Mean PSNR and SSIM of one row of the table."""
    photos = [read_grey(path) for path in photo_paths(folder)]
    scores = []
    for photo in photos:
        restored = restorer.run(TITLES[title](photo))
        scores.append((psnr(restored, photo), ssim(restored, photo)))
    return tuple(np.mean(scores, axis=0))


@pytest.mark.slow
def test_floyd_steinberg_on_kodak24_is_what_the_model_says(restorer: sdk.InverseHalftoner, data: Path) -> None:
    measured_psnr, measured_ssim = restored_scores(restorer, data / "test" / "kodak24", "floyd-steinberg")
    assert measured_psnr == pytest.approx(restorer.metadata.metrics["kodak24/floyd-steinberg/psnr"], abs=0.01)
    assert measured_ssim == pytest.approx(restorer.metadata.metrics["kodak24/floyd-steinberg/ssim"], abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize(("title", "gain"), [("simple-floyd-steinberg", 2.8), ("sierra-lite", 2.8), ("bayer 8x8", 1.8)])
def test_beats_the_best_tuned_classical_filter(restorer: sdk.InverseHalftoner, data: Path, title: str, gain: float) -> None:
    """Re-measured for the methods with the least room; the table in docs/ has all."""
    tuned = tune([(TITLES[title](photo), photo) for photo in tuning_pictures(data)])
    photos = [read_grey(path) for path in photo_paths(data / "test" / "kodak24")]
    baseline = max(np.mean([psnr(function(TITLES[title](photo)), photo) for photo in photos]) for _, function in tuned.values())
    assert restored_scores(restorer, data / "test" / "kodak24", title)[0] >= baseline + gain


def test_the_published_table_is_of_the_released_model(restorer: sdk.InverseHalftoner) -> None:
    ours = {f"{r['set']}/{r['dither']}/psnr": r["psnr"] for r in table_rows("fast")}
    assert ours == {key: value for key, value in restorer.metadata.metrics.items() if key.endswith("/psnr")}


def test_targets_of_the_table() -> None:
    """What the README claims follows from the table."""
    rows = [row for name in ("fast", "baselines") for row in table_rows(name)]
    kodak = {(r["restorer"], r["dither"]): r["psnr"] for r in rows if r["set"] == "kodak24"}
    assert kodak["fast", "floyd-steinberg"] >= 30.5
    assert np.mean([kodak["fast", name] for name in KERNELS]) >= 30.0
    for title in TITLES:
        best = max(kodak["Gaussian", title], kodak["non-local means", title])
        assert kodak["fast", title] >= best + (2.8 if title in KERNELS else 1.8), title


def test_models_page_is_made_from_the_tables() -> None:
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == page(ROOT / "docs" / "evaluations")
