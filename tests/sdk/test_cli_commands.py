"""The command line: what each command does, its options, and its words on wrong ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.cli import main
from sdk.halftoning import METHODS
from sdk.halftoning.palettes import quantise_bits
from tests.sdk.command_line import below, make, pixels, stderr

SIDE = 32  # px, of the fixture dots

FILES = ["--output", "--overwrite", "--skip-existing"]
OPTIONS = {
    "restore": [*FILES, "--model", "--device", "--tile", "--overlap", "--threshold", "--threads", "--seed"],
    "expand": [*FILES, "--bits", "--model", "--device", "--tile"],
    "halftone": [*FILES, "--method", "--set", "--grey", "--seed", "--tile", *METHODS],
    "models": ["--help"],
    "info": ["model", "--json"],
    "demo": ["--host", "--port"],
}


# Restore


def test_large_pictures_by_leave(
    folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back at the end
    make(dots, "in.png")
    assert main(["analyze", "in.png", "--max-megapixels", "0.001"]) == 1
    assert "(--max-megapixels)" in stderr(capsys)
    assert main(["analyze", "in.png", "--max-megapixels", "0.002"]) == 0
    with pytest.raises(SystemExit):
        main(["analyze", "in.png", "--max-megapixels", "0"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "fsat"], "Did you mean 'fast'"),
        (["--model", "missing.onnx"], "missing.onnx cannot be read"),
        (["--tile", "100000001"], "multiple of"),
        (["--tile", "8"], "at least 64"),
        (["--overlap", "-1"], "overlap is -1"),
        (["--threshold", "1.5"], "between 0 and 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options_are_errors(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], options: list[str], text: str) -> None:
    make(dots, "in.png")
    assert main(["restore", "in.png", "-o", "out.png", *options]) == 1
    error = stderr(capsys)
    assert error.startswith("error: ")
    assert text in error
    assert below(folder) == ["in.png"]


def test_cuda_that_is_not_there_is_an_error(
    folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    make(dots, "in.png")
    assert main(["restore", "in.png", "-o", "out.png", "--device", "cuda", "--backend", "onnxruntime"]) == 1
    assert "onnxruntime-gpu" in stderr(capsys)
    assert below(folder) == ["in.png"]


@pytest.mark.parametrize(
    "arguments", [["--tile", "big"], ["--device", "tpu"], ["--overwrite", "--skip-existing"], ["--thresh"], ["--nonsense"]], ids=" ".join
)
def test_wrong_usage_exits_2(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["restore", "in.png", "-o", "out.png", *arguments])
    assert exited.value.code == 2
    assert "usage: " in stderr(capsys)


def test_threshold(folder: Path, dots: np.ndarray, restorer: sdk.InverseHalftoner, capsys: pytest.CaptureFixture[str]) -> None:
    faint = np.where(dots, np.uint8(140), np.uint8(110)) + np.arange(dots.shape[1], dtype=np.uint8) % 5
    Image.fromarray(faint).save("faint.png")
    assert main(["restore", "faint.png", "-o", "plain.png", "--model", "fast"]) == 0
    assert "--threshold 0.5" in stderr(capsys)
    assert main(["restore", "faint.png", "-o", "cut.png", "--threshold", "0.5"]) == 0
    assert stderr(capsys) == ""
    np.testing.assert_array_equal(pixels("cut.png"), restorer.run(dots))
    assert not np.array_equal(pixels("plain.png"), pixels("cut.png"))


# Expand


def test_expand_a_folder_and_go_on(folder: Path, photo: np.ndarray, bits_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = quantise_bits(photo[:40, :48], 3)
    make(few, "few/1.png", "few/sub/2.tif", "few/3.gif")
    make(photo[:40, :48], "few/photo.png")
    command = ["expand", "few", "-o", "many", "--model", str(bits_onnx), "--device", "cpu"]
    assert main(command) == 1
    out, text = capsys.readouterr()
    assert out == "3 written to many\n"
    assert text.startswith("error: few/photo.png: Found more than 64 levels")
    assert below("many") == ["1.png", "3.png", "sub/2.tif"]
    expected = sdk.BitDepthExpander(bits_onnx, device="cpu").run(few)
    for name in below("many"):
        np.testing.assert_array_equal(pixels(f"many/{name}"), expected)
    assert main([*command, "--skip-existing"]) == 1
    assert "written" not in capsys.readouterr().out


def test_expand_takes_bits_and_keeps_what_exists(
    folder: Path, photo: np.ndarray, bits_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = quantise_bits(photo[:40, :48], 3)
    make(few, "in.png")
    command = ["expand", "in.png", "-o", "out.png", "--model", str(bits_onnx)]
    for bits, message in (("9", "1..5"), ("2", "those of 3 bits a channel, but bits=2 was given")):
        assert main([*command, "--bits", bits]) == 1
        assert message in stderr(capsys)
        assert below(folder) == ["in.png"]
    assert main([*command, "--bits", "5"]) == 0
    np.testing.assert_array_equal(pixels("out.png"), sdk.BitDepthExpander(bits_onnx, device="cpu").run(few, bits=5))
    assert main(command) == 1
    assert "out.png exists already; pass --overwrite" in stderr(capsys)


def test_expand_and_restore_name_each_other(folder: Path, dots: np.ndarray, bits_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "in.png")
    assert main(["expand", "in.png", "-o", "out.png", "--model", "fast"]) == 1
    assert "inverse-halftoner restore" in stderr(capsys)
    assert main(["restore", "in.png", "-o", "out.png", "--model", str(bits_onnx)]) == 1
    assert "inverse-halftoner expand" in stderr(capsys)


# Halftone


def test_halftone_with_parameters(folder: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo[:40, :48]).save("photo.jpg", quality=95)
    given = pixels("photo.jpg")
    assert main(["halftone", "photo.jpg", "-o", "dots.png", "--method", "bayer", "--set", "size=4"]) == 0
    np.testing.assert_array_equal(pixels("dots.png"), sdk.Halftoner("bayer", size=4).run(given))
    screen = ["--method", "am-screen", "--set", "lpi=100", "--set", "dpi=600.0", "--set", "dot=line", "--set", "angle=15"]
    assert main(["halftone", "photo.jpg", "-o", "screen.tif", *screen]) == 0
    expected = sdk.Halftoner("am-screen", lpi=100.0, dpi=600.0, dot="line", angle=15.0).run(given)
    np.testing.assert_array_equal(pixels("screen.tif"), expected)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("1", True), ("false", False), ("no", False), ("0", False)])
def test_halftone_with_yes_or_no(folder: Path, photo: np.ndarray, text: str, value: bool) -> None:
    Image.fromarray(photo[:40, :48]).save("photo.png")
    assert main(["halftone", "photo.png", "-o", "dots.png", "--set", f"serpentine={text}"]) == 0
    expected = sdk.Halftoner("floyd-steinberg", serpentine=value).run(photo[:40, :48].copy())
    np.testing.assert_array_equal(pixels("dots.png"), expected)


def test_halftone_grey(folder: Path, photo: np.ndarray) -> None:
    colour = np.dstack([photo[:40, :48], photo[40:80, :48], photo[80:120, :48]])
    Image.fromarray(colour).save("photo.png")
    assert main(["halftone", "photo.png", "-o", "colour.png", "--method", "bayer"]) == 0
    assert main(["halftone", "photo.png", "-o", "grey.png", "--method", "bayer", "--grey"]) == 0
    assert pixels("colour.png").shape == (40, 48, 3)
    assert pixels("grey.png").shape == (40, 48)
    assert pixels("grey.png").dtype == np.bool_


def test_halftone_of_a_folder(folder: Path, photo: np.ndarray) -> None:
    Path("photos").mkdir()
    for name in ("1.jpg", "2.tif", "3.bmp"):
        Image.fromarray(photo[:40, :48]).save(f"photos/{name}")
    assert main(["halftone", "photos", "-o", "dots", "--method", "white-noise"]) == 0
    assert below("dots") == ["1.png", "2.tif", "3.png"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--method", "bayr"], "Did you mean 'bayer'"),
        (["--method", "bayr", "--set", "size=4"], "Did you mean 'bayer'"),
        (["--method", "bayer", "--set", "size"], "write NAME=VALUE"),
        (["--method", "bayer", "--set", "size=big"], "'big' is no int"),
        (["--method", "bayer", "--set", "size=5"], "5"),
        (["--method", "bayer", "--set", "sise=4"], "Did you mean 'size'"),
        (["--method", "am-screen", "--set", "lpi=fine"], "'fine' is no float"),
        (["--method", "am-screen", "--set", "lpi=0"], "above 0"),
        (["--method", "am-screen", "--set", "dot=star"], "'star'"),
        (["--set", "serpentine=maybe"], "'maybe' is no bool"),
        (["--set", "kernel=stucki"], "no parameter 'kernel'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_methods_and_parameters_are_errors(
    folder: Path, photo: np.ndarray, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    Image.fromarray(photo[:40, :48]).save("photo.png")
    assert main(["halftone", "photo.png", "-o", "dots.png", *options]) == 1
    error = stderr(capsys)
    assert error.startswith("error: ")
    assert text in error
    assert below(folder) == ["photo.png"]


# Models, info, help


def test_models_lists_every_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    for release in sdk.releases().values():
        assert f"{release.name}: {release.summary}" in text
        assert release.licence in text
        for metric in release.metrics:
            assert metric in text


def test_info_tells_all_metadata(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "fast"]) == 0
    text = capsys.readouterr().out
    metadata = sdk.InverseHalftoner("fast", device="cpu").metadata
    for key, value in vars(metadata).items():
        if isinstance(value, dict):
            assert f"{key}:\n" in text
            assert all(f"    {name} = {part}\n" in text for name, part in value.items())
        elif isinstance(value, tuple):
            assert not value or f"{key}: {'; '.join(map(str, value))}\n" in text
        else:
            assert (value is None) == (f"{key}: {value}\n" not in text)
    assert main(["info", "fast", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(vars(metadata)))


def test_info_of_a_model_for_few_bits(bits_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bits_onnx)]) == 0
    assert "task: bit-depth-expansion\n" in capsys.readouterr().out


def test_info_of_no_model_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.onnx").write_text("no model")
    for model, text in (("fsat", "Did you mean 'fast'"), ("text.onnx", "text.onnx cannot be loaded")):
        assert main(["info", model]) == 1
        assert text in stderr(capsys)


@pytest.mark.parametrize("command", OPTIONS)
def test_help_mentions_all_options(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as exited:
        main([command, "--help"])
    assert exited.value.code == 0
    text = capsys.readouterr().out
    for option in OPTIONS[command]:
        assert option in text


def test_no_command_prints_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().out
    for command in OPTIONS:
        assert command in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert sdk.__version__ in capsys.readouterr().out


# Demo (tests/demo starts it by this command)


def test_demo_runs_the_program_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr("runpy.run_module", lambda name, run_name: ran.append((name, run_name, sys.argv[1:], sys.path[0])))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["demo", "--port", "7000"]) == 0
    assert ran == [("demo", "__main__", ["--host", "127.0.0.1", "--port", "7000"], str(Path(sdk.__file__).parents[1]))]


def test_demo_without_a_checkout_or_gradio_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 1
    assert "[demo]" in stderr(capsys)
    monkeypatch.setattr("sdk.cli.demo.CHECKOUT", folder)
    assert main(["demo"]) == 1
    assert "`make demo`" in stderr(capsys)
