"""``sdk.networks.screen_residue``: faint waves at known frequencies go, pictures and lettering stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sdk.analysis.spectrum import Peak, level_at, peaks, power_spectrum
from sdk.halftoning import halftone
from sdk.networks.screen_residue import LEAST, MOST_PEAKS, PERIODS, remove_residue, screen_frequencies

PEAK = Peak(row=40.0, column=52.0, prominence=30.0, block=256)


def wave(shape: tuple[int, int], levels: float, peak: Peak = PEAK) -> np.ndarray:
    down, across = peak.frequency
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (levels / 255 * np.cos(2 * np.pi * (down * y + across * x) + 0.7)).astype(np.float32)


@pytest.fixture(scope="module")
def picture(photo: np.ndarray) -> np.ndarray:
    return (photo / np.float32(255)).astype(np.float32)


def test_a_faint_wave_is_removed(picture: np.ndarray) -> None:
    waved = picture + wave(picture.shape, 1.0)
    cleaned = remove_residue(waved, [PEAK])
    before, after = (np.abs(image - picture).mean() for image in (waved, cleaned))
    assert after < 0.45 * before
    spectra = [power_spectrum(image * 255) for image in (waved, cleaned)]
    assert level_at(spectra[0], PEAK) - level_at(spectra[1], PEAK) > 10


def test_a_picture_without_residue_hardly_changes(picture: np.ndarray) -> None:
    assert np.abs(remove_residue(picture, [PEAK]) - picture).mean() * 255 < 0.3


def test_strong_waves_are_taken_for_picture(picture: np.ndarray) -> None:
    stripes = 0.5 + wave(picture.shape, 60)
    assert np.abs(remove_residue(stripes, [PEAK]) - stripes).max() * 255 < 0.5


def test_lettering_moves_by_a_few_levels_at_most() -> None:
    page = np.ones((256, 256), np.float32)
    page[:, ::23] = page[::31] = 0
    page[40:80, 100:104] = 0
    assert np.abs(remove_residue(page, [PEAK]) - page).max() * 255 < 3


def test_a_small_photograph_on_blank_paper_is_cleaned_as_if_alone(picture: np.ndarray) -> None:
    """What is usual on the page is nothing at all."""
    page = np.ones((1024, 1024), np.float32)
    photograph = picture[64:256, 64:256]
    inside = np.s_[384:576, 384:576]
    page[inside] = photograph + wave(photograph.shape, 1.5)
    left = (remove_residue(page, [PEAK])[inside] - photograph)[24:-24, 24:-24]
    alone = (remove_residue(photograph + wave(photograph.shape, 1.5), [PEAK]) - photograph)[24:-24, 24:-24]
    assert np.abs(left).mean() < 1.2 * np.abs(alone).mean()
    assert np.array_equal(remove_residue(np.ones_like(page), [PEAK]), np.ones_like(page))


def test_a_residue_is_taken_out_where_it_is() -> None:
    """Not a few pixels beside it: the error has its middle where the bump had it."""
    y, x = np.mgrid[:512, :512]
    bump = np.exp(-((x - 256) ** 2 + (y - 256) ** 2) / (2 * 40**2)).astype(np.float32)
    taken = np.abs(0.5 + bump * wave((512, 512), 1.5) - remove_residue(0.5 + bump * wave((512, 512), 1.5), [PEAK]))
    middle = [float((taken * axis).sum() / taken.sum()) for axis in (y, x)]
    assert middle == pytest.approx([256, 256], abs=0.5)


def test_colour_is_cleaned_channel_by_channel_and_input_is_kept(picture: np.ndarray) -> None:
    colour = np.stack([picture + wave(picture.shape, 1), picture, 0.5 * picture], axis=-1)
    kept = colour.copy()
    cleaned = remove_residue(colour, [PEAK])
    assert np.array_equal(colour, kept)
    for c in range(3):
        assert np.array_equal(cleaned[..., c], remove_residue(np.ascontiguousarray(colour[..., c]), [PEAK]))


@pytest.mark.parametrize("place", [(0.0, 128.0), (2.0, 126.0), (128.0, 1.0)], ids=str)
def test_waves_that_are_nearly_their_own_mirror_images_are_left_alone(place: tuple[float, float]) -> None:
    """Lines of 2 px: the demodulation would find them twice, and leave their negative."""
    waves = 128 + 255 * wave((300, 300), 30, replace(PEAK, row=place[0], column=place[1]))
    assert peaks(power_spectrum(waves), 1, PERIODS)[0].prominence > LEAST
    assert screen_frequencies(waves) == []


def test_waves_on_the_edge_of_the_spectrum_are_found_once() -> None:
    found = screen_frequencies(128 + 255 * wave((300, 300), 30, replace(PEAK, row=40.0, column=128.0)))
    assert [peak.row for peak in found] == [pytest.approx(40, abs=0.5)]


def test_nothing_found_nothing_done(picture: np.ndarray) -> None:
    assert remove_residue(picture, []) is picture
    assert screen_frequencies(np.full((64, 64), 128, np.float32)) == []


@pytest.mark.parametrize(("bins", "count"), [(0, 1), (2.7, 1), (5, 2)])
def test_of_frequencies_less_than_three_bins_apart_the_strongest_is_found(bins: float, count: int) -> None:
    other = replace(PEAK, row=PEAK.row + bins)
    waves = 128 + 255 * (wave((300, 300), 30) + (wave((300, 300), 20, other) if bins else 0))
    clear = [peak for peak in peaks(power_spectrum(waves), 24, PERIODS) if peak.prominence > LEAST]
    assert len(clear) == (2 if bins else 1), "both are peaks of the spectrum"
    found = screen_frequencies(waves)
    for peak, expected in zip(found, (PEAK, other)):
        assert peak.frequency == pytest.approx(expected.frequency, abs=0.5 / 256)
    assert len(found) == count


@pytest.mark.parametrize("angle", [15.0, 45.0])
def test_frequencies_of_a_screen_are_found_apart(photo: np.ndarray, angle: float) -> None:
    found = screen_frequencies(255 * halftone(photo, "am-screen", lpi=85.0, dpi=300.0, angle=angle).astype(np.float32))
    assert 2 <= len(found) <= MOST_PEAKS
    for peak in found[:2]:
        assert 1 / np.hypot(*peak.frequency) == pytest.approx(300 / 85, rel=0.01)
    for i, one in enumerate(found):
        for other in found[:i]:
            assert max(abs(one.row - other.row), abs(one.column - other.column)) >= 3
