"""Which halftoning method placed the dots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk.analysis.methods import (
    BAND,
    BEFORE,
    LABELS,
    MOST_PIXELS,
    PATTERNS,
    TABLE,
    count_patterns,
    every_nth,
    find_method,
    label_of,
    method_number,
    method_of_counts,
)
from sdk.halftoning import halftone
from sdk.halftoning.error_diffusion import KERNELS
from training.method_tables import VARIED, call_of, tabulate
from training.pages import beside_text, text_page

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"


@pytest.fixture(scope="module")
def kodim() -> np.ndarray:
    return sdk.files.read(SAMPLES / "kodim23_grey.png").pages[0].pixels


def made_by(label: str, photo: np.ndarray) -> np.ndarray:
    method, parameters = call_of(label)
    return halftone(photo, method, **parameters | VARIED.get(label, lambda i: {})(3))


@pytest.mark.parametrize("label", LABELS)
def test_every_method_is_told_from_the_others(label: str, kodim: np.ndarray) -> None:
    """On a photograph that the table was not counted on, and a part of it."""
    for photo in (kodim, kodim[100:356, 200:456]):
        found = find_method(made_by(label, np.ascontiguousarray(photo)))
        assert found == label


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_any_kind_of_pixels_and_channels(dtype: type, kodim: np.ndarray) -> None:
    white = halftone(np.dstack([kodim, kodim[::-1], kodim[:, ::-1]]), "stucki")
    pixels = white if dtype == np.bool_ else white.astype(dtype) * (1 if dtype == np.float32 else np.iinfo(dtype).max)
    found = find_method(pixels)
    assert found == "stucki"
    assert find_method(white) == found


def test_grey_stored_as_rgb_is_grey(kodim: np.ndarray) -> None:
    for white in (halftone(kodim, "floyd-steinberg"), halftone(kodim[:64, :64], "burkes"), halftone(kodim[200:280, 300:380], "sierra")):
        assert find_method(np.dstack([white] * 3)) == find_method(white)


def test_what_no_method_of_the_table_makes_is_given_no_name(kodim: np.ndarray) -> None:
    dots = halftone(kodim, "floyd-steinberg")
    screen = halftone(kodim, "am-screen", lpi=100.0, dpi=600.0)
    enlarged = dots.repeat(2, axis=0).repeat(2, axis=1)
    for white in (screen, enlarged, np.ones_like(dots), np.zeros_like(dots), np.ones((8, 8), bool), dots[:8, :8]):
        assert find_method(white) is None


def test_a_little_dirt_does_no_harm(kodim: np.ndarray) -> None:
    dots = halftone(kodim, "sierra")
    dots ^= np.random.default_rng(0).random(dots.shape) < 0.001
    found = find_method(dots)
    assert found == "sierra"


@pytest.mark.parametrize("label", ["floyd-steinberg, serpentine", "atkinson", "bayer", "blue-noise"])
def test_the_dots_of_a_page_with_text_are_named(label: str, kodim: np.ndarray) -> None:
    found = find_method(beside_text(made_by(label, kodim), np.random.default_rng(0)))
    assert found == label


def test_no_part_of_a_large_page_is_passed_over(kodim: np.ndarray) -> None:
    """A4 at 300 dpi, of whose blocks a fifth is looked at: a narrow picture, wherever it stands."""
    page = text_page(3508, 2480, np.random.default_rng(0)) > 127
    dots = halftone(np.tile(kodim, (4, 1))[:2000, :400], "stucki")
    for left in (150, 800, 2000):
        found = find_method(np.hstack([page[:2000, :left], dots, page[:2000, left:2080]]))
        assert found == "stucki"


def test_pages_without_dots_of_a_known_method_are_given_no_name(kodim: np.ndarray) -> None:
    text = text_page(700, 900, np.random.default_rng(0)) > 127
    screen = halftone(kodim, "am-screen", lpi=100.0, dpi=600.0)
    for page in (text, text[:, :130], beside_text(screen, np.random.default_rng(1))):
        assert find_method(page) is None


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_patterns_are_counted_one_by_one(height: int, width: int, seed: int) -> None:
    white = np.random.default_rng(seed).random((height, width)) < 0.5
    expected = np.zeros(PATTERNS, int)
    for y in range(2, height):
        for x in range(3, width - 2):
            bits = [white[y, x], *(white[y + dy, x + dx] for dy, dx in BEFORE)]
            expected[sum(int(bit) << i for i, bit in enumerate(bits))] += 1
    np.testing.assert_array_equal(count_patterns(white), expected)


def test_of_large_pictures_some_bands_are_looked_at() -> None:
    height, width = 900, 2 * MOST_PIXELS // 900
    assert every_nth(height, width) == 2
    white = np.random.default_rng(0).random((height, width)) < 0.5
    bands = [white[max(0, start - 2) : start + BAND] for start in range(0, height, 2 * BAND)]
    np.testing.assert_array_equal(count_patterns(white), sum(count_patterns(band) for band in bands))


def test_counts_stay_as_they_are(kodim: np.ndarray) -> None:
    counts = count_patterns(halftone(kodim, "burkes"))
    before = counts.copy()
    assert method_of_counts(counts) == method_of_counts(counts.astype(np.int32))
    np.testing.assert_array_equal(counts, before)


def test_labels_are_of_the_methods() -> None:
    assert len(set(LABELS)) == len(LABELS) < 256
    for label in LABELS:
        method, parameters = call_of(label)
        assert label_of(method, parameters) == label
    assert label_of("am-screen", {}) is None
    assert label_of("clustered-dot", {"size": 12}) is None
    assert label_of("clustered-dot", {}) == "clustered-dot 8x8"
    assert set(KERNELS) <= set(LABELS)


def test_numbers_begin_at_one() -> None:
    assert [method_number(label, LABELS) for label in (None, "no method", LABELS[0], LABELS[-1])] == [0, 0, 1, len(LABELS)]


def test_a_table_counted_anew_says_much_the_same(kodim: np.ndarray) -> None:
    """One photograph sees few surroundings; in those that it sees often, the released table agrees."""
    table, misfit = tabulate([kodim])
    with np.load(TABLE) as stored:
        released = stored["white"]
        assert misfit.shape == stored["misfit"].shape == (len(LABELS),)
    assert table.shape == released.shape == (len(LABELS), PATTERNS // 2)
    row = LABELS.index("floyd-steinberg")
    often = count_patterns(halftone(kodim, "floyd-steinberg")).reshape(-1, 2).sum(axis=1) > 500
    assert often.sum() > 50
    assert np.corrcoef(table[row, often], released[row, often])[0, 1] > 0.95


def test_analyze_names_it() -> None:
    found = sdk.analyze(SAMPLES / "kodim23_floyd-steinberg.png")
    assert found.method == "floyd-steinberg"
    assert "1-bit dither (floyd-steinberg)" in str(found)
    assert sdk.analyze(SAMPLES / "kodim23_grey.png").method is None


def test_analyze_names_few_dots_on_white(kodim: np.ndarray) -> None:
    """Under a hundredth of the pixels is black."""
    page = np.full((900, 900), 255, np.uint8)
    page[300:364, 300:364] = halftone(kodim[200:264, 300:364], "stucki") * np.uint8(255)
    assert 0 < (page == 0).mean() < 0.01
    found = sdk.analyze(page)
    assert (found.kind, found.method) == ("dither", "stucki")
    assert find_method(page) == "stucki"


def test_analyze_names_dots_of_any_two_levels(kodim: np.ndarray) -> None:
    for ink, paper in ((20, 120), (140, 200)):
        assert sdk.analyze(np.where(halftone(kodim, "stucki"), paper, ink).astype(np.uint8)).method == "stucki"
