"""The measurements of colour and of bit depth, on two small pictures, and what their pages say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import sdk
from sdk.halftoning.palettes import quantise_bits
from sdk.metrics import psnr
from training import evaluate, evaluate_colour, evaluate_companding
from training.data import DataError
from training.errors import TrainingError
from training.evaluate import DITHERS, dithers_named, with_kept
from training.results import present, result_of, write_json
from training.testsets import centre_256


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


def test_sets_that_are_not_there_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(sdk.errors.OptionError, match=r"no set 'kodak'. Did you mean 'kodak24'"):
        list(evaluate.evaluate(lambda dither: {}, folder, NoLpips(), DITHERS[:1], ["kodak"]))
    assert present(["kodak24", "cbsd68"], ["kodak24", "set5"], folder) == ["kodak24"]
    assert "no cbsd68" in capsys.readouterr().out
    with pytest.raises(DataError, match="none of the sets that are measured here: cbsd68, set14"):
        present(["cbsd68", "set14"], ["kodak24"], folder)


def test_measuring_a_part_keeps_the_rest_of_the_same_weights(tmp_path: Path) -> None:
    metadata = sdk.InverseHalftoner("fast", device="cpu").metadata
    row = {"restorer": "fast", "dither": "stucki", "set": "kodak24", "psnr": 1.0}
    others = [{**row, "set": "set5"}, {**row, "dither": "burkes"}]
    write_json(tmp_path, "fast", result_of(metadata, [row, *others]))
    better, new = {**row, "psnr": 2.0}, {**row, "set": "set12"}
    assert with_kept(tmp_path / "fast.json", result_of(metadata, [better, new]))["rows"] == [better, *others, new]
    for key in ("training", "software"):
        assert with_kept(tmp_path / "fast.json", {**result_of(metadata, [better]), key: {"steps": 1}})["rows"] == [better]
    assert with_kept(tmp_path / "prl.json", result_of(metadata, [better]))["rows"] == [better]


def test_sets_that_are_asked_for_are_measured_with_every_method_that_is(folder: Path) -> None:
    restorers = {"as it is": ({}, lambda white: white * np.uint8(255))}
    asked = list(evaluate.evaluate(lambda _: restorers, folder, NoLpips(), dithers_named(["stucki", "bayer 8x8"]), ["coco_val50"]))
    assert [(row["dither"], row["set"]) for row in asked] == [("stucki", "coco_val50"), ("bayer 8x8", "coco_val50")]
    everything = list(evaluate.evaluate(lambda _: restorers, folder, NoLpips(), dithers_named(["stucki"])))
    assert [row["set"] for row in everything] == ["kodak24"]
    filtered = [{**row, "restorer": "Gaussian"} for row in everything]
    page = evaluate.markdown("as it is", "this machine", asked, filtered)
    assert "--methods stucki 'bayer 8x8' --sets coco_val50" in page
    assert "| coco_val50, stucki |" in page


def test_the_baselines_are_measured_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", "baselines", "--data", str(folder), "--sets", "kodak24"])
    with pytest.raises(sdk.errors.OptionError, match="measured whole"):
        evaluate.main()


def test_a_table_that_is_not_there_cannot_be_mended(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["evaluate_colour", "fast", "--data", str(folder), "--only", "as it is", "-o", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(TrainingError, match=r"no .*fast\.json.*without --only"):
        evaluate_colour.main()
