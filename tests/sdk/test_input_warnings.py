"""Warnings about dots by a method that the model was not taught."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.catalog import metadata_of
from sdk.cli import main
from sdk.files import read
from sdk.halftoning import halftone
from tests.sdk.conftest import SMALL

KODIM = Path(__file__).parents[2] / "docs/samples/kodim23_grey.png"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(read(KODIM).pages[0].pixels[100:356, 200:456])


@pytest.fixture(scope="module")
def choosy_onnx(small_onnx: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was taught two methods."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_onnx)
    onnx.helper.set_model_props(model, replace(SMALL, methods=("floyd-steinberg", "stucki"), kinds=("dither",)).to_props())
    path = tmp_path_factory.mktemp("choosy") / "choosy.onnx"
    onnx.save(model, str(path))
    return path


def test_dots_of_another_method_are_warned_about_with_what_to_do(choosy_onnx: Path, photo: np.ndarray) -> None:
    with pytest.warns(sdk.OtherMethodWarning, match=r"those of atkinson, .*taught floyd-steinberg, stucki only.*--model fast") as caught:
        restored = sdk.InverseHalftoner(choosy_onnx, device="cpu").run(halftone(photo, "atkinson"))
    assert caught[0].filename == __file__  # it points at the caller
    assert restored.shape == photo.shape


@pytest.mark.parametrize("method", ["floyd-steinberg", "stucki", "am-screen"])
def test_silent_on_what_was_taught_and_on_what_nobody_can_name(choosy_onnx: Path, photo: np.ndarray, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sdk.InverseHalftoner(choosy_onnx, device="cpu").run(halftone(photo, method))


def test_the_threshold_counts(choosy_onnx: Path, photo: np.ndarray) -> None:
    grey = np.where(halftone(photo, "atkinson"), 0.4, 0.1).astype(np.float32)
    with pytest.warns(sdk.OtherMethodWarning):
        sdk.InverseHalftoner(choosy_onnx, device="cpu", threshold=0.3).run(grey)


@pytest.mark.parametrize("way", ["run", "bytes", "run_batch", "run_file", "auto"])
def test_warnings_point_at_the_caller(choosy_onnx: Path, photo: np.ndarray, tmp_path: Path, way: str) -> None:
    dots = halftone(photo[:128, :128], "atkinson")
    Image.fromarray(dots).save(tmp_path / "dots.png")
    restorer = sdk.InverseHalftoner(choosy_onnx, device="cpu")
    ways = {
        "run": lambda: restorer.run(dots),
        "bytes": lambda: restorer.run((tmp_path / "dots.png").read_bytes()),
        "run_batch": lambda: restorer.run_batch([dots]),
        "run_file": lambda: restorer.run_file(tmp_path / "dots.png", tmp_path / "out.png"),
        "auto": lambda: sdk.InverseHalftoner("auto", device="cpu").run(photo),
    }
    with pytest.warns(sdk.InputWarning) as caught:
        ways[way]()
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("model", ["cdh-4step", "cdh-2step", "cdh-1step"])
def test_diffusion_models_say_what_they_learnt(model: str) -> None:
    methods = metadata_of(model).methods
    assert methods is not None
    assert "sierra, serpentine" in methods
    assert "atkinson" not in methods


def test_prl_says_that_it_knows_floyd_steinberg_only(photo: np.ndarray) -> None:
    restorer = sdk.InverseHalftoner("prl", device="cpu")
    assert restorer.metadata.methods == ("floyd-steinberg",)
    with pytest.warns(sdk.OtherMethodWarning, match="'prl' was taught floyd-steinberg only"):
        restorer.run(halftone(photo[:96, :96], "jarvis-judice-ninke"))


def test_the_command_says_it(choosy_onnx: Path, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Image.fromarray(halftone(photo, "atkinson")).save(tmp_path / "dots.png")
    assert main(["restore", str(tmp_path / "dots.png"), "-o", str(tmp_path / "out.png"), "--model", str(choosy_onnx)]) == 0
    assert "those of atkinson" in capsys.readouterr().err
