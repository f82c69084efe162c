"""The analysis of what has no dots: photographs, gradients, text, tables and drawings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from sdk.analysis import analyze_pixels
from tests.sdk.sheets import jpeg, text_page
from training.pages import scanned, table_page


def test_text_is_line_art_if_two_level_and_continuous_if_grey() -> None:
    text = text_page(600, 800)
    assert analyze_pixels(text > 127).kind == "line-art"
    assert analyze_pixels(cv2.GaussianBlur(text, (0, 0), 0.7)).kind == "continuous"


def test_photographs_are_continuous(photo: np.ndarray, colour: np.ndarray) -> None:
    for pixels in (photo, colour, photo[:200, :150], photo[:8, :8]):
        assert analyze_pixels(pixels).kind == "continuous"
    assert analyze_pixels(np.full((64, 64), 90, np.uint8)).kind in ("continuous", "line-art")
    assert analyze_pixels(photo).confidence > 0.9


@pytest.mark.parametrize("width", [400, 800, 1920])
def test_gradients_are_continuous(width: int) -> None:
    """Their steps of rounding are a wave, weak, but with nothing around it in the spectrum."""
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (500, 1))
    levels = np.rint(ramp * 255).astype(np.uint8)
    slanted = np.rint(np.add.outer(np.linspace(0, 90, 500), np.linspace(20, 160, width))).astype(np.uint8)
    sky = np.dstack([levels, levels // 2 + 60, 255 - levels // 3])
    for pixels in (ramp, np.rint(ramp * 65535).astype(np.uint16), levels, levels.T, slanted, sky, jpeg(levels, 90)):
        assert analyze_pixels(np.ascontiguousarray(pixels)).kind == "continuous"


@pytest.mark.parametrize("seed", range(6))
def test_tables_and_squared_paper_are_no_screens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table_page(800, 900, rng)
    assert analyze_pixels(table > 127).kind == "line-art"
    squares, paper = 12 + 4 * seed, text_page(800, 900)
    paper[squares // 2 :: squares] = np.minimum(paper[squares // 2 :: squares], 170)
    paper[:, squares // 2 :: squares] = np.minimum(paper[:, squares // 2 :: squares], 170)
    for page in (scanned(table, rng), scanned(paper, rng)):
        assert analyze_pixels(page).kind == "continuous"


def test_graph_paper_of_two_levels_is_line_art() -> None:
    for squares in (8, 16, 20):
        page = np.full((600, 700), True)
        page[::squares] = page[:, ::squares] = False
        assert analyze_pixels(page).kind == "line-art"


def test_drawings_in_pure_colours_are_no_photographs_of_one_bit() -> None:
    chart = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(chart)
    for i, colour in enumerate(("red", "lime", "blue", "yellow", "cyan", "magenta", "black")):
        draw.pieslice((120, 40, 520, 440), 50 * i, 50 * i + 50, fill=colour)
        draw.rectangle((20, 20 + 30 * i, 40, 40 + 30 * i), fill=colour)
    assert analyze_pixels(np.array(chart)).kind == "line-art"


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90])
def test_grid_of_jpeg_is_no_screen(photo: np.ndarray, colour: np.ndarray, quality: int) -> None:
    for pixels in (photo, colour):
        coded = jpeg(pixels, quality)
        assert analyze_pixels(coded).kind == "continuous"
        assert analyze_pixels(cv2.resize(coded, None, fx=1.3, fy=1.3, interpolation=cv2.INTER_CUBIC)).kind == "continuous"


def test_enlarged_photograph_of_a_camera_is_no_screen(colour: np.ndarray) -> None:
    """Each pixel of a sensor has one colour; what is left of that is a checkerboard, which has the spectrum of a screen at 45 degrees."""
    sensor = colour[..., 1].copy()
    sensor[::2, ::2], sensor[1::2, 1::2] = colour[::2, ::2, 0], colour[1::2, 1::2, 2]
    taken = cv2.cvtColor(sensor, cv2.COLOR_BayerRGGB2RGB)
    for factor in (1.2, 1.5, 2.3):
        assert analyze_pixels(cv2.resize(taken, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)).kind == "continuous"
