"""The measurements of colour and of bit depth, on two small pictures, and what their pages say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import sdk
from sdk.halftoning.palettes import quantise_bits
from training import evaluate_colour, evaluate_companding
from training.errors import TrainingError
from training.evaluate import centre_256, dithers_named
from training.metrics import psnr


class NoLpips:
    """Stands in where no weights are at hand."""

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        return 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """test/kodak24, test/coco_val50 and val with a small colour picture each."""
    root = tmp_path_factory.mktemp("data")
    crop = photo[100:220, 300:420]
    colour = np.stack([crop, crop[::-1], crop[:, ::-1]], axis=-1)
    for name in ("val/a.png", "test/kodak24/b.png", "test/coco_val50/c.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), colour)
    return root


def test_the_protocol_of_the_papers_takes_colour_too() -> None:
    assert centre_256(np.zeros((300, 500, 3), np.uint8)).shape == (256, 256, 3)
    assert centre_256(np.zeros((300, 500), np.uint8)).shape == (256, 256)


def test_rows_are_found_by_their_titles() -> None:
    assert [dither.title for dither in dithers_named(["bayer 8x8", "atkinson"])] == ["bayer 8x8", "atkinson"]
    with pytest.raises(sdk.errors.OptionError, match="bayer 8x8"):
        dithers_named(["bayer 8"])


def test_colour(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kinds, title in (("PALETTES", "16 colours"), ("HALFTONES", "colour Floyd-Steinberg")):
        monkeypatch.setattr(evaluate_colour, kinds, [row for row in getattr(evaluate_colour, kinds) if row.title == title])
    results = []
    for model in ("gif", "fast"):
        rows = list(evaluate_colour.evaluate(sdk.InverseHalftoner(model, device="cpu"), folder, NoLpips()))
        results.append({"model": model, "software": "this machine", "rows": rows})
    score = {(row["restorer"], row["dither"], row["set"]): row for result in results for row in result["rows"]}
    as_it_is = score["as it is", "16 colours", "kodak24"]
    assert as_it_is["worst_gain"] == 0
    assert score["Gaussian", "16 colours", "kodak24"]["psnr"] >= as_it_is["psnr"] - 0.05  # its narrowest blur does next to nothing
    halftone = "colour Floyd-Steinberg"
    assert score["fast", halftone, "kodak24"]["psnr"] == score["fast, per channel", halftone, "kodak24"]["psnr"]
    assert score["fast", halftone, "coco_val50@256"]["worst_gain"] > 5
    restorer = sdk.InverseHalftoner("fast", device="cpu")
    anew = list(evaluate_colour.evaluate(restorer, folder, NoLpips(), ["fast, per channel"]))
    assert {row["restorer"] for row in anew} == {"fast, per channel"}
    rows = results[1]["rows"]
    stale = [{**row, "psnr": 0.0} if row["restorer"] == "fast, per channel" else row for row in rows]
    assert stale != evaluate_colour.with_new(stale, anew) == rows
    with pytest.raises(TrainingError, match="has no row fast, per channel / "):
        evaluate_colour.with_new([row for row in rows if row not in anew], anew)
    with pytest.raises(sdk.errors.OptionError, match="is called 'fast, per chanel'"):
        list(evaluate_colour.evaluate(restorer, folder, NoLpips(), ["fast, per chanel"]))
    page = evaluate_colour.page(results)
    assert "| kodak24, 16 colours |" in page
    assert "evaluate_colour fast" in page


@pytest.mark.parametrize("bits", evaluate_companding.BITS)
def test_the_middle_of_the_interval_is_best_for_even_tones(bits: int) -> None:
    tones = np.arange(256, dtype=np.uint8)[None]
    cut = quantise_bits(tones, bits)
    middle = psnr(evaluate_companding.middle(cut, bits), tones)
    assert all(middle >= psnr(cut + np.uint8(shift), tones) for shift in range(2 ** (8 - bits)))
