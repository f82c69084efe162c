"""The command line: right files written, nothing else touched, errors in one line and by exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.cli import main
from sdk.files import read, write
from sdk.halftoning import METHODS
from sdk.halftoning.palettes import quantise_bits
from sdk.headers import Header
from sdk.images import Picture
from tests.conftest import ROOT

FILES = ["--output", "--overwrite", "--skip-existing"]
OPTIONS = {
    "restore": [*FILES, "--model", "--device", "--tile", "--overlap", "--threshold", "--threads", "--seed"],
    "expand": [*FILES, "--bits", "--model", "--device", "--tile"],
    "halftone": [*FILES, "--method", "--set", "--grey", "--seed", "--tile", *METHODS],
    "models": ["--help"],
    "info": ["model"],
    "demo": ["--host", "--port"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def dots(white: np.ndarray) -> np.ndarray:
    return white[200:232, 300:332].copy()


def make(dots: np.ndarray, *names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dots).save(name)


def below(folder: Path | str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def stderr(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def pixels(path: str) -> np.ndarray:
    return read(path).pages[0].pixels


# Restore


def test_one_file(folder: Path, dots: np.ndarray, restorer: sdk.InverseHalftoner, capsys: pytest.CaptureFixture[str]) -> None:
    write("in.tif", [Picture(dots, header=Header(dpi=(300.0, 300.0)))])
    assert main(["restore", "in.tif", "-o", "out.tif", "--device", "cpu"]) == 0
    np.testing.assert_array_equal(pixels("out.tif"), restorer.run(dots))
    assert read("out.tif").header.dpi == (300, 300)
    assert below(folder) == ["in.tif", "out.tif"]
    assert stderr(capsys) == ""


def test_a_new_folder_for_one_file_is_made(folder: Path, dots: np.ndarray) -> None:
    make(dots, "in.png")
    assert main(["restore", "in.png", "-o", "a/b/out.png"]) == 0
    assert main(["restore", "in.png", "-o", "c"]) == 0
    assert below(folder) == ["a/b/out.png", "c/in.png", "in.png"]


def test_the_tree_of_a_folder_is_kept(folder: Path, dots: np.ndarray) -> None:
    make(dots, "scans/1.png", "scans/sub/2.TIF", "scans/sub/deep/3.gif")
    Path("scans/notes.txt").write_text("no picture")
    Path("scans/.hidden.png").write_text("no picture")
    assert main(["restore", "scans", "-o", "restored"]) == 0
    assert below("restored") == ["1.png", "sub/2.TIF", "sub/deep/3.png"]


def test_globs_and_several_inputs(folder: Path, dots: np.ndarray) -> None:
    make(dots, "scans/1.png", "scans/2.png", "scans/3.bmp", "cover.gif")
    assert main(["restore", "scans/*.png", "cover.gif", "-o", "restored"]) == 0
    assert below("restored") == ["1.png", "2.png", "cover.png"]


def test_an_existing_file_is_refused_replaced_or_skipped(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "in.png")
    Path("out.png").write_bytes(b"old")
    assert main(["restore", "in.png", "-o", "out.png"]) == 1
    assert "out.png exists already; pass --overwrite" in stderr(capsys)
    assert main(["restore", "in.png", "-o", "out.png", "--skip-existing"]) == 0
    assert stderr(capsys) == ""
    assert Path("out.png").read_bytes() == b"old"
    assert main(["restore", "in.png", "-o", "out.png", "--overwrite"]) == 0
    assert pixels("out.png").shape == dots.shape


def test_a_folder_goes_on_where_it_stopped(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "scans/1.png", "scans/2.png")
    Path("out").mkdir()
    Path("out/1.png").write_bytes(b"old")
    assert main(["restore", "scans", "-o", "out"]) == 0
    assert "1 skipped" in stderr(capsys)
    assert Path("out/1.png").read_bytes() == b"old"
    assert pixels("out/2.png").shape == dots.shape
    assert main(["restore", "scans", "-o", "out", "--skip-existing"]) == 0
    assert stderr(capsys) == ""
    assert main(["restore", "scans", "-o", "out", "--overwrite"]) == 0
    assert pixels("out/1.png").shape == dots.shape


def test_results_below_the_sources_are_no_sources(folder: Path, dots: np.ndarray) -> None:
    """The same command again must only skip, not restore what it has restored."""
    make(dots, "scans/1.png")
    for _ in range(2):
        assert main(["restore", "scans", "-o", "scans/restored"]) == 0
    assert below("scans") == ["1.png", "restored/1.png"]


def test_bad_files_are_reported_and_the_others_done(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "scans/good.png", "scans/z.png")
    Path("scans/empty.png").touch()
    Path("scans/text.png").write_text("no picture")
    Image.new("CMYK", (32, 32)).save("scans/print.jpg")
    assert main(["restore", "scans", "missing.png", "-o", "out"]) == 1
    out, text = capsys.readouterr()
    assert "2 written to out" in out
    assert "Traceback" not in text
    for name in ("empty.png", "text.png", "print.jpg", "missing.png"):
        assert sum(name in line for line in text.splitlines() if line.startswith("error: ")) == 1, text
    assert "4 failed" in text
    assert below("out") == ["good.png", "z.png"]


def test_a_bad_file_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["restore", "bad.png", "-o", "out.png"]) == 1
    assert "error: bad.png" in stderr(capsys)
    assert below(folder) == ["bad.png"]


def test_deep_damage_is_reported_by_name(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    write("deep.png", [Picture(np.dstack([dots] * 3).astype(np.uint16) * 65535)])
    Path("deep.png").write_bytes(Path("deep.png").read_bytes()[:-60])
    assert main(["restore", "deep.png", "-o", "out.png"]) == 1
    assert "deep.png" in stderr(capsys)
    assert below(folder) == ["deep.png"]


def test_two_sources_of_one_target_are_refused(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "a/1.png", "b/1.png")
    assert main(["restore", "a/1.png", "b/1.png", "-o", "out"]) == 1
    assert "would both become" in stderr(capsys)
    assert below(folder) == ["a/1.png", "b/1.png"]


def test_a_source_is_never_its_own_target(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "scans/1.png")
    before = Path("scans/1.png").read_bytes()
    for arguments in (["scans/1.png", "-o", "scans/1.png"], ["scans", "-o", "scans"], ["scans/1.png", "-o", "./scans/../scans/1.png"]):
        assert main(["restore", *arguments, "--overwrite"]) == 1
        assert "choose another" in stderr(capsys)
    assert Path("scans/1.png").read_bytes() == before


def test_a_result_never_replaces_another_source(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "A/x.png", "A/A/x.png")
    before = Path("A/x.png").read_bytes()
    assert main(["restore", "A", "-o", ".", "--overwrite"]) == 1
    assert "which is a source too, would be replaced" in stderr(capsys)
    assert Path("A/x.png").read_bytes() == before


def test_an_unexpected_fault_is_one_failed_file(
    folder: Path, dots: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(dots, "in/a.png", "in/b.png")
    run_file = sdk.Halftoner.run_file

    def faulty(halftoner: sdk.Halftoner, source: Path, target: Path, **options: Any) -> None:
        if source.name == "a.png":
            raise KeyError("a fault of ours")
        run_file(halftoner, source, target, **options)

    monkeypatch.setattr(sdk.Halftoner, "run_file", faulty)
    assert main(["halftone", "in", "-o", "out"]) == 1
    assert "unexpected KeyError ('a fault of ours'); please report it" in stderr(capsys)
    assert below("out") == ["b.png"]


def test_a_name_too_long_for_a_file_is_reported(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "a.png")
    assert main(["halftone", "x" * 300 + ".png", "a.png", "-o", "out"]) == 1
    assert "cannot be read" in stderr(capsys)
    assert below("out") == ["a.png"]


def test_other_files_of_a_folder_are_counted(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "scans/1.png")
    for name in ("scans/2.ccitt", "scans/sub/3.CCITT", "scans/book.pdf", "scans/.hidden.pdf"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    assert main(["restore", "scans", "-o", "restored"]) == 0
    assert "3 passed over, no pictures by their names: 2 .ccitt, 1 .pdf" in stderr(capsys)


def test_a_folder_that_cannot_be_looked_into_is_a_failure(
    folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(dots, "scans/1.png", "scans/locked/2.png", "scans/locked.png", "scans/.locked/3.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name in ("locked", ".locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main(["restore", "scans", "-o", "restored"]) == 1
    said = stderr(capsys)
    assert "scans/locked cannot be looked into: Permission denied" in said
    assert "1 failed" in said  # hidden ones are passed over
    assert below("restored") == ["1.png", "locked.png"]
    assert main(["analyze", "scans"]) == 1
    assert main(["restore", "scans/locked", "-o", "again"]) == 1
    assert stderr(capsys).count("cannot be looked into") == 2


def test_pages_are_told_apart(folder: Path, dots: np.ndarray, white: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    blank = np.ones_like(white[:200, :200])
    write("book.tif", [Picture(page) for page in (blank, white[:200, :200], blank)])
    assert main(["restore", "book.tif", "-o", "out.tif", "-v"]) == 0
    said = capsys.readouterr()
    assert "warning: book.tif: pages 1, 3: No model restores this picture" in said.err
    lines = said.out.splitlines()
    assert any(line.startswith("book.tif: page 2: ") and "model 'fast'" in line for line in lines)
    assert any(line.startswith("book.tif: pages 1, 3: ") and line.endswith("left unchanged") for line in lines)
    for name in ("a.tif", "b.tif"):
        write(name, [Picture(blank)] * 3)
    assert main(["restore", "a.tif", "b.tif", "-o", "blank"]) == 0
    assert "warning: a.tif, b.tif: No model restores" in stderr(capsys)
    write("long.tif", [Picture(blank)] * 4 + [Picture(white[:200, :200])])
    assert main(["restore", "long.tif", "-o", "long_out.tif"]) == 0
    assert "warning: long.tif: pages 1-4: No model restores" in stderr(capsys)


@pytest.mark.parametrize("arguments", [["models"], ["restore", "in.png", "-o", "out.png", "-v"]])
def test_a_reader_that_has_enough_is_no_fault(folder: Path, white: np.ndarray, arguments: list[str]) -> None:
    make(white[:200, :200], "in.png")
    program = [sys.executable, "-u", "-m", "sdk.cli", *arguments]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(program, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_standard_output_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["models"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_terminated_run_leaves_nothing_half_done(folder: Path, white: np.ndarray) -> None:
    write("book.tif", [Picture(white)] * 200)
    command = [sys.executable, "-m", "sdk.cli", "restore", "book.tif", "-o", "out/out.tif"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        while not list(Path("out").glob(".out.tif.*.partial")):
            assert run.poll() is None
            time.sleep(0.05)
        run.terminate()
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.startswith("stopped; finished files are kept")
    assert below(folder) == ["book.tif"]


def test_the_standard_output_is_no_file(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "in.png")
    assert main(["restore", "in.png", "-o", "-"]) == 1
    assert "'-', for the standard output, is not known" in stderr(capsys)
    assert main(["restore", "in.png", "-o", "a" * 300]) == 1
    assert "name too long" in stderr(capsys).lower()


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


def test_names_that_the_terminal_cannot_show_do_not_stop_a_run(folder: Path, photo: np.ndarray) -> None:
    make(photo[:64, :64], "新聞.png")
    command = [sys.executable, "-m", "sdk.cli", "analyze", "."]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert b"\\u65b0\\u805e.png: continuous tone" in done.stdout


def test_several_results_need_a_folder(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "1.png", "2.png", "out.png")
    assert main(["restore", "1.png", "2.png", "-o", "out.png"]) == 1
    assert "2 results; give a folder" in stderr(capsys)


@pytest.mark.parametrize("target", ["file/out.png", "file/sub/out.png"])
def test_a_folder_that_cannot_be_made_is_an_error(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], target: str) -> None:
    make(dots, "in.png")
    Path("file").touch()
    assert main(["restore", "in.png", "-o", target]) == 1
    assert stderr(capsys).startswith("error: ")


def test_a_picture_too_large_for_its_format_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("1", (16500, 8)).save("wide.png")
    assert main(["restore", "wide.png", "-o", "out.webp"]) == 1
    assert "error: " in stderr(capsys)
    assert below(folder) == ["wide.png"]


@pytest.mark.parametrize("source", ["empty", "nothing/*.png"])
def test_no_pictures_found(folder: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    Path("empty").mkdir()
    assert main(["restore", source, "-o", "out"]) == 1
    assert f"No pictures found in {source}" in stderr(capsys)
    assert not Path("out").exists()


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
    faint = np.where(dots, np.uint8(140), np.uint8(110))
    Image.fromarray(faint).save("faint.png")
    assert main(["restore", "faint.png", "-o", "plain.png"]) == 0
    assert "--threshold 0.5" in stderr(capsys)
    assert main(["restore", "faint.png", "-o", "cut.png", "--threshold", "0.5"]) == 0
    assert stderr(capsys) == ""
    np.testing.assert_array_equal(pixels("cut.png"), restorer.run(dots))
    assert not np.array_equal(pixels("plain.png"), pixels("cut.png"))


def test_doubtful_files_are_warned_about_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.png", "2.png"):
        Image.new("L", (32, 32), 128).save(name)
    assert main(["restore", "1.png", "2.png", "-o", "out"]) == 0
    printed = stderr(capsys)
    assert printed.count("warning: ") == 1
    assert "1.png, 2.png" in printed


def test_a_folder_above_the_sources_may_be_the_output(folder: Path, dots: np.ndarray) -> None:
    (folder / "scans").mkdir()
    Image.fromarray(dots).save("scans/a.png")
    assert main(["restore", "scans", "-o", "."]) == 0
    assert (folder / "a.png").is_file()


def test_the_input_folder_is_no_output(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "scans").mkdir()
    Image.fromarray(dots).save("scans/a.gif")
    assert main(["restore", "scans", "-o", "scans"]) == 1
    assert "choose another one" in stderr(capsys)
    assert [path.name for path in (folder / "scans").iterdir()] == ["a.gif"]


def test_several_inputs_do_not_fit_one_file(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(dots).save(name)
    assert main(["restore", "a.png", "b.png", "-o", "out.tif"]) == 1
    assert "give a folder" in stderr(capsys)
    assert not (folder / "out.tif").exists()


def test_a_failing_runtime_is_one_failed_file(
    folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running out of memory on one page does not end a night's work."""
    for name in ("a.png", "b.png"):
        Image.fromarray(dots).save(name)
    run = sdk.InverseHalftoner.run_file

    def failing(self: sdk.InverseHalftoner, source: Path, *arguments: Any, **options: Any) -> None:
        if source.name == "a.png":
            raise MemoryError
        run(self, source, *arguments, **options)

    monkeypatch.setattr(sdk.InverseHalftoner, "run_file", failing)
    assert main(["restore", "a.png", "b.png", "-o", "out"]) == 1
    assert "a.png does not fit into memory" in stderr(capsys)
    assert (folder / "out" / "b.png").is_file()


def test_an_interrupt_reports_what_failed_so_far(
    folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.png").write_bytes(b"no picture")
    Image.fromarray(dots).save("b.png")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sdk.network.infer_tiled", interrupted)
    assert main(["restore", "a.png", "b.png", "-o", "out"]) == 130
    printed = stderr(capsys)
    assert "a.png is not a picture" in printed
    assert "run the same command again" in printed


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
    for key, value in vars(sdk.InverseHalftoner("fast", device="cpu").metadata).items():
        assert f"{key}: {value}" in text


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
    monkeypatch.setattr("sdk.cli_demo.CHECKOUT", folder)
    assert main(["demo"]) == 1
    assert "`make demo`" in stderr(capsys)


# As a program


def test_as_a_program(folder: Path, dots: np.ndarray, restorer: sdk.InverseHalftoner) -> None:
    make(dots, "in.png")
    Path("text.png").write_text("no picture")
    command = [sys.executable, "-m", "sdk.cli", "restore", "in.png", "text.png", "-o", "out", "--device", "cpu"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stdout == "1 written to out\n"
    assert "error: text.png is not a picture" in result.stderr
    assert "Traceback" not in result.stderr
    assert below("out") == ["in.png"]
    np.testing.assert_array_equal(pixels("out/in.png"), restorer.run(dots))
