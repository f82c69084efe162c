"""HEIC and AVIF are read, upright and with what they say."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk import files
from sdk.cli import main
from sdk.files.heif import is_heif

PAGE = Path(__file__).parent / "samples" / "page.heic"
"""Of 64x48 px, then turned by its Exif: ramps of red to the right and of green upwards, blue at the top left."""


def upright_ramps() -> np.ndarray:
    page = np.zeros((48, 64, 3))
    page[..., 0] = np.linspace(20, 230, 64)
    page[..., 1] = np.linspace(200, 40, 48)[:, None]
    page[:24, :32, 2] = 180
    return np.rot90(page, 3)


def test_heic_is_read_upright_with_what_it_says() -> None:
    pytest.importorskip("pi_heif", reason="pi-heif is not installed: pip install 'inverse-halftoner[heif]'")
    file = files.read(PAGE)
    (page,) = file.pages
    assert page.pixels.shape == (64, 48, 3)
    assert np.abs(page.pixels - upright_ramps()).mean() < 6
    assert file.pages[0].header.dpi == (300, 300)
    assert file.pages[0].header.icc_profile is not None
    assert file.pages[0].header.exif is not None
    assert b"a page" in file.pages[0].header.exif
    assert b"xmpmeta" in (file.pages[0].header.xmp or b"")


def test_a_folder_of_heic_becomes_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pi_heif", reason="pi-heif is not installed: pip install 'inverse-halftoner[heif]'")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "IMG_1.HEIC").write_bytes(PAGE.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(["halftone", "in", "-o", "out"]) == 0
    dots = sdk.Halftoner("floyd-steinberg").run(PAGE)
    np.testing.assert_array_equal(files.read("out/IMG_1.png").pages[0].pixels, 255 * dots.astype(np.uint8))


def test_without_its_decoder_heic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(sdk.errors.MissingDependencyError, match=r"inverse-halftoner\[heif\]"):
        files.read(PAGE)


def test_which_decoder_a_file_is_for() -> None:
    head = "\0\0\0\x18ftyp{}\0\0\0\0mif1{}"
    assert is_heif(head.format("mif1", "heic").encode())
    assert is_heif(head.format("mif1", "miaf").encode())
    assert not is_heif(head.format("mif1", "avif").encode())
    assert is_heif(head.format("heic", "avif").encode())


def test_damaged_heic_is_called_so() -> None:
    pytest.importorskip("pi_heif", reason="pi-heif is not installed: pip install 'inverse-halftoner[heif]'")
    for length in (300, 900, 1200):
        with pytest.raises(sdk.errors.ImageReadError, match="damaged or cut short"):
            files.read(PAGE.read_bytes()[:length])


@pytest.mark.parametrize("data", [b"", b"ftyp", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", b"\0\0\0\x18ftypisom\0\0\0\0isommp42"])
def test_other_files_are_no_heic(data: bytes) -> None:
    assert not is_heif(data)


@pytest.mark.skipif("AVIF" not in files.DECODERS, reason="this Pillow has no AVIF")
def test_avif_is_read_upright() -> None:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright_ramps()).astype(np.uint8)).save(stream, "AVIF", exif=exif, quality=95)
    file = files.read(stream.getvalue())
    assert file.format == "AVIF"
    assert file.pages[0].duration is None
    with pytest.raises(sdk.errors.ImageReadError, match="damaged or cut short"):
        files.read(stream.getvalue()[:300])
    assert np.abs(file.pages[0].pixels - upright_ramps()).mean() < 6
    assert np.array_equal(np.array(Image.open(io.BytesIO(sdk.Halftoner("bayer").run(stream.getvalue()))).size), (48, 64))
