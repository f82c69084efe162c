"""What can be known before the work is checked before it, and what was written in the meantime is left alone."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.cli.batch import Job, Outcome, ProgressBar, find_sources, passed_over, plan_jobs, run_jobs, why_locked
from sdk.errors import ImageWriteError, MissingDependencyError, OptionError
from sdk.files import check_target, encode, read, write
from sdk.files.whole_files import whole_file, write_whole
from sdk.images import Picture
from sdk.same_kind import restore_file, restore_image
from tests.conftest import ROOT

GREY = Picture(np.arange(256, dtype=np.uint8).reshape(16, 16))
DEEP = Picture(np.full((16, 16, 3), 40_000, np.uint16))
FRAMES = [Picture(np.full((16, 16), level, np.uint8), duration=100.0) for level in (10, 90, 200)]


def never(page: Picture) -> Picture:
    raise AssertionError("the work has begun")


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)


def test_a_missing_package_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "deep.png", [DEEP])
    write(tmp_path / "frames.gif", FRAMES)
    deep_tiff = encode([DEEP], "TIFF")
    without(monkeypatch, "tifffile")
    without(monkeypatch, "av")
    with pytest.raises(MissingDependencyError, match="tiff"):
        restore_file(tmp_path / "deep.png", tmp_path / "out.tif", never)
    with pytest.raises(MissingDependencyError, match="video"):
        restore_file(tmp_path / "frames.gif", tmp_path / "out.mp4", never)
    with pytest.raises(MissingDependencyError, match="tiff"):
        restore_image(deep_tiff, never)


def test_a_folder_that_is_none_is_told_before_the_work(tmp_path: Path) -> None:
    write(tmp_path / "in.png", [GREY])
    for target in (tmp_path / "in.png" / "out.png", tmp_path / "in.png" / "deeper" / "out.png"):
        with pytest.raises(ImageWriteError, match=r"in\.png is no folder"):
            restore_file(tmp_path / "in.png", target, never)


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_locked_folder_is_told_before_the_work(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(ImageWriteError, match="may not be written to"):
        check_target(locked / "out.png", overwrite=False)


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_another_program_wrote_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    target = tmp_path / "out.png"
    write(tmp_path / "in.png", [GREY])

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links on this disk")

    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)

    def restore(page: Picture) -> Picture:
        target.write_bytes(b"of another program")
        return page

    with pytest.raises(ImageWriteError, match="exists already"):
        restore_file(tmp_path / "in.png", target, restore)
    assert target.read_bytes() == b"of another program"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]
    restore_file(tmp_path / "in.png", target, restore, overwrite=True)
    np.testing.assert_array_equal(read(target).pages[0].pixels, GREY.pixels)
    target.unlink()
    restore_file(tmp_path / "in.png", target, lambda page: page)
    np.testing.assert_array_equal(read(target).pages[0].pixels, GREY.pixels)


def test_contents_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, synced = tmp_path / "out.bin", []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        assert not target.exists()
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_whole(target, b"12345")
    assert synced == [5]
    monkeypatch.undo()
    assert target.read_bytes() == b"12345"
    with pytest.raises(FileExistsError), whole_file(target, replace=False) as stream:
        stream.write(b"other")
    assert target.read_bytes() == b"12345"


def test_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    for place in ("a.png", ".Trashes/b.png", "sub/.thumbnails/deep/c.png", "sub/d.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16)).save(tmp_path / place)
    assert [place.as_posix() for _, place in find_sources([str(tmp_path)])] == ["a.png", "sub/d.png"]


def test_links_to_folders_are_reported_and_those_to_nothing_fail(tmp_path: Path) -> None:
    scans, elsewhere = tmp_path / "scans", tmp_path / "elsewhere"
    for place in (scans / "a.png", elsewhere / "b.png"):
        place.parent.mkdir()
        Image.new("L", (16, 16)).save(place)
    (scans / "linked").symlink_to(elsewhere)
    (scans / "c.png").symlink_to(tmp_path / "nothing")
    (scans / "d.png").symlink_to(scans / "a.png")
    assert [place.as_posix() for _, place in find_sources([str(scans)])] == ["a.png", "c.png", "d.png"]
    _, locked = passed_over([str(scans)])
    (said,) = map(why_locked, locked)
    assert said == f"{scans / 'linked'} cannot be looked into: it is a link to a folder. Name it among the sources, too."
    assert passed_over([str(scans), str(scans / "linked")])[1] == []


@pytest.mark.parametrize("pattern", ["*", "**/*.png"])
def test_what_a_glob_finds_of_earlier_results_is_no_source(tmp_path: Path, pattern: str) -> None:
    for place in ("a.png", "results/a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("L", (16, 16)).save(tmp_path / place)
    output = tmp_path / "results"
    expanded = [str(path) for path in sorted(tmp_path.glob(pattern))] if pattern == "*" else [str(tmp_path / pattern)]
    assert [job.source for job in plan_jobs(expanded, output, lambda source: source.suffix)] == [tmp_path / "a.png"]
    with pytest.raises(OptionError, match="is the input folder itself"):
        plan_jobs([str(output)], output, lambda source: source.suffix)


def test_a_bar_whose_terminal_was_closed_does_not_stop_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())
    outcome = Outcome()
    run_jobs([Job(tmp_path / name, tmp_path / f"{name}.png") for name in "abc"], lambda job: [], outcome)
    assert len(outcome.done) == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_interrupted_bar_leaves_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(job: Job) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(KeyboardInterrupt):
        run_jobs([Job(tmp_path / name, tmp_path / f"{name}.png") for name in "abc"], stop, Outcome())
    assert sys.stderr.getvalue().endswith("\r\033[K")  # type: ignore[attr-defined]


def test_what_is_left_is_never_sixty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = ProgressBar(2)
    bar.advance()
    monkeypatch.setattr("time.monotonic", lambda: bar.started + 119.7)
    bar.show("b")
    assert "1/2 2:00 left b" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_a_file_named_twice_is_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / "one").mkdir(exist_ok=True)
        Image.new("L", (16, 16)).save(tmp_path / "one" / name)
    found = find_sources(["one", "one/*.png", str(tmp_path / "one" / "a.png"), "one/./b.png"])
    assert found == [(Path("one/a.png"), Path("a.png")), (Path("one/b.png"), Path("b.png"))]


def test_a_folder_of_one_picture_still_needs_a_folder(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    for inputs in ([tmp_path], [tmp_path / "empty", tmp_path / "a.png"], [tmp_path / "a.png", tmp_path / "empty"]):
        with pytest.raises(OptionError, match=r"x\.png names one file, but results of folders go into folders; give a folder"):
            plan_jobs([str(each) for each in inputs], tmp_path / "x.png", lambda source: source.suffix)


HANG_UP = """
import signal
from sdk.cli.batch import stopped_by_signals

for handler in (signal.SIG_IGN, signal.SIG_DFL):
    signal.signal(signal.SIGHUP, handler)
    try:
        with stopped_by_signals():
            signal.raise_signal(signal.SIGHUP)
            print("goes on")
    except KeyboardInterrupt:
        print("stops")
    assert signal.getsignal(signal.SIGHUP) is handler
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_closed_terminal_stops_as_an_interrupt_does_but_for_nohup() -> None:
    """In a process of its own: this one has libraries that leave signals no stack to be handled on."""
    run = subprocess.run([sys.executable, "-c", HANG_UP], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout.split("\n")) == (0, ["goes on", "stops", ""]), run.stderr
