"""Dithers of more than two levels: of every method that places dots, as files, and as the analysis sees them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sdk
from sdk.analysis import analyze_pixels
from sdk.analysis.dither import find_clumps
from sdk.analysis.methods import label_of
from sdk.errors import ImageWriteError, OptionError
from sdk.halftoning import METHODS, even_levels, halftone
from sdk.halftoning.error_diffusion import KERNELS
from sdk.metrics import psnr
from tests.sdk.pictures import flat

LEVELLED = sorted(name for name, method in METHODS.items() if "levels" in method.parameters)


def test_every_method_that_places_dots_takes_levels() -> None:
    assert set(LEVELLED) == METHODS.keys() - {"palette", "bit-depth"}


@pytest.mark.parametrize("name", LEVELLED)
@pytest.mark.parametrize("levels", [3, 4, 16])
def test_all_levels_and_no_others(name: str, levels: int) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    dots = halftone(ramp, name, levels=levels)
    assert dots.dtype == np.uint8
    np.testing.assert_array_equal(np.unique(dots), even_levels(levels))


@pytest.mark.parametrize("name", ["floyd-steinberg", "stucki", "bayer", "blue-noise", "clustered-dot"])
@settings(max_examples=20, deadline=None)
@given(grey=st.integers(0, 255), levels=st.integers(3, 16))
def test_tone_is_kept_by_the_two_levels_around_it(name: str, grey: int, levels: int) -> None:
    dots = halftone(flat(grey), name, levels=levels)
    assert abs(dots.mean() - grey) <= 255 / (levels - 1) / 16 + 1
    if name not in KERNELS:  # whose errors may carry a pixel a level further
        assert np.abs(dots.astype(int) - grey).max() <= np.ceil(255 / (levels - 1))


def test_ordered_dither_by_its_definition() -> None:
    """The level below, or the one above where the rest exceeds the threshold; Bayer's 2x2 by hand."""
    thresholds = np.tile((np.array([[0, 2], [3, 1]]) + 0.5) / 4, (8, 8))
    grey = np.random.default_rng(0).integers(256, size=(16, 16), dtype=np.uint8)
    expected = np.floor(grey / 255 * 3 + 1 - thresholds) * 85
    np.testing.assert_array_equal(halftone(grey, "bayer", size=2, levels=4), expected)


def test_error_diffusion_by_hand() -> None:
    """Of a row: 100 is nearest to 85; 15 x 7 / 16 = 6 more make 106, again 85; 21 x 7 / 16 = 9 make 109; 24 x 7 / 16 = 10; 25, 10."""
    assert halftone(np.full((1, 5), 100, np.uint8), "floyd-steinberg", levels=4).tolist() == [[85] * 5]
    assert halftone(np.full((1, 3), 125, np.uint8), "floyd-steinberg", levels=4).tolist() == [[85, 170, 85]]


@pytest.mark.parametrize("levels", [1, 65, 0, -3])
def test_impossible_levels(levels: int) -> None:
    with pytest.raises(OptionError, match=r"2\.\.64"):
        sdk.Halftoner("bayer", levels=levels)


def test_a_network_is_not_told_the_method_of_more_levels() -> None:
    assert label_of("floyd-steinberg", {"levels": 2}) == "floyd-steinberg"
    assert label_of("floyd-steinberg", {"levels": 4}) is None


# ---- files


def test_gif_holds_them_exactly(tmp_path: Path, colour: np.ndarray) -> None:
    Image.fromarray(colour).save(tmp_path / "photo.png")
    halftoner = sdk.Halftoner("stucki", levels=6)
    halftoner.run_file(tmp_path / "photo.png", tmp_path / "dots.gif")
    with Image.open(tmp_path / "dots.gif") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), halftoner.run(colour))


@pytest.mark.parametrize(("levels", "suffix"), [(7, ".gif"), (4, ".jpg")])
def test_what_would_change_them_is_refused(tmp_path: Path, colour: np.ndarray, levels: int, suffix: str) -> None:
    Image.fromarray(colour).save(tmp_path / "photo.png")
    with pytest.raises(ImageWriteError):
        sdk.Halftoner("bayer", levels=levels).run_file(tmp_path / "photo.png", tmp_path / f"dots{suffix}")
    assert not (tmp_path / f"dots{suffix}").exists()


def test_colours_of_ones_own(tmp_path: Path, colour: np.ndarray) -> None:
    inks = "#000000,#ffffff,#CC0000, #e0c010"
    for dither in ("floyd-steinberg", "bayer", "none"):
        dots = sdk.Halftoner("palette", palette=inks, dither=dither).run(colour)
        found = {f"#{bytes(pixel).hex()}" for pixel in dots.reshape(-1, 3)}
        assert found <= {"#000000", "#ffffff", "#cc0000", "#e0c010"}
        assert len(found) >= 3
    assert analyze_pixels(dots).kind == "palette"
    no_black = sdk.Halftoner("palette", palette="#ffffff,#cc0000").run(np.zeros((16, 16, 3), np.uint8))
    assert (no_black == (204, 0, 0)).all()


@pytest.mark.parametrize("palette", ["#12", "#000000", "#zzzzzz,#ffffff", "ega", ",".join(["#000000"] * 257)])
def test_no_colours(palette: str) -> None:
    with pytest.raises(OptionError):
        sdk.Halftoner("palette", palette=palette)


# ---- analysis


@pytest.mark.parametrize("levels", [4, 8, 16])
@pytest.mark.parametrize(("method", "parameters"), [("floyd-steinberg", {}), ("atkinson", {}), ("bayer", {"size": 4}), ("blue-noise", {})])
def test_dithered_levels_are_told_from_cut_ones(colour: np.ndarray, method: str, parameters: dict, levels: int) -> None:
    """Also where the levels of colours make more than 256."""
    for photo in (colour, np.ascontiguousarray(colour[..., 1])):
        dots = halftone(photo, method, levels=levels, **parameters)
        found = analyze_pixels(dots)
        assert found.kind == "palette"
        of_colour = len(np.unique(dots.reshape(-1, 3), axis=0)) if dots.ndim == 3 else len(np.unique(dots))
        assert found.colors == (of_colour if of_colour <= 256 else None)
        assert ("few levels" in str(found)) == (found.colors is None)
        cut = (photo // (256 // levels) * (256 // levels)).astype(np.uint8)
        assert analyze_pixels(cut).kind == "few-bit"


@pytest.mark.parametrize("times", [2, 3, 5])
def test_few_greys_that_were_enlarged(photo: np.ndarray, times: int) -> None:
    """As screenshots of the first handheld consoles are. Drawings in large pixels, which have no dither, stay as they are."""
    dots = halftone(photo, "bayer", size=4, levels=4)
    enlarged = dots.repeat(times, axis=0).repeat(times, axis=1)
    found = analyze_pixels(enlarged)
    assert (found.kind, found.colors, found.enlarged) == ("palette", 4, times)
    assert f"each pixel {times}x{times} times" in str(found)
    gif, small = sdk.InverseHalftoner("gif"), sdk.InverseHalftoner("gif").run(dots)
    expected = cv2.resize(small, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    for restored in (gif.run(enlarged), sdk.InverseHalftoner("auto").run(enlarged)):
        assert np.abs(restored.astype(int) - expected).mean() < 2
    drawing = (np.add.outer(np.arange(40) // 9, np.arange(50) // 7) % 4 * 85).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    np.testing.assert_array_equal(gif.run(drawing), drawing)
    assert analyze_pixels(drawing).enlarged == 1


def test_clumps_of_dither_noise_and_contours() -> None:
    ramp = np.tile(np.linspace(0, 255, 512), (256, 1))
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, ramp.shape), (0, 0), 0.8)
    of_dither = find_clumps([halftone(ramp.astype(np.uint8), "floyd-steinberg", levels=4)])
    of_grain, of_contours = (find_clumps([np.clip(tones, 0, 255).astype(np.uint8) >> 6 << 6]) for tones in (ramp + grain, ramp))
    assert of_dither is not None
    assert of_grain is not None
    assert of_contours is not None
    assert of_dither < 0.08 < 0.2 < of_grain < 0.4 < of_contours
    assert find_clumps([flat(85)]) is None


# ---- restoration


@pytest.mark.parametrize(
    ("method", "parameters", "gain"), [("bayer", {"size": 4}, 1.0), ("floyd-steinberg", {}, 1.0), ("blue-noise", {}, 0.5)]
)
def test_four_greys_are_restored_better_than_by_any_blur(photo: np.ndarray, method: str, parameters: dict, gain: float) -> None:
    photo = photo[100:356, 100:356]
    dots = halftone(photo, method, levels=4, **parameters)
    blurred = max(psnr(cv2.GaussianBlur(dots, (0, 0), sigma), photo) for sigma in (0.7, 1.0, 1.4, 2.0))
    auto = sdk.InverseHalftoner("auto")
    assert psnr(auto.run(dots), photo) > blurred + gain
    assert auto.choice is not None
    assert auto.choice.model == "gif"
