"""The print-and-scan simulator: seeded, in range, and its target is the tone that the dots themselves carry."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sdk.analysis import analyze
from sdk.analysis.spectrum import peaks, power_spectrum
from training.config import RecipeError, from_table, load_recipe, to_table
from training.lettering import draw_lettering
from training.printing import smooth_noise
from training.scanning import ENLARGEMENTS, PrintScan

AM_DOTS = {"round": 1.0, "ellipse": 1.0, "diamond": 1.0, "line": 1.0}


@pytest.fixture(scope="module")
def simulate() -> PrintScan:
    return load_recipe("scan").data.prints[0]


@pytest.fixture(scope="module")
def clean(simulate: PrintScan) -> PrintScan:
    """Printing with every ink and screen, scanned without noise, coding or cutting."""
    optics = replace(simulate.scan, aliased=0, skewed=0, enlarged=0, curved=0, sharpened=0, noise=(0, 0), jpeg=0, thresholded=0, grey=0)
    return replace(simulate, unscreened=0, print=replace(simulate.print, dots=AM_DOTS), scan=optics)


@pytest.fixture(scope="module")
def colour(photo: np.ndarray) -> np.ndarray:
    """uint8 192x256x3: a photograph tinted, so that all inks are used."""
    part = photo[120:312, 300:556].astype(np.float32)
    return np.rint(np.stack([part, 0.7 * part + 40, 255 - part], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_pairs_are_in_range_and_repeatable(simulate: PrintScan, colour: np.ndarray, seed: int) -> None:
    scan, tone = simulate(colour, np.random.default_rng(seed))
    for image in (scan, tone):
        assert image.shape == colour.shape
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
    again = simulate(colour, np.random.default_rng(seed))
    assert np.array_equal(scan, again[0])
    assert np.array_equal(tone, again[1])
    assert not np.array_equal(scan, simulate(colour, np.random.default_rng(seed + 1000))[0])


@pytest.mark.parametrize("seed", range(16))
def test_target_is_the_local_mean_of_the_dots(clean: PrintScan, colour: np.ndarray, seed: int) -> None:
    scan, tone, printed, _ = clean.pair(colour, np.random.default_rng(seed), period=4.0)
    wide = lambda image: cv2.GaussianBlur(image, (0, 0), 2 * printed.period)[16:-16, 16:-16]  # noqa: E731
    difference = wide(scan) - wide(tone)
    assert np.abs(difference).mean() < 0.01, "ink is lost or gained on the way"
    assert np.abs(scan - tone).mean() > np.abs(difference).mean(), "there are no dots"


@pytest.mark.parametrize("gamma", [0.6, 1.6])
@pytest.mark.parametrize("seed", range(4))
def test_a_tone_curve_moves_the_target_as_it_moves_the_dots(clean: PrintScan, colour: np.ndarray, seed: int, gamma: float) -> None:
    """Soft dots and optics leave values between ink and paper, whose curve is not that of their mean."""
    curved = replace(clean, scan=replace(clean.scan, curved=1.0, gamma=(gamma, gamma), blur=(0.8, 0.8)))
    (scan, tone), plain = (simulate(colour, np.random.default_rng(seed), period=4.0) for simulate in (curved, clean))
    wide = lambda image: cv2.GaussianBlur(image, (0, 0), 8)[16:-16, 16:-16]  # noqa: E731
    assert np.abs(wide(scan) - wide(tone)).mean() < 0.012
    assert np.abs(wide(scan) - wide(plain[0])).mean() > 0.03, "nothing was curved"


@pytest.mark.parametrize(("period", "seed"), [(2.6, 0), (3.3, 1), (4.7, 2), (6.1, 3), (9.0, 4), (12.5, 5)])
def test_screens_have_the_period_asked_for(clean: PrintScan, period: float, seed: int) -> None:
    inks = replace(clean.print, inks={"black": 1.0}, dots={"round": 1.0}, lettering=0, warp=(0, 0))
    flat = np.full((256, 256, 3), 120, np.uint8)
    scan, _, printed, enlarged = replace(clean, print=inks).pair(flat, np.random.default_rng(seed), period=period)
    spectrum = power_spectrum(scan[..., 0] * 255, flat=0)
    assert spectrum is not None
    found = peaks(spectrum, count=2)
    for peak in found:
        assert peak.period == pytest.approx(printed.period * enlarged, rel=0.04)


def test_without_a_screen_nothing_but_optics_happens(clean: PrintScan, colour: np.ndarray) -> None:
    scan, tone = replace(clean, unscreened=1.0, print=replace(clean.print, lettering=0))(colour, np.random.default_rng(3))
    assert np.abs(scan - tone).mean() < 0.02


@pytest.mark.parametrize("period", [2.0, 4.0, 8.0], ids="period {}".format)
@pytest.mark.parametrize("way", [{}, {"aliased": 1.0}, {"skewed": 1.0}], ids=["areas", "points", "skewed"])
def test_scan_and_target_lie_on_each_other(clean: PrintScan, colour: np.ndarray, way: dict, period: float) -> None:
    """Oversampling is 4, 3 and 2 at these periods: the centre of a pixel lies between samples, or on one."""
    printing = replace(clean.print, lettering=0, misregistration=0)
    simulate = replace(clean, unscreened=1.0, print=printing, scan=replace(clean.scan, **way))
    for seed in range(6):
        pair = simulate.pair(colour, np.random.default_rng(seed), period)[:2]
        scan, tone = (cv2.GaussianBlur(image[..., 1], (0, 0), 2)[8:-8, 8:-8] for image in pair)
        slopes = np.stack([slope.ravel() for slope in np.gradient(tone)], axis=1)
        shift = np.linalg.lstsq(slopes, (tone - scan).ravel())[0]
        assert np.hypot(*shift) < 0.06, seed


def test_sheets_askew_are_turned_and_bent(clean: PrintScan, colour: np.ndarray) -> None:
    """By 3 degrees about the middle, to one side or the other."""
    plain = replace(clean, unscreened=1.0, detail=(0, 0), print=replace(clean.print, inks={"black": 1.0}, lettering=0))
    askew = replace(plain, scan=replace(clean.scan, skewed=1.0, skew=(3, 3), perspective=(0, 0)))
    straight, turned = (simulate(colour, np.random.default_rng(7))[1] for simulate in (plain, askew))
    height, width = colour.shape[:2]
    found = [
        cv2.warpAffine(straight, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1), (width, height))
        for angle in (-3, 3)
    ]
    inside = slice(16, -16), slice(16, -16)
    errors = [np.abs(image - turned)[inside].mean() for image in (*found, straight)]
    assert min(errors[:2]) < 0.1 * errors[2], errors


@pytest.mark.parametrize("seed", range(4))
def test_the_angle_of_a_screen_turns_with_its_sheet(clean: PrintScan, seed: int) -> None:
    printing = replace(clean.print, inks={"black": 1.0}, dots={"round": 1.0}, lettering=0, warp=(0, 0))
    askew = replace(clean, print=printing, scan=replace(clean.scan, skewed=1.0, skew=(4, 4), perspective=(0, 0)))
    scan, _, printed, _ = askew.pair(np.full((256, 256, 3), 120, np.uint8), np.random.default_rng(seed), period=5.0)
    found = analyze(scan)
    assert found.angle is not None
    assert abs((found.angle - printed.angle + 45) % 90 - 45) < 0.5


@pytest.mark.parametrize("interpolation", sorted(set(ENLARGEMENTS)))
def test_enlargement_leaves_the_picture_in_its_place(interpolation: int) -> None:
    ramp = np.arange(100, dtype=np.float32)[None]
    places = (np.arange(130) + 0.5) / 1.3 - 0.5
    enlarged = cv2.resize(ramp, (130, 1), interpolation=interpolation)[0]
    assert np.mean(enlarged - places) == pytest.approx(0, abs=0.02)


def test_cut_scans_have_two_levels(simulate: PrintScan, colour: np.ndarray) -> None:
    cut = replace(simulate, scan=replace(simulate.scan, thresholded=1.0))
    scan, tone = cut(colour, np.random.default_rng(0))
    assert set(np.unique(scan)) <= {0.0, 1.0}
    assert np.unique(tone).size > 10


def test_grey_scans_have_equal_planes(simulate: PrintScan, colour: np.ndarray) -> None:
    scan, tone = replace(simulate, scan=replace(simulate.scan, grey=1.0, jpeg=0))(colour, np.random.default_rng(5))
    for image in (scan, tone):
        assert np.ptp(image, axis=2).max() < 1e-6


def test_enlarged_scans_keep_their_size(simulate: PrintScan, colour: np.ndarray) -> None:
    enlarged = replace(simulate, scan=replace(simulate.scan, enlarged=1.0))
    scan, _, printed, factor = enlarged.pair(colour, np.random.default_rng(1), period=8.0)
    assert scan.shape == colour.shape
    assert 1.2 <= factor <= 2.5
    assert printed.period * factor == pytest.approx(8.0)


def test_lettering_covers_what_it_says() -> None:
    layouts = set()
    for seed in range(40):
        lettering = draw_lettering(64, 96, 2, np.random.default_rng(seed))
        ink, picture = lettering.ink, lettering.picture
        for mask in (ink, picture):
            assert mask.shape == (128, 192)
            assert mask.dtype == np.float32
            assert 0 <= mask.min() <= mask.max() <= 1
        assert set(np.unique(picture)) <= {0, 1}, "paper is bare, or printed on"
        if picture.all():
            layouts.add("over the picture")
            assert ink.any(), "it draws something"
        elif not picture.any():
            layouts.add("text alone")
        elif np.ptp(picture, axis=0).max() == 0 or np.ptp(picture, axis=1).max() == 0:
            layouts.add("beside the picture")
            assert ink[picture == 1].mean() < 0.12, "at most a rule along its edge"
        else:
            layouts.add("white in the picture")
            assert not ink.any()
    assert len(layouts) == 4


def test_noise_has_unit_variance_and_wraps() -> None:
    rng = np.random.default_rng(0)
    for sigma in (0, 0.5, 1.25, 3):
        noise = smooth_noise((700, 600), sigma, rng)
        assert noise.shape == (700, 600)
        assert noise.std() == pytest.approx(1, abs=0.05)
    assert smooth_noise((20, 30, 3), 1, rng).shape == (20, 30, 3)


def test_recipe_round_trip_and_unknown_range(simulate: PrintScan) -> None:
    table = to_table(simulate)
    assert from_table(PrintScan, table, "here") == simulate
    table["scan"]["blurr"] = table["scan"].pop("blur")
    with pytest.raises(RecipeError, match=r"scan: unknown key 'blurr'.*'blur'"):
        from_table(PrintScan, table, "here")
