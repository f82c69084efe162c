"""The released model against its promises, measured anew on Kodak24 (runs where INVERSE_HALFTONER_DATA is given)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import sdk
from sdk.halftoning.error_diffusion import KERNELS
from sdk.metrics import psnr, ssim
from tests.published import result
from training.baselines import FILTERS
from training.data import photo_paths, read_grey
from training.evaluate import DITHERS
from training.testsets import tuning_pictures
from training.tuning import tune

TITLES = {dither.title: dither for dither in DITHERS}


@cache
def restored_scores(restorer: sdk.InverseHalftoner, folder: Path, title: str, every: int = 1) -> tuple[float, float]:
    """Mean PSNR and SSIM of one row of the table, of all pictures or of every second one ..."""
    photos = [read_grey(path) for path in photo_paths(folder)[::every]]
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
@pytest.mark.parametrize(("title", "gain"), [("atkinson", 2.8), ("clustered-dot 8x8", 1.8)])
def test_beats_the_best_tuned_filter_measured_anew(restorer: sdk.InverseHalftoner, data: Path, title: str, gain: float) -> None:
    tuned = tune(FILTERS, [((TITLES[title](photo),), photo) for photo in tuning_pictures(data, 10)])
    photos = [read_grey(path) for path in photo_paths(data / "test" / "kodak24")[::2]]
    baseline = max(np.mean([psnr(function(TITLES[title](photo)), photo) for photo in photos]) for _, function in tuned.values())
    assert restored_scores(restorer, data / "test" / "kodak24", title, every=2)[0] >= baseline + gain


@pytest.mark.slow
def test_bf16_on_openvino_loses_at_most_005_db(restorer: sdk.InverseHalftoner, data: Path) -> None:
    try:
        bf16 = sdk.InverseHalftoner("fast", device="cpu", backend="openvino", precision="bf16")
    except (sdk.errors.DeviceError, sdk.errors.MissingDependencyError) as error:
        pytest.skip(str(error))
    folder = data / "test" / "kodak24"
    fp32_psnr, bf16_psnr = (restored_scores(each, folder, "floyd-steinberg")[0] for each in (restorer, bf16))
    print(f"Kodak24, Floyd-Steinberg: fp32 {fp32_psnr:.3f} dB, bf16 {bf16_psnr:.3f} dB")
    assert bf16_psnr >= fp32_psnr - 0.05


MISSED = pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="the released model was trained for 294 minutes on two CPU cores; it needs more"
)
# What the released model misses: a strict xfail fails as soon as one of these is reached, and then it is taken out here.
FLOYD_STEINBERG_MISSES = {"psnr", "ssim"}
CBSD68_MISSES = {"psnr"}
GAIN_MISSES = {"floyd-steinberg", "simple-floyd-steinberg", "burkes", "sierra-lite", "bayer 8x8", "blue-noise"}


def kodak24() -> dict[tuple[str, str], dict]:
    return {
        (row["restorer"], row["dither"]): row for name in ("fast", "baselines") for row in result(name)["rows"] if row["set"] == "kodak24"
    }


def gain_over_the_best_filter(title: str) -> float:
    rows = kodak24()
    return rows["fast", title]["psnr"] - max(rows["Gaussian", title]["psnr"], rows["non-local means", title]["psnr"])


@pytest.mark.parametrize("title", sorted(TITLES))
def test_better_than_every_filter_by_every_measure(title: str) -> None:
    rows = kodak24()
    for baseline in ("Gaussian", "non-local means"):
        assert rows["fast", title]["psnr"] > rows[baseline, title]["psnr"]
        assert rows["fast", title]["ssim"] > rows[baseline, title]["ssim"]
        assert rows["fast", title]["lpips"] < rows[baseline, title]["lpips"]


def test_target_clustered_dot() -> None:
    assert gain_over_the_best_filter("clustered-dot 8x8") >= 1.8


@pytest.mark.parametrize(("measure", "target"), [("psnr", 30.5), ("ssim", 0.850)])
def test_target_floyd_steinberg(measure: str, target: float, request: pytest.FixtureRequest) -> None:
    if measure in FLOYD_STEINBERG_MISSES:
        request.applymarker(MISSED)
    assert kodak24()["fast", "floyd-steinberg"][measure] >= target


def test_target_mean_of_the_error_diffusions() -> None:
    assert np.mean([kodak24()["fast", name]["psnr"] for name in KERNELS]) >= 30.0


def test_target_cbsd68(request: pytest.FixtureRequest) -> None:
    if "psnr" in CBSD68_MISSES:
        request.applymarker(MISSED)
    assert next(row["psnr"] for row in result("fast")["rows"] if row["set"] == "cbsd68") >= 29.3


@pytest.mark.parametrize("title", sorted(KERNELS))
def test_target_gain_on_error_diffusion(title: str, request: pytest.FixtureRequest) -> None:
    if title in GAIN_MISSES:
        request.applymarker(MISSED)
    assert gain_over_the_best_filter(title) >= 2.8


@pytest.mark.parametrize("title", ["bayer 8x8", "blue-noise"])
def test_target_gain_on_ordered_dither(title: str, request: pytest.FixtureRequest) -> None:
    if title in GAIN_MISSES:
        request.applymarker(MISSED)
    assert gain_over_the_best_filter(title) >= 1.8
