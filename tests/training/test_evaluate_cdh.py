"""The protocol of the CDH paper, and what is measured of made halftones."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import sdk
from sdk.halftoning import halftone
from training import evaluate_cdh, evaluate_halftones
from training.data import DataError
from training.errors import TrainingError
from training.evaluate_cdh import LEARNT, PROTOCOL, UNSEEN, mean_of, measure_all
from training.evaluate_halftones import low_frequency_power, measured, spectrum
from training.metrics import tone_error, tone_psnr


def blue(photo: np.ndarray, seed: int) -> np.ndarray:
    return halftone(photo, "blue-noise", seed=seed)


def white_noise(photo: np.ndarray, seed: int) -> np.ndarray:
    return halftone(photo, "white-noise", seed=seed)


def test_learnt_and_unseen_are_the_nine_error_diffusions() -> None:
    assert sorted(LEARNT + UNSEEN) == sorted(sdk.halftoning.error_diffusion.KERNELS)


def test_what_is_measured_is_not_measured_again(tmp_path: Path, photo: np.ndarray) -> None:
    for folder in ("kodak24", "coco_val50"):
        (tmp_path / "test" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "test" / folder / "a.png"), photo[:288, :320])
    calls = []

    def restore(white: np.ndarray) -> np.ndarray:
        calls.append(white.shape)
        return cv2.GaussianBlur(white.astype(np.uint8) * 255, (0, 0), 1.2)

    path, lpips = tmp_path / "cdh.json", lambda a, b: 0.5
    arguments = {"data": tmp_path, "path": path, "lpips": lpips, "ran_on": "machine 1"}
    rows = measure_all({"blur": (restore, "1")}, list(UNSEEN), **arguments)  # type: ignore[arg-type]
    assert calls == [(288, 320)] + [(256, 256)] * 4
    assert mean_of(rows, "blur", LEARNT) is None
    mean = mean_of(rows, "blur", UNSEEN)
    assert mean is not None
    assert mean["psnr"] == pytest.approx(np.mean([row["psnr"] for row in rows if row["set"] == PROTOCOL]))

    measure_all({"blur": (restore, "1")}, [*UNSEEN, "burkes"], **arguments)  # type: ignore[arg-type]
    assert len(calls) == 6
    rows = measure_all({"blur": (restore, "trained on")}, list(UNSEEN), **arguments)  # type: ignore[arg-type]
    assert len(calls) == 11
    assert len(rows) == 5  # no mean of two models: burkes of the old one is gone
    assert {row["model"] for row in rows} == {"trained on"}
    slow = {"slow": (restore, "1")}
    with pytest.raises(TrainingError, match=r"cdh\.json also holds rows of blur\. Name these, too"):  # else the page's command is not all
        measure_all(slow, ["burkes"], **arguments)  # type: ignore[arg-type]
    both = {"blur": (restore, "trained on"), **slow}
    rows = measure_all(both, ["burkes"], **{**arguments, "ran_on": "machine 2"}, slow=("slow",))  # type: ignore[arg-type]
    assert [row["set"] for row in rows if row["restorer"] == "slow"] == ["kodak24"]
    assert {(row["restorer"], row["software"]) for row in rows if row["dither"] != "burkes"} == {
        ("blur", "machine 1"), ("slow", "machine 2"),
    }  # fmt: skip

    (tmp_path / "test" / "coco_val50").rename(tmp_path / "test" / "others")
    with pytest.raises(DataError, match=r"lacks coco_val50@256"):
        measure_all({"blur": (restore, "2")}, ["burkes"], **arguments)  # type: ignore[arg-type]

    page = evaluate_cdh.page({"command": "c", "rows": json.loads(path.read_text())["rows"]})
    assert "(machine 1; machine 2)." in page
    assert f"| blur | {mean['psnr']:.2f} / " in page
    assert "| sierra (unseen)" not in page
    assert "| sierra-lite (unseen) |" in page


def test_white_noise_is_white_and_blue_noise_is_not() -> None:
    frequencies, power = spectrum(white_noise, 0.3)
    assert frequencies[0] == pytest.approx(1 / 128)
    assert power[5:].mean() == pytest.approx(1, rel=0.1)
    assert low_frequency_power(white_noise, 0.3) == pytest.approx(0, abs=1)
    assert low_frequency_power(blue, 0.3) < -10
    _, power = spectrum(blue, 0.3)
    around = np.abs(frequencies - 0.3**0.5) < 0.15
    assert power[around].mean() > 1.3, "the dots' own frequencies are the strongest"
    assert power[around].mean() > 2 * power[~around].mean()


def test_tones_of_error_diffusion_are_truer_than_those_of_noise(photo: np.ndarray) -> None:
    crop = photo[:128, :128]
    diffused = tone_error(halftone(crop, "floyd-steinberg"), crop)
    assert 3 * diffused < tone_error(white_noise(crop, 0), crop)
    assert tone_psnr(halftone(crop, "floyd-steinberg").astype(np.uint8) * 255, crop) == pytest.approx(
        20 * np.log10(255 / diffused), abs=0.01
    )


def test_the_page_tells_tones_spectra_and_seeds(photo: np.ndarray) -> None:
    halftones = {"floyd-steinberg": lambda picture, _: halftone(picture, "floyd-steinberg"), "blue-noise": blue, "noise": white_noise}
    rows = [measured(title, made, [photo[:64, :64]]) for title, made in halftones.items()]
    assert rows[0]["differs_by_seed"] == 0
    assert rows[2]["differs_by_seed"] > 0.4
    assert 255 / 10 ** (rows[1]["psnr"] / 20) == pytest.approx(rows[1]["tone_error"], rel=1e-3)
    page = evaluate_halftones.page({"command": "c", "software": "s", "rows": rows})
    assert "| blue-noise |" in page
    assert "+0.0 |" in next(line for line in page.splitlines() if line.startswith("| blue-noise"))
    assert "| 1.00 |" in next(line for line in page.splitlines() if line.startswith("| floyd-steinberg"))
