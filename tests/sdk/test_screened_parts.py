"""``sdk.networks.screened_parts``: on a page of two levels, what has no dots keeps its pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import sdk
from sdk.halftoning import halftone
from sdk.networks.screen_residue import screen_frequencies
from sdk.networks.screened_parts import keep_what_has_no_dots

PICTURE = np.s_[200:392, 120:376]
NEAR = np.s_[136:456, 56:440]
"""The picture, and what lies within 64 px of it."""


@pytest.fixture(scope="module", params=[4.0, 7.1], ids="period {}".format)
def page(request: pytest.FixtureRequest, photo: np.ndarray) -> np.ndarray:
    """uint8 of 0 and 255: lines of text above, beside and below a picture in an AM screen."""
    page = np.full((640, 768), 255, np.uint8)
    for row in range(24, 640, 24):
        cv2.putText(page, "the quick brown fox jumps over the lazy dog, twice", (8, row), cv2.FONT_HERSHEY_COMPLEX, 0.6, 0, 2, cv2.LINE_8)
    page[NEAR] = 255
    dots = halftone(photo[120:312, 300:556], "am-screen", dpi=300.0, lpi=300 / request.param)
    page[PICTURE] = np.where(dots, 255, 0)
    return np.where(page > 127, 255, 0).astype(np.uint8)


def kept_of(page: np.ndarray, given: np.ndarray | None = None, restored: np.ndarray | None = None) -> np.ndarray:
    """``given``, the page or another of its kind, of which a network made middle grey."""
    given, restored = page if given is None else given, np.full_like(page, 128) if restored is None else restored
    grey = page if page.ndim == 2 else page[..., 0]
    return keep_what_has_no_dots(restored, given, screen_frequencies(grey.astype(np.float32)), sdk.analyze(grey).period)


def test_text_and_paper_keep_their_pixels(page: np.ndarray) -> None:
    kept = kept_of(page)
    beside = np.ones(page.shape, bool)
    beside[NEAR] = False
    assert np.array_equal(kept[beside], page[beside])
    assert np.mean(kept[PICTURE] == 128) > 0.97
    assert kept.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.bool_, np.uint16, np.float32])
def test_of_any_kind(page: np.ndarray, dtype: type) -> None:
    white = {np.bool_: True, np.uint16: 65535, np.float32: 1}[dtype]
    given = np.where(page == 255, white, 0).astype(dtype)
    restored = np.full(page.shape, 128, np.uint8) if dtype is np.bool_ else np.full(page.shape, white // 2, dtype)
    kept = kept_of(page, given, restored)
    assert kept.dtype == restored.dtype
    assert kept[:100].max() == (255 if dtype is np.bool_ else white)
    assert np.median(kept[PICTURE]) == restored[0, 0]


def test_colour(page: np.ndarray) -> None:
    colour = np.dstack([page] * 3)
    kept = kept_of(colour)
    assert np.array_equal(kept[:100], colour[:100])
    assert np.all(kept[280:300, 200:300] == 128)


def test_what_is_of_more_levels_or_without_dots_is_restored_as_a_whole(page: np.ndarray) -> None:
    restored, blurred = np.full_like(page, 128), cv2.GaussianBlur(page, (0, 0), 0.8)
    assert kept_of(page, blurred, restored) is restored
    assert keep_what_has_no_dots(restored, page, [], None) is restored
    text = page.copy()
    text[NEAR] = 255
    assert kept_of(page, text, restored) is restored


def test_a_halftone_without_text_is_restored_to_its_edges(photo: np.ndarray) -> None:
    dots = np.where(halftone(photo, "am-screen", dpi=300.0, lpi=60.0), 255, 0).astype(np.uint8)
    kept = kept_of(dots)
    assert np.mean(kept == 128) > 0.99


def test_scan_leaves_the_letters_of_a_page_alone(page: np.ndarray) -> None:
    restored = sdk.InverseHalftoner("scan", device="cpu").run(page)
    assert np.array_equal(restored[:100], page[:100])
    assert np.mean((restored[PICTURE] > 4) & (restored[PICTURE] < 251)) > 0.8
