"""The command line: what goes wrong costs one file, and is told in one line and by the exit status."""

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
from sdk.files import write
from sdk.images import Picture
from tests.conftest import ROOT
from tests.sdk.command_line import below, make, pixels, stderr

SIDE = 32  # px, of the fixture dots


# Files


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


def test_a_name_too_long_for_a_file_is_reported(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "a.png")
    assert main(["halftone", "x" * 300 + ".png", "a.png", "-o", "out"]) == 1
    assert "cannot be read" in stderr(capsys)
    assert below("out") == ["a.png"]


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


def test_a_picture_too_large_for_its_format_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("1", (16500, 8)).save("wide.png")
    assert main(["restore", "wide.png", "-o", "out.webp"]) == 1
    assert "error: " in stderr(capsys)
    assert below(folder) == ["wide.png"]


def test_doubtful_files_are_warned_about_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1.png", "2.png"):
        Image.new("L", (32, 32), 128).save(name)
    assert main(["restore", "1.png", "2.png", "-o", "out"]) == 0
    printed = stderr(capsys)
    assert printed.count("warning: ") == 1
    assert "1.png, 2.png" in printed


# The run


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

    monkeypatch.setattr("sdk.networks.network.infer_tiled", interrupted)
    assert main(["restore", "a.png", "b.png", "-o", "out"]) == 130
    printed = stderr(capsys)
    assert "a.png is not a picture" in printed
    assert "run the same command again" in printed


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


def test_names_that_the_terminal_cannot_show_do_not_stop_a_run(folder: Path, photo: np.ndarray) -> None:
    make(photo[:64, :64], "新聞.png")
    command = [sys.executable, "-m", "sdk.cli", "analyze", "."]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert b"\\u65b0\\u805e.png: continuous tone" in done.stdout


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
