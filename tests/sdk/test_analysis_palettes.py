"""The analysis of palettes and of few bits."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sdk.analysis import analyze, analyze_pixels
from sdk.files import read
from sdk.halftoning import halftone
from sdk.halftoning.palettes import PALETTE_DITHERS


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


def test_a_palette_is_judged_where_there_is_something_to_see(colour: np.ndarray) -> None:
    letterboxed = np.zeros((1100, 900, 3), np.uint8)
    letterboxed[560:1072, 100:868] = colour
    for page in (letterboxed, letterboxed[::-1].copy()):
        found = analyze_pixels(halftone(page, "palette", colors=64))
        assert (found.kind, found.colors) == ("palette", 64)


def test_toned_photograph_has_few_colours_but_no_palette(photo: np.ndarray) -> None:
    toned = np.stack([photo, photo * 0.9, photo * 0.7], axis=-1).astype(np.uint8)
    assert analyze_pixels(toned).kind == "continuous"


def test_eight_greys_with_dither_are_no_cut_bits() -> None:
    noise = np.random.default_rng(0).normal(0, 6, (384, 512))
    photo = np.clip(np.linspace(20, 230, 512)[None, :] + 20 * np.sin(np.arange(384) / 9)[:, None] + noise, 0, 255).astype(np.uint8)
    greys = Image.new("P", (1, 1))
    greys.putpalette([round(255 * i / 7) for i in range(8) for _ in range(3)])
    dithered = Image.fromarray(photo).convert("RGB").quantize(palette=greys, dither=Image.Dither.FLOYDSTEINBERG).convert("L")
    assert np.unique(np.array(dithered)).size == 8
    assert analyze_pixels(np.array(dithered)).kind == "palette"


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_deep_picture_with_little_in_it_is_no_palette(colour: np.ndarray, dtype: type) -> None:
    dark = colour.astype(np.uint16) * 4 if dtype == np.uint16 else colour.astype(np.float32) / 255 * np.float32(0.02)
    assert analyze_pixels(dark).kind == "continuous"


def test_diffusion_between_two_colours_is_dither(colour: np.ndarray) -> None:
    assert analyze_pixels(halftone(colour, "palette", colors=2)).kind == "dither"
