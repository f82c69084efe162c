"""Writing: nothing is half written or replaced without leave, and a book is never in memory whole."""

from __future__ import annotations

import io
import itertools
import os
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.errors import ImageReadError, ImageWriteError, UnsupportedImageError
from sdk.files import encode, formats, read, tiff, write
from sdk.images import Picture
from sdk.same_kind import restore_file
from tests.sdk.pictures import GREY, GREY16, fail, files_below, frames, one_page

# One file


def test_an_existing_file_is_kept_without_leave(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    with pytest.raises(ImageWriteError, match=r"exists already.*--overwrite"):
        write(path, one_page(GREY))
    assert path.read_bytes() == b"old"
    write(path, one_page(GREY), overwrite=True)
    np.testing.assert_array_equal(read(path).pages[0].pixels, GREY)


@pytest.mark.parametrize("name", ["out", "out.xyz", "out.jp2"])
def test_unknown_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageWriteError, match=r"use one of .*\.png"):
        write(tmp_path / name, one_page(GREY))
    assert files_below(tmp_path) == []


def test_missing_folders_are_made_for_a_result_but_not_for_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(ImageWriteError):
        write(tmp_path / "missing" / "out.jpg", one_page(GREY16))
    assert not (tmp_path / "missing").exists()
    write(tmp_path / "missing" / "deep" / "out.png", one_page(GREY))
    assert (tmp_path / "missing" / "deep" / "out.png").is_file()


def test_a_refused_picture_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jpg"
    path.write_bytes(b"old")
    with pytest.raises(ImageWriteError):
        write(path, one_page(GREY16), overwrite=True)
    assert path.read_bytes() == b"old"
    assert files_below(tmp_path) == ["out.jpg"]


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", fail(OSError(28, "No space left on device")))
    with pytest.raises(ImageWriteError, match="cannot be written: No space left on device"):
        write(path, one_page(GREY), overwrite=True)
    assert path.read_bytes() == b"old"
    assert files_below(tmp_path) == ["out.png"]


def test_a_folder_without_leave_to_write_is_a_write_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", fail(PermissionError(13, "Permission denied")))
    with pytest.raises(ImageWriteError, match="Permission denied"):
        write(tmp_path / "out.png", one_page(GREY))


@pytest.mark.parametrize(("overwrite", "last_step"), [(False, "link"), (True, "replace")])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool, last_step: str) -> None:
    monkeypatch.setattr(os, last_step, fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.png", one_page(GREY), overwrite=overwrite)
    assert files_below(tmp_path) == []


def test_a_long_but_valid_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".png")
    write(path, one_page(GREY))
    assert files_below(tmp_path) == [path.name]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write(tmp_path / "out.png", one_page(GREY))
    assert (tmp_path / "out.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("source", "restored", "halftoned"),
    [("a.tif", ".tif", ".tif"), ("a.JPG", ".JPG", ".png"), ("a.gif", ".png", ".png"), ("a.pbm", ".png", ".png"), ("a.jp2", ".png", ".png")],
)
def test_suffixes_of_results(source: str, restored: str, halftoned: str) -> None:
    assert formats.restored_suffix(Path(source)) == restored
    assert formats.halftone_suffix(Path(source)) == halftoned


def test_a_full_disk_is_no_fault_of_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff.AppendingTiffWriter, "write", fail(OSError(28, "No space left on device")))
    with pytest.raises(ImageWriteError, match="cannot be written: No space left on device"):
        write(tmp_path / "out.tif", one_page(GREY))
    assert files_below(tmp_path) == []


# Books


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_each_page_goes_when_its_restoration_comes(tmp_path: Path, suffix: str) -> None:
    """So a book, or an animation, is never in memory twice."""
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write(source, [Picture(page, duration=40) for page in frames(4)])
    seen: list[weakref.ref] = []

    def restore(page: Picture) -> Picture:
        assert not any(reference() is not None for reference in seen)
        seen.append(weakref.ref(page.pixels))
        return page.with_pixels(255 - page.pixels)

    restore_file(source, target, restore)
    assert len(seen) == 4
    for page, array in itertools.zip_longest(read(target).pages, frames(4)):
        np.testing.assert_array_equal(page.pixels, 255 - array)


def test_pages_of_a_book_are_in_memory_one_at_a_time(tmp_path: Path) -> None:
    page, count = np.zeros((700, 500), np.uint8), 40
    write(tmp_path / "in.tif", (Picture(page + i) for i in range(count)))
    done: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", lambda page: page, on_page=lambda *pages: done.append(pages))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done == [(i + 1, count) for i in range(count)]
    assert peak < 10 * page.nbytes
    for i, found in enumerate(read(tmp_path / "out.tif").pages):
        assert (found.pixels == i).all()


def test_damage_of_a_later_page_is_told_before_the_work(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    data = bytearray(encode([Picture(GREY), Picture(noise)], "TIFF"))
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        at = image.tag_v2[273][0]  # type: ignore[attr-defined]  # StripOffsets
    data[at + 100 : at + 1100] = bytes(1000)
    (tmp_path / "in.tif").write_bytes(data)
    with pytest.raises(ImageReadError, match=r"in\.tif is damaged"):
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", fail(AssertionError("it began")))
    assert files_below(tmp_path) == ["in.tif"]


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_faults_of_the_work_are_not_called_faults_of_the_file(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "in.tif", [Picture(GREY), Picture(GREY)])
    write(tmp_path / "in.png", [Picture(GREY)])
    with pytest.raises(BrokenPipeError):
        restore_file(
            tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", lambda page: page, on_page=fail(BrokenPipeError(32, "Broken pipe"))
        )
    assert files_below(tmp_path) == ["in.png", "in.tif"]


def test_a_page_that_cannot_be_restored_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path / "in.tif", [Picture(GREY), Picture(GREY)])
    turns = iter([None, UnsupportedImageError("no")])

    def restore(page: Picture) -> Picture:
        if error := next(turns):
            raise error
        return page

    with pytest.raises(UnsupportedImageError, match="Page 2 of 2: no"):
        restore_file(tmp_path / "in.tif", tmp_path / "out.tif", restore)
    assert files_below(tmp_path) == ["in.tif"]
