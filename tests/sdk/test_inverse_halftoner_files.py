"""``InverseHalftoner.run_file``: pages, frames and headers stay, and nothing is written on failure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.errors import ImageWriteError, InverseHalftonerError
from sdk.files import read, write
from sdk.headers import Header
from sdk.images import Picture
from sdk.steady_frames import SteadyFrames
from tests.sdk.pictures import ICC, as_dtype, files_below


def test_run_file_keeps_pages_and_header(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    pages = [dots, ~dots, dots[:40, :56]]
    write(tmp_path / "in.tif", [Picture(page, header=Header(dpi=(600.0, 600.0), icc_profile=ICC)) for page in pages])
    told = []
    restorer.run_file(tmp_path / "in.tif", tmp_path / "out.tif", on_page=lambda done, total: told.append((done, total)))
    result = read(tmp_path / "out.tif")
    assert result.pages[0].header.dpi == (600, 600)
    assert result.pages[0].header.icc_profile == ICC
    assert len(result.pages) == 3
    for found, page in zip(result.pages, pages):
        np.testing.assert_array_equal(found.pixels, restorer.run(page))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert files_below(tmp_path) == ["in.tif", "out.tif"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_run_file_keeps_16_bit_colour_and_alpha(
    restorer: sdk.InverseHalftoner, colour_dots: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    colour = as_dtype(colour_dots, np.uint16)
    alpha = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    write(tmp_path / f"in{suffix}", [Picture(colour, alpha)])
    restorer.run_file(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    (page,) = read(tmp_path / f"out{suffix}").pages
    np.testing.assert_array_equal(page.pixels, restorer.run(colour))
    np.testing.assert_array_equal(page.alpha, alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif"])
def test_run_file_keeps_frames_and_timing(restorer: sdk.InverseHalftoner, white: np.ndarray, tmp_path: Path, suffix: str) -> None:
    frames = [white[y : y + 64, 300:364] for y in (100, 200, 300)]
    images = [Image.fromarray(frame).convert("P") for frame in frames]
    images[0].save(tmp_path / "in.gif", save_all=True, append_images=images[1:], duration=[100, 200, 400], loop=0)
    restorer.run_file(tmp_path / "in.gif", tmp_path / f"out{suffix}")
    result = read(tmp_path / f"out{suffix}")
    assert [page.duration for page in result.pages] == [100, 200, 400]
    assert result.loop == 0
    steady = SteadyFrames()
    for found, frame in zip(result.pages, frames):
        grey = found.pixels if found.pixels.ndim == 2 else found.pixels[..., 0]
        alone = Picture(restorer.run(frame), duration=found.duration)
        np.testing.assert_array_equal(grey, steady(Picture(frame), alone).pixels)


def test_run_file_applies_the_orientation_and_keeps_exif(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Image.fromarray(dots[:48]).save(tmp_path / "in.png", exif=exif)
    restorer.run_file(tmp_path / "in.png", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), restorer.run(np.rot90(dots[:48], -1)))
        assert dict(image.getexif()) == {0x010F: "Maker"}


def test_run_file_keeps_an_existing_file(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(dots).save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"old")
    with pytest.raises(ImageWriteError, match="exists already"):
        restorer.run_file(tmp_path / "in.png", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"old"
    restorer.run_file(tmp_path / "in.png", tmp_path / "out.png", overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / "out.png").pages[0].pixels, restorer.run(dots))


def test_run_file_writes_nothing_on_failure(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(as_dtype(dots, np.uint16)).save(tmp_path / "deep.png")
    for source, target in (("text.png", "out.png"), ("missing.png", "out.png"), ("deep.png", "out.jpg"), ("deep.png", "out.xyz")):
        with pytest.raises(InverseHalftonerError):
            restorer.run_file(tmp_path / source, tmp_path / target)
    assert files_below(tmp_path) == ["deep.png", "text.png"]


def test_what_the_target_cannot_hold_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.fromarray(np.zeros((32, 32), bool))] * 2
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    restorer = sdk.InverseHalftoner("fast", device="cpu")
    monkeypatch.setattr(restorer, "_restore", lambda page: pytest.fail("work was done"))
    with pytest.raises(sdk.errors.ImageWriteError, match="one picture"):
        restorer.run_file(tmp_path / "two.tif", tmp_path / "two.jpg")
