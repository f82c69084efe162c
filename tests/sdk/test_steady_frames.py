"""What stands still in an animation is restored alike in all frames; what moves, fades or was left alone is as it was restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk import files
from sdk.images import Picture
from sdk.metrics import psnr
from sdk.steady_frames import STILL, SteadyFrames


def frame(pixels: np.ndarray) -> Picture:
    return Picture(pixels, duration=80.0)


def steadied(frames: list[np.ndarray], given: list[np.ndarray] | None = None) -> list[np.ndarray]:
    steady = SteadyFrames()
    return [steady(frame(before), frame(after)).pixels for before, after in zip(given or [255 - each for each in frames], frames)]


def flickering(truth: np.ndarray, count: int, sigma: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.clip(np.rint(truth + rng.normal(0, sigma, truth.shape)), 0, 255).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3)])
def test_what_stands_still_flickers_less_and_is_nearer_to_the_truth(shape: tuple[int, ...]) -> None:
    truth = np.broadcast_to(np.linspace(60, 190, 80)[None, :].reshape(1, 80, *([1] * (len(shape) - 2))), shape)
    frames = flickering(truth, 10)
    results = steadied(frames)
    before, after = (np.abs(np.diff(np.stack(each[4:]).astype(int), axis=0)).mean() for each in (frames, results))
    assert after < 0.3 * before
    assert psnr(results[-1], np.rint(truth).astype(np.uint8)) > psnr(frames[-1], np.rint(truth).astype(np.uint8)) + 4


def test_what_moves_or_is_cut_is_as_it_was_restored() -> None:
    rng = np.random.default_rng(1)
    tones = (30, 120, 200, 60)
    frames = [rng.integers(tone, tone + 40, size=(40, 50), dtype=np.uint8) for tone in tones]
    for result, restored in zip(steadied(frames), frames):
        np.testing.assert_array_equal(result, restored)


def test_a_slow_fade_is_hardly_behind() -> None:
    frames = [np.full((30, 30), 20 + level, np.uint8) for level in range(60)]
    behind = [restored.astype(int) - result for result, restored in zip(steadied(frames), frames)]
    assert np.abs(behind).max() <= np.ceil(255 * STILL)


def test_pixels_that_were_left_alone_stay() -> None:
    frames = flickering(np.full((30, 40), 128.0), 5)
    for result, restored in zip(steadied(frames, given=frames), frames):
        np.testing.assert_array_equal(result, restored)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_dtypes_and_pages_without_durations(dtype: type) -> None:
    one, two = (np.full((20, 20), value, dtype) for value in ((30000, 30100) if dtype == np.uint16 else (0.5, 0.502)))
    assert steadied([one, two], [two, one])[1].dtype == dtype
    steady = SteadyFrames()
    for page in (one, two):  # of a TIFF
        np.testing.assert_array_equal(steady(Picture(one), Picture(page)).pixels, page)


def test_frames_of_other_sizes_begin_anew() -> None:
    frames = [np.full((20, 20), 100, np.uint8), np.full((20, 30), 101, np.uint8)]
    np.testing.assert_array_equal(steadied(frames)[1], frames[1])


def test_an_animated_gif(tmp_path: Path, colour: np.ndarray) -> None:
    """The photograph stands still under a square that moves above it, which changes the dither of all rows below."""
    photo = colour[:160, :200]
    frames = []
    for at in range(5):
        moved = photo.copy()
        moved[:16, 20 + 30 * at : 36 + 30 * at] = (200, 30, 30)
        frames.append(Image.fromarray(moved).quantize(palette=Image.fromarray(photo).quantize(32), dither=Image.Dither.FLOYDSTEINBERG))
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:], duration=80)
    gif = sdk.InverseHalftoner("gif")
    gif.run_file(tmp_path / "in.gif", tmp_path / "out.png")
    alone = [gif.run(np.asarray(each.convert("RGB"))) for each in frames]
    together = [page.pixels for page in files.read(tmp_path / "out.png").pages]
    assert len(together) == len(alone) == 5
    below = np.s_[40:]
    flicker = [np.abs(np.diff(np.stack(each)[:, below].astype(int), axis=0)).mean() for each in (alone, together)]
    assert flicker[1] < 0.75 * flicker[0]
    assert psnr(together[-1][below], photo[below]) > psnr(alone[-1][below], photo[below])
    square = np.s_[2:14, 142:154]
    assert np.abs(together[-1][square].astype(int) - alone[-1][square]).mean() < 1
