"""The analysis of dots: dither, ordered dither and screens, with their period and angle."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from sdk.analysis import analyze_pixels
from sdk.halftoning import halftone
from sdk.halftoning.error_diffusion import KERNELS
from tests.sdk.sheets import blurred_print, jpeg, text_page
from training.pages import scanned
from training.pages import text_page as letters


def turned(first: float | None, second: float) -> float:
    """Degrees between the angles of two screens."""
    assert first is not None
    return abs((first - second + 45) % 90 - 45)


# Dither


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("serpentine", [False, True])
def test_error_diffusion(photo: np.ndarray, kernel: str, serpentine: bool) -> None:
    found = analyze_pixels(halftone(photo, kernel, serpentine=serpentine))
    assert (found.kind, found.bits, found.period) == ("dither", 1, None)
    assert found.confidence > 0.9


@pytest.mark.parametrize(("method", "parameters"), [("white-noise", {}), ("blue-noise", {}), ("blue-noise", {"size": 32, "seed": 3})])
def test_noise_masks_are_dither(photo: np.ndarray, method: str, parameters: dict) -> None:
    assert analyze_pixels(halftone(photo, method, **parameters)).kind == "dither"


@pytest.mark.parametrize(
    ("method", "kind"),
    [("floyd-steinberg", "dither"), ("jarvis-judice-ninke", "dither"), ("blue-noise", "dither"), ("bayer", "ordered")],
)
def test_colour_halftoned_channel_by_channel_is_no_palette_of_eight(colour: np.ndarray, method: str, kind: str) -> None:
    found = analyze_pixels(halftone(colour, method))
    assert (found.kind, found.bits, found.colors) == (kind, 1, None)


def test_dither_after_jpeg(photo: np.ndarray) -> None:
    for method, kind in (("floyd-steinberg", "dither"), ("bayer", "ordered")):
        assert analyze_pixels(jpeg(halftone(photo, method).astype(np.uint8) * 255, 92)).kind == kind


TURN = cv2.getRotationMatrix2D((300, 200), 1.3, 1)
RESIZED = {
    "enlarged by a half": lambda dots: cv2.resize(dots, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR),
    "doubled": lambda dots: cv2.resize(dots, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "at three quarters": lambda dots: cv2.resize(dots, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA),
    "turned": lambda dots: cv2.warpAffine(
        dots, cv2.getRotationMatrix2D((300, 200), 1.3, 1), dots.shape[1::-1], borderMode=cv2.BORDER_REFLECT
    ),
}


@pytest.mark.parametrize("method", ["floyd-steinberg", "atkinson", "stucki", "blue-noise"])
@pytest.mark.parametrize("how", RESIZED)
def test_dither_that_was_resized_or_turned(photo: np.ndarray, how: str, method: str) -> None:
    resized = RESIZED[how](halftone(photo, method).astype(np.uint8) * np.uint8(255))
    assert len(np.unique(resized)) > 8
    if (how, method) != ("at three quarters", "blue-noise"):  # whose grain is too fine for that
        assert analyze_pixels(resized).kind == "dither"


@pytest.mark.parametrize("quality", [92, 75])
def test_colour_dither_after_jpeg_with_colours_at_half_size(colour: np.ndarray, quality: int) -> None:
    dots = halftone(colour, "floyd-steinberg").astype(np.uint8) * np.uint8(255)
    coded = cv2.imencode(".jpg", dots[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]  # 4:2:0
    assert analyze_pixels(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]).kind == "dither"


@pytest.mark.parametrize("grain", [10, 25, 40])
def test_grainy_photographs_are_no_dither(photo: np.ndarray, grain: float) -> None:
    noise = np.random.default_rng(0).normal(0, grain, photo.shape)
    assert analyze_pixels(np.clip(photo + noise, 0, 255).astype(np.uint8)).kind == "continuous"


@pytest.mark.parametrize("method", ["floyd-steinberg", "bayer"])
def test_a_dither_with_a_stray_pixel_or_a_caption_is_one(photo: np.ndarray, colour: np.ndarray, method: str) -> None:
    kind = analyze_pixels(halftone(photo, method)).kind
    grey, rgb = (halftone(pixels, method).astype(np.uint8) * np.uint8(255) for pixels in (photo, colour))
    captioned = Image.fromarray(rgb)
    ImageDraw.Draw(captioned).text((20, 20), "12 May 1913", fill=(90, 90, 200), font=ImageFont.load_default(14))
    for pixels in (grey, rgb):
        pixels[100, 100] = 77
        assert analyze_pixels(pixels).kind == kind
    assert analyze_pixels(np.array(captioned)).kind == kind


def test_a_colour_dither_after_jpeg(colour: np.ndarray) -> None:
    """Each channel has its dots at other places, so that luma has many levels."""
    dots = halftone(colour, "floyd-steinberg").astype(np.uint8) * np.uint8(255)
    assert analyze_pixels(jpeg(dots, 92, subsampling=0)).kind == "dither"
    assert analyze_pixels(jpeg(colour, 92, subsampling=0)).kind == "continuous"


# Ordered dither


@pytest.mark.parametrize(
    ("method", "size"), [*(("bayer", size) for size in (2, 4, 8, 16)), *(("clustered-dot", size) for size in range(3, 9))]
)
def test_ordered_with_its_matrix(photo: np.ndarray, method: str, size: int) -> None:
    found = analyze_pixels(halftone(photo, method, size=size))
    assert (found.kind, found.bits, found.period, found.angle) == ("ordered", 1, size, None)


@pytest.mark.parametrize("margin", [40, 200])
@pytest.mark.parametrize(("method", "size"), [("bayer", 2), ("bayer", 4), ("bayer", 16), ("clustered-dot", 6), ("clustered-dot", 7)])
def test_ordered_on_white_paper(photo: np.ndarray, method: str, size: int, margin: int) -> None:
    """At the border, pixels differ from those of the paper by their place in the matrix. Dots that touch are no rules."""
    sheet = np.pad(halftone(photo, method, size=size), margin, constant_values=True)
    found = analyze_pixels(sheet)
    assert (found.kind, found.period) == ("ordered", size)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("size", [4, 8])
def test_ordered_on_a_page_of_text(photo: np.ndarray, size: int, upright: bool) -> None:
    page = text_page(1400, 1400, size=22) > 127
    page[860 : 860 + photo.shape[0], 300 : 300 + photo.shape[1]] = halftone(photo, "bayer", size=size)
    found = analyze_pixels(page if upright else np.ascontiguousarray(page[::-1, ::-1]))
    assert (found.kind, found.period) == ("ordered", size)


@pytest.mark.parametrize("mirror", [np.fliplr, np.flipud, np.rot90])
def test_ordered_dither_is_the_same_mirrored(photo: np.ndarray, mirror) -> None:
    dots = mirror(halftone(photo, "bayer", size=8))
    assert analyze_pixels(np.ascontiguousarray(dots)).period == 8


# Screens


def test_clean_rotated_screen_is_a_screen(photo: np.ndarray) -> None:
    found = analyze_pixels(halftone(photo, "am-screen", lpi=100.0, dpi=600.0, angle=45.0))
    assert (found.kind, found.bits) == ("screen", 1)
    assert found.period == pytest.approx(6, rel=0.005)
    assert turned(found.angle, 45) < 0.2
    assert found.confidence > 0.9


@pytest.mark.parametrize("angle", [12.0, 50.0, 75.0])
def test_line_screen(photo: np.ndarray, angle: float) -> None:
    found = analyze_pixels(halftone(photo, "am-screen", lpi=100.0, dpi=600.0, angle=angle, dot="line"))
    assert found.kind == "screen"
    assert found.period == pytest.approx(6, rel=0.01)
    assert found.angle == pytest.approx(angle + 90, abs=0.5), "across the lines, which run along the screen's angle"


def digital_screen(grey: np.ndarray, period: float, angle: float) -> np.ndarray:
    return halftone(grey, "am-screen", lpi=600 / period, dpi=600.0, angle=angle)


@settings(max_examples=25)
@given(period=st.floats(2.6, 36), angle=st.floats(1, 89), scanned=st.booleans())
@example(period=31.0, angle=1.0, scanned=True)  # its harmonics beside the axes are clearer than itself on one
@example(period=32.0, angle=88.0, scanned=True)
def test_period_and_angle_of_any_screen(photo: np.ndarray, period: float, angle: float, scanned: bool) -> None:
    dots = {True: blurred_print, False: digital_screen}
    pixels = dots[scanned](photo, period, angle)
    found = analyze_pixels(pixels)
    assert found.kind == "screen"
    assert found.period == pytest.approx(period, rel=0.01)
    assert turned(found.angle, angle) < 0.6


def test_colour_screens_at_different_angles(colour: np.ndarray) -> None:
    inks = [blurred_print(colour[..., c], 4.4, angle, seed=c) for c, angle in enumerate((15, 75, 45))]
    found = analyze_pixels(np.stack(inks, axis=-1))
    assert found.kind == "screen"
    assert found.period == pytest.approx(4.4, rel=0.02)
    assert min(turned(found.angle, angle) for angle in (15, 75, 45)) < 1


# On pages of text


@pytest.mark.parametrize(("method", "kind"), [("floyd-steinberg", "dither"), ("bayer", "ordered"), ("am-screen", "screen")])
def test_small_picture_on_a_large_page_of_text(photo: np.ndarray, method: str, kind: str) -> None:
    page = text_page(2400, 1800, size=26) > 127
    page[1500:2012, 900:1668] = halftone(photo, method)
    assert analyze_pixels(page).kind == kind


@pytest.mark.parametrize("period", [5.0, 9.0, 12.0])
@pytest.mark.parametrize("seed", range(3))
def test_small_print_on_a_grey_page_of_text(photo: np.ndarray, period: float, seed: int) -> None:
    """In the mean of all windows its peaks drown; in its own they do not."""
    rng = np.random.default_rng(seed)
    page = scanned(letters(1300, 1500, rng), rng)
    page[600:770, 500:700] = blurred_print(photo[:170, 300:500], period, 40)
    found = analyze_pixels(page)
    assert found.kind == "screen"
    assert found.period == pytest.approx(period, rel=0.04)


@pytest.mark.parametrize("period", [12.0, 18.0])
def test_soft_coarse_screen_on_a_large_page_of_text(photo: np.ndarray, period: float) -> None:
    """Its dots rise and fall more slowly than letters do."""
    page = text_page(2400, 1800, size=26)
    page[1500:2012, 900:1668] = cv2.GaussianBlur(blurred_print(photo, period, 30.0), (0, 0), period / 8)
    found = analyze_pixels(page)
    assert found.kind == "screen"
    assert found.period == pytest.approx(period, rel=0.02)


@pytest.mark.parametrize("third", [90, 128, 160])
def test_a_mat_of_a_third_level_is_no_palette(photo: np.ndarray, third: int) -> None:
    dots = halftone(photo, "floyd-steinberg").astype(np.uint8) * np.uint8(255)
    assert analyze_pixels(np.pad(dots, 60, constant_values=third)).kind == "dither"


@pytest.mark.parametrize("size", [10, 12])
def test_no_smaller_matrix_is_named_for_large_clusters(photo: np.ndarray, size: int) -> None:
    found = analyze_pixels(halftone(photo, "clustered-dot", size=size))
    assert (found.kind, found.period, found.method) == ("ordered", size, None)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_side_of_a_matrix_is_told_from_a_piece(photo: np.ndarray, size: int) -> None:
    assert analyze_pixels(halftone(photo, "bayer", size=size)[40:200, 30:190]).period == size


@pytest.mark.parametrize("angle", [0.0, 45.0])
def test_angles_are_below_a_quarter_turn(photo: np.ndarray, angle: float) -> None:
    found = analyze_pixels(halftone(photo, "am-screen", lpi=100, dpi=640, angle=angle))
    assert found.kind != "screen" or 0 <= found.angle < 90
    assert "90 degrees" not in str(found)
