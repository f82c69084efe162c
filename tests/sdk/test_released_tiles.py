"""Released models at the smallest tile that they say is enough: what they make of a picture in tiles is what they make of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.catalog import metadata_of
from sdk.halftoning.palettes import quantise_bits
from tests.conftest import SAMPLES

RESTORERS = [name for name in sdk.releases() if metadata_of(name).task == "inverse-halftoning"]
EXPANDERS = [name for name in sdk.releases() if metadata_of(name).task == "bit-depth-expansion"]


@pytest.fixture(scope="module")
def print_in_colour() -> np.ndarray:
    """uint8 555x542x3: a colour print, too small for its screen."""
    with Image.open(SAMPLES / "gallica_colour_print_2.jpg") as opened:
        return np.asarray(opened.convert("RGB").reduce(2))


def crop_of(pixels: np.ndarray, model: str) -> np.ndarray:
    """One tile high, one and a half wide."""
    tile = metadata_of(model).smallest_tile
    part = pixels[: min(tile, len(pixels)), : 3 * tile // 2]
    assert part.shape[1] > 1.3 * tile, "the picture is too small to be cut"
    return np.ascontiguousarray(part)


def differs(model: str, make: Any, pixels: np.ndarray) -> int:
    """Grey levels between tiled and whole."""
    whole, tiled = (make(model, device="cpu", tile=tile).run(pixels) for tile in (None, metadata_of(model).smallest_tile))
    return int(np.abs(whole.astype(int) - tiled).max())


@pytest.mark.parametrize("model", RESTORERS)
def test_tiled_equals_whole(model: str, white: np.ndarray, print_in_colour: np.ndarray) -> None:
    metadata = metadata_of(model)
    if metadata.kinds == ("screen",):
        pixels = np.asarray(Image.open(SAMPLES / "gallica_press1930s_06.jpg")).transpose(1, 0, 2)
    elif metadata.kinds == ("palette",):
        pixels = sdk.Halftoner("palette", colors=64).run(print_in_colour)
    elif metadata.input_color == "rgb":
        pixels = sdk.Halftoner("floyd-steinberg").run(print_in_colour)
    else:
        pixels = white[150:, 200:]
    assert differs(model, sdk.InverseHalftoner, crop_of(pixels, model)) <= 1


@pytest.mark.parametrize("bits", [1, 3])
@pytest.mark.parametrize("model", EXPANDERS)
def test_expanded_in_tiles_equals_whole(model: str, bits: int, photo: np.ndarray) -> None:
    pixels = quantise_bits(crop_of(photo, model), bits)
    assert differs(model, sdk.BitDepthExpander, pixels) <= 1
