"""The released ``scan`` against its promises: the published tables, and some of them measured anew."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from docs.make_samples import text
from sdk.files import read
from tests.published import result
from tests.timing import median_ratio
from training.data import read_rgb
from training.descreening import acutance, residual, screen_peaks

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "docs" / "samples"
RESULT = result("scans/scan")

MISSED = pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the released model was trained for 269 minutes on two shared CPU cores; it needs more, or to be larger",
)
# What it misses: a strict xfail fails as soon as one of these is reached, and then it is taken out here.
MISSES = set(product(("kodak24", "cbsd68"), ("grey", "colour"), ("psnr", "lpips")))


@pytest.fixture(scope="module")
def scan() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("scan", device="cpu")


def test_target_on_real_scans() -> None:
    """Median residual at most 8 dB, median acutance at least 1.4."""
    assert np.median([row["residual"] for row in RESULT["scans"]]) <= 8
    assert np.median([row["acutance"] for row in RESULT["scans"]]) >= 1.4


@pytest.mark.slow
def test_real_scans_measured_anew(scan: sdk.InverseHalftoner, data: Path) -> None:
    published = {row["scan"]: row for row in RESULT["scans"]}
    for name in ("gallica_press1930s_06.jpg", "gallica_ad_truck4.jpg", "gallica_1910s_face_3.jpg"):
        before = read_rgb(data / "scans" / name)
        found, after = screen_peaks(before), scan.run(before)
        assert residual(before, after, found) == pytest.approx(published[name]["residual"], abs=0.5)
        assert acutance(before, after, found) == pytest.approx(published[name]["acutance"], abs=0.05)


@pytest.mark.parametrize("colour", ["grey", "colour"])
@pytest.mark.parametrize("set_name", ["kodak24", "cbsd68"])
def test_better_than_every_tuned_filter_on_simulated_prints(set_name: str, colour: str) -> None:
    rows = {row["restorer"]: row for row in RESULT["rows"] if (row["set"], row["dither"]) == (set_name, f"{colour} print")}
    ours = rows.pop("scan")
    assert len(rows) == 3
    for row in rows.values():
        assert ours["psnr"] > row["psnr"]
        assert ours["ssim"] > row["ssim"]


@pytest.mark.parametrize("colour", ["grey", "colour"])
@pytest.mark.parametrize("set_name", ["kodak24", "cbsd68"])
def test_sharper_than_every_tuned_filter_on_simulated_prints(set_name: str, colour: str) -> None:
    lpips = {row["restorer"]: row["lpips"] for row in RESULT["rows"] if (row["set"], row["dither"]) == (set_name, f"{colour} print")}
    assert min(lpips, key=lambda restorer: lpips[restorer]) == "scan"


@pytest.mark.parametrize("measure", ["psnr", "lpips"])
@pytest.mark.parametrize("colour", ["grey", "colour"])
@pytest.mark.parametrize("set_name", ["kodak24", "cbsd68"])
def test_target_on_simulated_prints(set_name: str, colour: str, measure: str, request: pytest.FixtureRequest) -> None:
    """3 dB above the best tuned filter, at 0.6 of its LPIPS."""
    if (set_name, colour, measure) in MISSES:
        request.applymarker(MISSED)
    scores = {row["restorer"]: row[measure] for row in RESULT["rows"] if (row["set"], row["dither"]) == (set_name, f"{colour} print")}
    ours = scores.pop("scan")
    assert ours >= 3 + max(scores.values()) if measure == "psnr" else ours <= 0.6 * min(scores.values())


@pytest.mark.slow
def test_costs_at_most_twice_what_fast_costs(scan: sdk.InverseHalftoner, photo: np.ndarray) -> None:
    """A pixel."""
    dots = sdk.Halftoner("am-screen", lpi=85, dpi=300).run(photo[:512, :512].copy())
    fast = sdk.InverseHalftoner("fast", device="cpu")
    assert median_ratio(lambda: scan.run(dots), lambda: fast.run(dots)) <= 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_the_printed_page_reads_the_same_after_restoration(scan: sdk.InverseHalftoner, tmp_path: Path) -> None:
    """8 to 10 point text beside a picture; at most 1 % of the characters may be read otherwise."""
    before = read(SAMPLES / "page_85lpi_300dpi.jpg").pages[0].pixels

    def words(pixels: np.ndarray, name: str) -> str:
        Image.fromarray(pixels).save(tmp_path / name)
        command = ["tesseract", str(tmp_path / name), "-", "--psm", "3", "--dpi", "300"]
        return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

    first, second = words(before, "before.png"), words(scan.run(before), "after.png")
    assert len(first) > 0.9 * len(text())
    edits = difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    differing = sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in edits if kind != "equal")
    assert differing <= 0.01 * len(first)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_an_a4_page_at_300_dpi_needs_less_than_1500_megabytes(tmp_path: Path) -> None:
    """8.7 megapixels in colour, through the CLI, in a process of its own."""
    page = np.asarray(Image.open(SAMPLES / "page_85lpi_300dpi.jpg"))
    Image.fromarray(np.tile(page, (3, 2, 1))[:3508, :2480]).save(tmp_path / "page.png", dpi=(300, 300))
    program = """
import sys
from sdk.cli import main
status = main(["restore", "page.png", "-o", "restored.png", "--device", "cpu", "-v"])
# of this program alone: ru_maxrss would begin with what the process that started it held
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert "model 'scan'" in result.stdout
    peak = int(result.stdout.split()[-1])
    print(f"peak memory of an A4 page at 300 dpi: {peak / 1e9:.2f} GB")
    assert peak < 1.5e9
