"""What can be known before the work is checked before it, and what was written in the meantime is left alone."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.batch import find_sources
from sdk.errors import ImageWriteError, MissingDependencyError
from sdk.files import check_target, encode, read, write
from sdk.images import Picture
from sdk.same_kind import restore_file, restore_image
from sdk.whole_files import whole_file, write_whole

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
