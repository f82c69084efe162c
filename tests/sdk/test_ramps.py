"""``sdk.networks.ramps``: dithers of a few uneven tones, as of a handheld console, are restored as even greys would be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import sdk
from sdk.halftoning import halftone
from sdk.metrics import psnr
from sdk.networks.ramps import find_ramp

GREENS = np.array([[15, 56, 15], [48, 98, 48], [139, 172, 15], [155, 188, 15]], np.uint8)
GREYS = np.array([[0], [60], [140], [255]], np.uint8)
RAMPS = {"greens": GREENS, "uneven greys": GREYS}


def toned(photo: np.ndarray, colors: np.ndarray, method: str = "bayer", **parameters) -> tuple[np.ndarray, np.ndarray]:
    """The dither in these tones, and the photograph in all those between."""
    places = np.rint(halftone(photo, method, levels=len(colors), **parameters) / (255 / (len(colors) - 1))).astype(int)
    even = np.linspace(0, 255, len(colors))
    truth = np.stack([np.rint(np.interp(photo, even, channel)) for channel in colors.T], axis=-1).astype(np.uint8)
    return colors[places].squeeze(), truth.squeeze()


@pytest.mark.parametrize("colors", RAMPS.values(), ids=RAMPS)
def test_spread_and_back(photo: np.ndarray, colors: np.ndarray) -> None:
    dots, _ = toned(photo[:64, :80], colors)
    for pixels in (dots, dots.astype(np.uint16) * 257):
        ramp = find_ramp(pixels)
        assert ramp is not None
        assert np.array_equal(ramp.colors, colors)
        greys = ramp.greys
        assert np.array_equal(greys, halftone(photo[:64, :80], "bayer", levels=4))
        assert np.array_equal(ramp.between(greys / np.float32(255), pixels.dtype), pixels)


def test_no_ramps(photo: np.ndarray) -> None:
    even = halftone(photo, "bayer", levels=4)
    assert find_ramp(even) is None, "it is even already"
    assert find_ramp(halftone(photo, "bayer")) is None, "it has two tones"
    assert find_ramp(photo) is None, "it has too many"
    red, blue = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 255]], np.uint8), np.array([[0, 0, 0], [0, 0, 90], [255, 255, 255]], np.uint8)
    places = np.rint(halftone(photo, "bayer", levels=3) / 127.5).astype(int)
    assert find_ramp(red[places]) is None, "red falls where blue rises"
    assert find_ramp(blue[places]) is not None


@pytest.mark.parametrize("colors", [8, 16])
def test_the_palette_of_a_photograph_is_no_ramp(colour: np.ndarray, colors: int) -> None:
    """Even of muted colours, which rise with the tone: the dots between two tones are of a third."""
    muted = np.rint(0.8 * colour.mean(axis=2, keepdims=True) + 0.2 * colour).astype(np.uint8)
    assert find_ramp(halftone(muted, "palette", colors=colors)) is None


@pytest.mark.parametrize("method", ["floyd-steinberg", "bayer"])
@pytest.mark.parametrize("colors", RAMPS.values(), ids=RAMPS)
@pytest.mark.parametrize("times", [1, 3])
def test_they_come_back_better_than_by_the_best_blur(photo: np.ndarray, colors: np.ndarray, method: str, times: int) -> None:
    dots, truth = toned(photo[120:376, 260:516], colors, method)
    restorer = sdk.InverseHalftoner("auto", device="cpu")
    restored = restorer.run(dots.repeat(times, axis=0).repeat(times, axis=1))
    assert restorer.choice is not None
    assert restorer.choice.model == "gif"
    if times > 1:
        restored = cv2.resize(restored, truth.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert restored.dtype == np.uint8
    assert psnr(restored, truth) > max(psnr(cv2.GaussianBlur(dots, (0, 0), sigma), truth) for sigma in (0.8, 1.1, 1.4, 1.8)) + 0.3


def test_drawings_in_a_few_tones_stay() -> None:
    """Without dither there is nothing between the tones."""
    drawing = np.repeat(np.repeat(GREENS, 24, axis=0)[None], 96, axis=0)
    drawing[30:55, 18:66] = GREENS[0]
    assert np.array_equal(sdk.InverseHalftoner("gif", device="cpu").run(drawing), drawing)
