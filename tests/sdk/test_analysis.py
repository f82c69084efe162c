"""What kind a picture is, on pictures made from one photograph; the whole measure is in ``training.evaluate_analysis``."""

from __future__ import annotations

import io
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from sdk.analysis import KINDS, Analysis, analyze, analyze_pixels
from sdk.errors import ImageReadError, OptionError, UnsupportedImageError
from sdk.files import read
from sdk.halftoning import halftone
from sdk.halftoning.error_diffusion import KERNELS
from sdk.halftoning.palettes import PALETTE_DITHERS
from training.evaluate_analysis import evaluate, judge_scans, table
from training.pages import scanned, table_page


def jpeg(pixels: np.ndarray, quality: int, **options: int) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality, **options))))


def encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def text_page(height: int, width: int, size: int = 18) -> np.ndarray:
    """uint8: black letters on white."""
    sheet = Image.new("L", (width, height), 255)
    for top in range(4, height, round(1.3 * size)):
        words = "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs. " * 4
        ImageDraw.Draw(sheet).text((6, top), words[top % 50 :], fill=0, font=ImageFont.load_default(size))
    return np.array(sheet)


def turned(first: float | None, second: float) -> float:
    """Degrees between the angles of two screens."""
    assert first is not None
    return abs((first - second + 45) % 90 - 45)


@pytest.fixture(scope="module")
def colour(photo: np.ndarray) -> np.ndarray:
    """uint8 512x768x3: the grey photograph in false, smooth colours."""
    warm = np.linspace(0.5, 1, photo.shape[1])
    return np.stack([photo, photo * warm, 255 - photo * warm[::-1]], axis=-1).astype(np.uint8)


# Kinds


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


def blurred_print(grey: np.ndarray, period: float, angle: float, seed: int = 0) -> np.ndarray:
    """uint8: a screen as a scanner sees it, soft, grey, noisy."""
    fine = cv2.resize(grey, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    dots = halftone(fine, "am-screen", lpi=600 / (3 * period), dpi=600.0, angle=angle).astype(np.float32)
    dots = cv2.resize(cv2.GaussianBlur(dots, (0, 0), 2.0), grey.shape[::-1], interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).normal(0, 5, grey.shape)
    return np.clip(40 + 190 * dots + noise, 0, 255).astype(np.uint8)


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


@pytest.mark.parametrize(("palette", "colors"), [*product(["median-cut", "octree"], [8, 16, 40, 64, 256]), ("web", 256)])
@pytest.mark.parametrize("dither", PALETTE_DITHERS)
def test_palette(colour: np.ndarray, palette: str, colors: int, dither: str) -> None:
    reduced = halftone(colour, "palette", colors=colors, palette=palette, dither=dither)
    found = analyze_pixels(reduced)
    assert (found.kind, found.colors) == ("palette", len(np.unique(reduced.reshape(-1, 3), axis=0)))


def test_grey_palette(photo: np.ndarray) -> None:
    found = analyze_pixels(halftone(photo, "palette", colors=9))
    assert (found.kind, found.colors) == ("palette", 9)


def test_frames_of_an_animated_gif(colour: np.ndarray) -> None:
    """Each frame has its own palette, and only what changed in it is stored: pixels of earlier palettes shine through."""
    still = colour[:240, :320]
    frames = [still.copy() for _ in range(3)]
    for i, frame in enumerate(frames):
        frame[60:140, 40 + 40 * i : 140 + 40 * i] = colour[300:380, 300:400]
    stream = io.BytesIO()
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(stream, "GIF", save_all=True, append_images=others)
    pages = read(stream.getvalue()).pages
    assert [analyze_pixels(page.pixels).kind for page in pages] == ["palette"] * 3
    assert analyze(stream.getvalue()).kind == "palette"


def test_drawing_of_few_colours_is_no_palette() -> None:
    sheet = Image.new("RGB", (1024, 768), "white")
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((100, 80, 500, 420), fill="orange", outline="black", width=6)
    draw.rectangle((420, 300, 900, 640), fill=(40, 90, 160))
    for i in range(12):
        draw.line((60, 700 - 50 * i, 980, 640 - 40 * i), fill=(20 * i, 120, 60), width=3)
    draw.text((120, 520), "The quick brown fox", fill="black", font=ImageFont.load_default(48))
    drawing = sheet.resize((512, 384), Image.Resampling.BOX).quantize(16, dither=Image.Dither.NONE).convert("RGB")
    assert analyze_pixels(np.array(drawing)).kind == "continuous"


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("rescaled", [False, True])
def test_few_bits(photo: np.ndarray, colour: np.ndarray, bits: int, rescaled: bool) -> None:
    for image in (photo, colour):
        kept = image >> (8 - bits)
        pixels = np.rint(kept * (255 / (2**bits - 1))).astype(np.uint8) if rescaled else kept << (8 - bits)
        found = analyze_pixels(pixels)
        assert (found.kind, found.bits) == ("few-bit", bits)


def test_few_bits_where_a_channel_has_two_levels(colour: np.ndarray) -> None:
    found = analyze_pixels(halftone(colour // np.uint8([1, 1, 2]), "bit-depth", bits=2))
    assert (found.kind, found.bits) == ("few-bit", 2)


def test_palette_of_a_nearly_grey_picture(photo: np.ndarray) -> None:
    """Its colours are as many as the levels of one channel, like those of a toned photograph; but the others do not follow that."""
    red = np.arange(0, 256, 3)
    others = red[:, None] + np.random.default_rng(0).integers(-15, 16, (red.size, 2))
    palette = np.clip(np.column_stack([red, others]), 0, 255).astype(np.uint8)
    assert analyze_pixels(palette[photo // 3]).kind == "palette"


def test_one_bit_by_a_threshold_is_no_dither(photo: np.ndarray, colour: np.ndarray) -> None:
    """What was cut to its highest bit has levels of 0 and 128, or the speckles of the photograph; what has neither may be line art."""
    grain = np.clip(photo + np.random.default_rng(0).normal(0, 10, photo.shape), 0, 255)
    for pixels in (photo & 128, colour & 128, grain > 127):
        found = analyze_pixels(pixels)
        assert (found.kind, found.bits) == ("few-bit", 1)
    for pixels in (photo > 127, (colour > 127).astype(np.uint8) * 255):  # as drawings in pure colours
        assert analyze_pixels(pixels).kind in ("few-bit", "line-art")


def test_text_is_line_art_if_two_level_and_continuous_if_grey() -> None:
    text = text_page(600, 800)
    assert analyze_pixels(text > 127).kind == "line-art"
    assert analyze_pixels(cv2.GaussianBlur(text, (0, 0), 0.7)).kind == "continuous"


@pytest.mark.parametrize(("method", "kind"), [("floyd-steinberg", "dither"), ("bayer", "ordered"), ("am-screen", "screen")])
def test_small_picture_on_a_large_page_of_text(photo: np.ndarray, method: str, kind: str) -> None:
    page = text_page(2400, 1800, size=26) > 127
    page[1500:2012, 900:1668] = halftone(photo, method)
    assert analyze_pixels(page).kind == kind


@pytest.mark.parametrize("period", [12.0, 18.0])
def test_soft_coarse_screen_on_a_large_page_of_text(photo: np.ndarray, period: float) -> None:
    """Its dots rise and fall more slowly than letters do."""
    page = text_page(2400, 1800, size=26)
    page[1500:2012, 900:1668] = cv2.GaussianBlur(blurred_print(photo, period, 30.0), (0, 0), period / 8)
    found = analyze_pixels(page)
    assert found.kind == "screen"
    assert found.period == pytest.approx(period, rel=0.02)


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


def test_a_palette_is_judged_where_there_is_something_to_see(colour: np.ndarray) -> None:
    letterboxed = np.zeros((1100, 900, 3), np.uint8)
    letterboxed[560:1072, 100:868] = colour
    for page in (letterboxed, letterboxed[::-1].copy()):
        found = analyze_pixels(halftone(page, "palette", colors=64))
        assert (found.kind, found.colors) == ("palette", 64)


def test_toned_photograph_has_few_colours_but_no_palette(photo: np.ndarray) -> None:
    toned = np.stack([photo, photo * 0.9, photo * 0.7], axis=-1).astype(np.uint8)
    assert analyze_pixels(toned).kind == "continuous"


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
def test_right_on_95_percent_of_every_fourth_picture_of_kodak24(data: Path) -> None:
    scores = evaluate(data, sets=("kodak24",), every=4)
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
