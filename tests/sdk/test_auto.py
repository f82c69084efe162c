"""``InverseHalftoner("auto")``: each picture goes to the model made for its kind, and what is none stays as it is."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.auto import model_for
from sdk.cli import main
from tests.conftest import SAMPLES


@pytest.fixture(scope="module")
def auto() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("auto", device="cpu")


def test_every_release_says_what_it_is_for() -> None:
    assert model_for("dither") == model_for("ordered") == "fast"
    assert model_for("screen") == "scan"
    assert model_for("continuous") is None


def test_dithers_go_to_fast(auto: sdk.InverseHalftoner, restorer: sdk.InverseHalftoner, white: np.ndarray) -> None:
    assert np.array_equal(auto.run(white), restorer.run(white))
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("dither", "fast")


def test_scans_go_to_scan(auto: sdk.InverseHalftoner) -> None:
    scan = np.asarray(Image.open(SAMPLES / "gallica_press1930s_06.jpg"))
    restored = auto.run(scan)
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("screen", "scan")
    assert np.array_equal(restored, sdk.InverseHalftoner("scan", device="cpu").run(scan))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_photographs_come_back_unchanged_with_a_warning(auto: sdk.InverseHalftoner, photo: np.ndarray, dtype: type) -> None:
    same = (photo / 255).astype(np.float32) if dtype == np.float32 else photo.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    with pytest.warns(sdk.NoHalftoneWarning, match="continuous"):
        restored = auto.run(same)
    assert restored.dtype == dtype
    assert np.array_equal(restored, same)
    assert auto.choice is not None
    assert auto.choice.model is None


def test_models_load_when_first_needed_and_are_described(white: np.ndarray) -> None:
    auto = sdk.InverseHalftoner("auto", device="cpu", tile=512)
    auto.run(white[:128, :128])
    loaded = auto.describe()["loaded"]
    assert [model["model"] for model in loaded] == ["fast"]
    assert loaded[0]["tile"] == 512
    assert auto.metadata.name == "auto"


def test_options_are_refused_at_once() -> None:
    with pytest.raises(sdk.errors.OptionError, match="tile is 63"):
        sdk.InverseHalftoner("auto", device="cpu", tile=63)


def test_each_choice_is_reported(white: np.ndarray, photo: np.ndarray) -> None:
    seen: list[sdk.Choice] = []
    auto = sdk.InverseHalftoner("auto", device="cpu", on_choice=seen.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.NoHalftoneWarning)
        auto.run_batch([white[:160, :160], photo])
    assert [choice.model for choice in seen] == ["fast", None]
    assert "fast" in str(seen[0])
    assert "unchanged" in str(seen[1])


def test_command_line_says_what_it_picked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.png"
    assert main(["restore", str(SAMPLES / "gallica_press1930s_06.jpg"), "-o", str(target), "-v"]) == 0
    shown = capsys.readouterr().out
    assert "screen" in shown
    assert "'scan'" in shown
    assert target.is_file()


def test_command_line_analyzes_and_goes_past_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert main(["analyze", str(tmp_path / "bad.png"), str(SAMPLES / "kodim23_floyd-steinberg.png")]) == 1
    captured = capsys.readouterr()
    assert "dither" in captured.out
    assert "not a picture" in captured.err
