"""What the options of the command line become: arguments of the SDK's calls, and results."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.cli import main
from sdk.files import read, write
from sdk.headers import Header
from sdk.images import Picture

SHARED = {
    "--device cpu": {"device": "cpu"},
    "--backend openvino": {"backend": "openvino"},
    "--precision bf16": {"precision": "bf16"},
    "--tile 512": {"tile": 512},
    "--overlap 32": {"overlap": 32},
    "--threads 3": {"threads": 3},
    "--self-ensemble": {"self_ensemble": True},
}
"""Options, and the arguments of the constructor that they become."""
RESTORE = {
    **SHARED,
    "": {},
    "--model fast": {"model": "fast"},
    "--scale 0.5": {"scale": 0.5},
    "--threshold 0.4": {"threshold": 0.4},
    "--method stucki": {"method": "stucki"},
    "--model fast --device cuda --tile 256 --overlap 64 --scale 2": {
        "model": "fast",
        "device": "cuda",
        "tile": 256,
        "overlap": 64,
        "scale": 2.0,
    },
}
EXPAND = {**SHARED, "": {}, "--model mine.onnx": {"model": "mine.onnx"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, white: np.ndarray) -> Path:
    """A working folder with in.png of 48x32 px at 300 dpi."""
    monkeypatch.chdir(tmp_path)
    write("in.png", [Picture(white[200:232, 300:348].copy(), header=Header(dpi=(300.0, 300.0)))])
    return tmp_path


def defaults_of(call: Any) -> dict[str, Any]:
    parameters = inspect.signature(call).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


class Recorder:
    """In the place of a restorer; notes what it is given, beside the defaults of what it is not."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch):
        self.restorer, self.made, self.ran = getattr(sdk, name), [], []
        monkeypatch.setattr(sdk, name, self.make)

    def make(self, *arguments: Any, **options: Any) -> Recorder:
        self.made.append(defaults_of(self.restorer) | inspect.signature(self.restorer).bind(*arguments, **options).arguments)
        return self

    def check_seed(self, seed: int | None) -> None:
        pass

    def run_file(self, *arguments: Any, **options: Any) -> None:
        bound = inspect.signature(self.restorer.run_file).bind(self, *arguments, **options)
        self.ran.append(defaults_of(self.restorer.run_file) | bound.arguments)


@pytest.mark.parametrize("options", RESTORE)
def test_options_of_restore_become_arguments(folder: Path, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder("InverseHalftoner", monkeypatch)
    assert main(["restore", "in.png", "-o", "out.png", *options.split()]) == 0
    (made,) = recorder.made
    assert callable(made.pop("on_choice"))
    usual = defaults_of(recorder.restorer) | {"model": "auto"}
    del usual["on_choice"]
    assert made == usual | RESTORE[options]


def test_no_argument_is_left_out() -> None:
    for restorer, options in ((sdk.InverseHalftoner, RESTORE), (sdk.BitDepthExpander, EXPAND)):
        assert set().union(*options.values()) == defaults_of(restorer).keys() - {"on_choice"}


@pytest.mark.parametrize("options", EXPAND)
def test_options_of_expand_become_arguments(folder: Path, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder("BitDepthExpander", monkeypatch)
    assert main(["expand", "in.png", "-o", "out.png", *options.split()]) == 0
    assert recorder.made == [defaults_of(recorder.restorer) | EXPAND[options]]


@pytest.mark.parametrize(
    ("command", "name", "options", "expected"),
    [
        ("restore", "InverseHalftoner", [], {"seed": None, "overwrite": False}),
        ("restore", "InverseHalftoner", ["--seed", "7"], {"seed": 7, "overwrite": False}),
        ("restore", "InverseHalftoner", ["--overwrite"], {"seed": None, "overwrite": True}),
        ("expand", "BitDepthExpander", [], {"bits": None, "overwrite": False}),
        ("expand", "BitDepthExpander", ["--bits", "3", "--overwrite"], {"bits": 3, "overwrite": True}),
    ],
)
def test_options_of_each_file_become_arguments(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, options: list[str], expected: dict[str, Any]
) -> None:
    recorder = Recorder(name, monkeypatch)
    assert main([command, "in.png", "-o", "out.png", *options]) == 0
    (ran,) = recorder.ran
    assert (ran["source"], ran["target"]) == (Path("in.png"), Path("out.png"))
    assert {key: ran[key] for key in expected} == expected


def test_scale(folder: Path, white: np.ndarray) -> None:
    """Half the size, and half the resolution: the print is as large as it was."""
    assert main(["restore", "in.png", "-o", "out.tif", "--model", "fast", "--scale", "0.5", "--device", "cpu"]) == 0
    written = read("out.tif")
    assert written.pages[0].header.dpi == pytest.approx((150, 150), abs=0.1)
    restored = sdk.InverseHalftoner("fast", device="cpu", scale=0.5).run(white[200:232, 300:348])
    assert restored.shape == (16, 24)
    np.testing.assert_array_equal(written.pages[0].pixels, restored)


def test_method(folder: Path, white: np.ndarray) -> None:
    """The one that is named counts, not the one that the dots say."""
    options = ["--model", "fast", "--device", "cpu"]
    assert main(["restore", "in.png", "-o", "out.png", *options, "--method", "atkinson"]) == 0
    told, read_off = (
        sdk.InverseHalftoner("fast", device="cpu", method=method).run(white[200:232, 300:348]) for method in ("atkinson", None)
    )
    np.testing.assert_array_equal(read("out.png").pages[0].pixels, told)
    assert not np.array_equal(told, read_off)


def test_analyze_takes_a_resolution(folder: Path, photo: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    """In the place of what the file says."""
    dots = sdk.Halftoner("am-screen", lpi=85, dpi=300, angle=45).run(photo[:256, :256].copy())
    write("without.png", [Picture(dots)])
    write("at300.png", [Picture(dots, header=Header(dpi=(300.0, 300.0)))])

    def said(*arguments: str) -> tuple[int, int] | None:
        """lpi and dpi."""
        assert main(["analyze", *arguments]) == 0
        found = re.search(r"\((\d+) lpi at (\d+) dpi\)", capsys.readouterr().out)
        return (int(found[1]), int(found[2])) if found else None

    assert said("without.png") is None
    lpi, dpi = said("at300.png") or (0, 0)
    assert dpi == 300
    assert lpi == pytest.approx(85, abs=2)
    assert said("without.png", "--dpi", "300") == (lpi, dpi)
    for name in ("without.png", "at300.png"):
        doubled, dpi = said(name, "--dpi", "600") or (0, 0)
        assert dpi == 600
        assert doubled == pytest.approx(2 * lpi, abs=1)
    assert main(["analyze", "without.png", "--dpi", "0"]) == 1
    assert "dpi is 0" in capsys.readouterr().err
