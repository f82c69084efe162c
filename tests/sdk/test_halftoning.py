"""``sdk.halftoning``: what all methods have in common, palettes and bit depths by their definitions, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdk.errors import OptionError, UnsupportedImageError
from sdk.halftoning import METHODS, halftone
from sdk.halftoning.palettes import PALETTE_DITHERS
from tests.sdk.pictures import flat

BINARY = sorted(METHODS.keys() - {"palette", "bit-depth"})


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(37, 50), (37, 50, 3)])
def test_shape_and_dtype(name: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    halftoned = halftone(image, name)
    assert halftoned.dtype == (bool if name in BINARY else np.uint8)
    assert halftoned.shape == ((37, 50, 3) if name == "palette" else shape)


@pytest.mark.parametrize("name", METHODS)
def test_input_is_left_alone(name: str) -> None:
    image = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    before = image.copy()
    halftone(image, name)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", METHODS)
def test_black_stays_black_and_white_white(name: str) -> None:
    brightest = {"palette": 255, "bit-depth": 224}.get(name, True)  # eq. 2 of Hou & Qiu does not rescale
    assert (halftone(flat(0, 40), name) == 0).all()
    assert (halftone(flat(255, 40), name) == brightest).all()


# ---- palettes and bit depth


@pytest.mark.parametrize("palette", ["median-cut", "octree", "web"])
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_palette_keeps_tone(palette: str, grey: int) -> None:
    assert abs(halftone(flat(grey), "palette", palette=palette).mean() - grey) <= 0.02 * 255


@pytest.mark.parametrize("dither", ["floyd-steinberg", "bayer"])
def test_dithered_palette_keeps_the_mean_of_a_gradient(dither: str) -> None:
    """Also the ordered one, though Pillow looks colours up by the lowest of four levels."""
    ramp = np.tile(np.arange(40, 216, dtype=np.uint8), (64, 1))
    reduced = halftone(np.dstack([ramp] * 3), "palette", palette="web", dither=dither)
    assert reduced.mean() == pytest.approx(ramp.mean(), abs=0.5)


@pytest.mark.parametrize("palette", ["median-cut", "octree"])
@pytest.mark.parametrize("colors", [2, 5, 16, 100, 256])
@pytest.mark.parametrize("dither", PALETTE_DITHERS)
def test_palette_has_at_most_so_many_colours(palette: str, colors: int, dither: str) -> None:
    y, x = np.mgrid[:96, :96].astype(np.uint8)
    rgb = np.stack([2 * x, 2 * y, x + y], axis=-1)
    reduced = halftone(rgb, "palette", colors=colors, palette=palette, dither=dither)
    assert colors / 2 <= len(np.unique(reduced.reshape(-1, 3), axis=0)) <= colors


@settings(max_examples=25, deadline=None)
@given(rgb=arrays(np.uint8, (12, 12, 3)), dither=st.sampled_from(PALETTE_DITHERS))
def test_web_palette_is_the_cube(rgb: np.ndarray, dither: str) -> None:
    reduced = halftone(rgb, "palette", palette="web", dither=dither)
    assert set(np.unique(reduced)) <= {0, 51, 102, 153, 204, 255}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_bit_depth_is_equation_2(dtype: type, data: st.DataObject) -> None:
    depth = np.iinfo(dtype).bits
    image = data.draw(arrays(dtype, (4, 4)))
    bits = data.draw(st.integers(1, depth))
    step = 2 ** (depth - bits)
    kept = halftone(image, "bit-depth", bits=bits)
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, np.floor(image / step) * step)


# ---- errors


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"floyd-stienberg.*Did you mean 'floyd-steinberg'"):
        halftone(flat(0), "floyd-stienberg")


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"'serpentin'.*Did you mean 'serpentine'"):
        halftone(flat(0), "stucki", serpentin=True)


def test_kernel_is_no_parameter() -> None:
    assert METHODS["stucki"].parameters == {"serpentine": False, "levels": 2}
    with pytest.raises(OptionError, match="kernel"):
        halftone(flat(0), "stucki", kernel="burkes")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bayer", {"size": 3}),
        ("clustered-dot", {"size": 1}),
        ("am-screen", {"lpi": 0}),
        ("am-screen", {"dpi": -300}),
        ("am-screen", {"lpi": 600, "dpi": 300}),
        ("am-screen", {"dot": "star"}),
        ("blue-noise", {"size": 7}),
        ("palette", {"colors": 1}),
        ("palette", {"palette": "windows"}),
        ("bit-depth", {"bits": 0}),
        ("bit-depth", {"bits": 9}),
    ],
)
def test_values_out_of_range(name: str, parameters: dict) -> None:
    with pytest.raises(OptionError):
        halftone(flat(0), name, **parameters)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((16, 16), np.float32),
        np.zeros((16, 16), bool),
        np.zeros((16, 16), np.int64),
        np.zeros(16, np.uint8),
        np.zeros((16, 16, 1), np.uint8),
        np.zeros((16, 16, 4), np.uint8),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_wrong_arrays_are_refused(name: str, image: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError, match=str(image.dtype)):
        halftone(image, name)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"bit-depth"}))
def test_only_bit_depth_takes_16_bits(name: str) -> None:
    with pytest.raises(UnsupportedImageError, match="uint16"):
        halftone(np.zeros((16, 16), np.uint16), name)
