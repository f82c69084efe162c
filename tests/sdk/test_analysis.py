"""``analyze``: what it takes, what it says, how fast and how often right; the whole measure is in ``training.evaluate_analysis``."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdk.analysis import KINDS, Analysis, analyze, analyze_pixels
from sdk.errors import ImageReadError, OptionError, UnsupportedImageError
from sdk.halftoning import halftone
from tests.sdk.sheets import blurred_print, encoded
from training.evaluate_analysis import evaluate, judge_scans, table

# What goes in and comes out


def test_same_for_every_dtype(photo: np.ndarray) -> None:
    dots = halftone(photo, "am-screen", lpi=120.0, angle=20.0)
    assert len({analyze_pixels(pixels) for pixels in (dots, dots.astype(np.uint8) * 255, dots.astype(np.float32))}) == 1
    for pixels in (blurred_print(photo, 5, 30), photo):
        same = {analyze_pixels(p) for p in (pixels, pixels.astype(np.uint16) * 257, pixels.astype(np.float32) / 255)}
        assert len(same) == 1
    assert analyze_pixels(np.repeat(dots[..., None], 3, axis=2)) == analyze_pixels(dots)


def test_sixteen_bit_levels(photo: np.ndarray) -> None:
    found = analyze_pixels(halftone(photo.astype(np.uint16) * 257, "bit-depth", bits=3))
    assert (found.kind, found.bits) == ("few-bit", 3)


def test_path_bytes_and_pil_with_their_resolution(photo: np.ndarray, tmp_path: Path) -> None:
    data = encoded(halftone(photo, "am-screen", lpi=85.0, dpi=300.0, angle=30.0).astype(np.uint8) * 255, "PNG", dpi=(300, 300))
    path = tmp_path / "page.png"
    path.write_bytes(data)
    for source in (path, str(path), data, Image.open(path)):
        found = analyze(source)
        assert found.lpi == pytest.approx(85, rel=0.005)
        assert "(85 lpi at 300 dpi)" in str(found)
    assert analyze(path, dpi=600).lpi == pytest.approx(170, rel=0.005)
    assert analyze(np.array(Image.open(path))).lpi is None


def test_alpha_is_left_out(photo: np.ndarray) -> None:
    dots = np.repeat(halftone(photo, "bayer")[..., None].astype(np.uint8) * 255, 4, axis=2)
    dots[..., 3] = 77
    assert analyze(dots).kind == "ordered"


def test_every_kind_has_its_sentence() -> None:
    for kind in KINDS:
        text = str(Analysis(kind, 0.5, 3.3, 46.0, 91.0, 3, 40))
        assert text.endswith("confidence 0.50")
    screen = Analysis("screen", 0.97, 3.3, 46.0, 300 / 3.3)
    assert str(screen) == "AM screen, period 3.30 px at 46 degrees (91 lpi at 300 dpi), confidence 0.97"


def test_errors_say_what_is_wrong(photo: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="cannot be read"):
        analyze(tmp_path / "missing.png")
    with pytest.raises(ImageReadError, match="not a picture"):
        analyze(b"no picture")
    with pytest.raises(UnsupportedImageError, match="float64"):
        analyze(photo / 255)
    with pytest.raises(UnsupportedImageError, match="Found a list"):
        analyze([1, 2, 3])  # type: ignore[arg-type]
    for dpi in (0, -300, float("nan"), float("inf"), True, "300", (300, 300)):
        with pytest.raises(OptionError, match="dpi"):
            analyze(photo, dpi=dpi)


@pytest.mark.parametrize("shape", [(300_000, 8), (8, 300_000), (270_000, 8, 3)])
def test_long_strips_are_judged(shape: tuple[int, ...]) -> None:
    assert analyze_pixels(np.zeros(shape, np.uint8)).kind == "line-art"


# How fast and how well


def test_fast_enough(photo: np.ndarray) -> None:
    """About 0.05 to 0.12 s of one core are measured; a loaded machine may take several times that."""
    large = np.tile(photo, (2, 2))[:1024, :1024]
    for pixels in (large, halftone(large, "floyd-steinberg"), np.repeat(large[..., None], 3, axis=2), np.tile(large, (4, 4))):
        times = []
        for _ in range(3):
            start = time.process_time()
            analyze_pixels(pixels)
            times.append(time.process_time() - start)
        assert min(times) < 1.0


@pytest.mark.slow
def test_right_on_95_percent_of_every_sixth_picture_of_kodak24(data: Path) -> None:
    scores = evaluate(data, sets=("kodak24",), every=6)
    print(table(scores))
    assert sum(score.right for score in scores.values()) >= 0.95 * sum(score.total for score in scores.values())
    for kind in KINDS:
        rows = [score for title, score in scores.items() if title.startswith(kind + ":")]
        right, total = (sum(getattr(score, field) for score in rows) for field in ("right", "total"))
        assert right >= 0.9 * total, kind  # about one simulated print in twenty has no dots left that could be seen
        if kind == "screen":
            assert sum(score.within for score in rows) >= 0.95 * right


@pytest.mark.slow
def test_real_scans(data: Path) -> None:
    if not (data / "scans" / "INDEX.csv").is_file():
        pytest.skip("the scans are not there")
    found = {name: analysis for name, _, analysis in judge_scans(data / "scans")}
    assert sum(analysis.kind == "screen" for analysis in found.values()) >= 25
    assert found["gab_mezzotint.png"].kind == "continuous"
    assert found["gallica_mag_3.jpg"].lpi == pytest.approx(121, abs=2)
