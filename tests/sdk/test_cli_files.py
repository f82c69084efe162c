"""The command line: which file becomes which, and what is never touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.cli import main
from sdk.files import read, write
from sdk.headers import Header
from sdk.images import Picture
from tests.sdk.command_line import below, make, pixels, stderr

SIDE = 32  # px, of the fixture dots


def test_one_file(folder: Path, dots: np.ndarray, restorer: sdk.InverseHalftoner, capsys: pytest.CaptureFixture[str]) -> None:
    write("in.tif", [Picture(dots, header=Header(dpi=(300.0, 300.0)))])
    assert main(["restore", "in.tif", "-o", "out.tif", "--device", "cpu"]) == 0
    np.testing.assert_array_equal(pixels("out.tif"), restorer.run(dots))
    assert read("out.tif").pages[0].header.dpi == (300, 300)
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
    for model in ("fast", "no such model"):  # it is not even looked for
        assert main(["restore", "in.png", "-o", "out.png", "--model", model]) == 1
        assert "out.png exists already; pass --overwrite" in stderr(capsys)
    assert main(["halftone", "in.png", "-o", "out.png", "--method", "no such method"]) == 1
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


def test_two_sources_of_one_target_are_refused(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "a/1.png", "b/1.png")
    assert main(["restore", "a/1.png", "b/1.png", "-o", "out"]) == 1
    assert "would both become" in stderr(capsys)
    assert below(folder) == ["a/1.png", "b/1.png"]


def test_sources_that_differ_by_their_suffix_get_targets_that_do(folder: Path, dots: np.ndarray) -> None:
    make(dots, "in/1.png", "in/1.gif", "in/2.gif")
    assert main(["restore", "in", "-o", "out"]) == 0
    assert below("out") == ["1.gif.png", "1.png", "2.png"]


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


def test_other_files_of_a_folder_are_counted(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "scans/1.png")
    for name in ("scans/2.ccitt", "scans/sub/3.CCITT", "scans/book.epub", "scans/.hidden.pdf"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"x")
    assert main(["restore", "scans", "-o", "restored"]) == 0
    assert "3 passed over, no pictures by their names: 2 .ccitt, 1 .epub" in stderr(capsys)


def test_the_standard_output_is_no_file(folder: Path, dots: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    make(dots, "in.png")
    assert main(["restore", "in.png", "-o", "-"]) == 1
    assert "'-', for the standard output, is not known" in stderr(capsys)
    assert main(["restore", "in.png", "-o", "a" * 300]) == 1
    assert "name too long" in stderr(capsys).lower()


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


@pytest.mark.parametrize("source", ["empty", "nothing/*.png"])
def test_no_pictures_found(folder: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    Path("empty").mkdir()
    assert main(["restore", source, "-o", "out"]) == 1
    assert f"No pictures found in {source}" in stderr(capsys)
    assert not Path("out").exists()


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
