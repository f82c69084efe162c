"""``BitDepthExpander``: the bits that were kept stay, the same kind comes back, and each model runs where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import sdk
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import metadata_of, released_for
from sdk.errors import ImageWriteError, ModelError, OptionError, UnsupportedImageError
from sdk.files import encode, read, write
from sdk.halftoning.palettes import quantise_bits
from sdk.headers import Header
from sdk.images import Picture
from tests.sdk.conftest import BITS

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RELEASED = released_for("bit-depth-expansion")


@pytest.fixture(scope="module")
def expander(bits_onnx: Path) -> sdk.BitDepthExpander:
    return sdk.BitDepthExpander(bits_onnx, device="cpu")


@pytest.fixture(scope="module")
def backend(bits_onnx: Path) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(bits_onnx.read_bytes(), "cpu")


@pytest.fixture(scope="module")
def grey(photo: np.ndarray) -> np.ndarray:
    return photo[200:264, 300:396].copy()


@pytest.fixture(scope="module")
def colour(photo: np.ndarray) -> np.ndarray:
    return np.dstack([photo[y : y + 64, 300:396] for y in (100, 200, 300)])


def as_float(pixels: np.ndarray) -> np.ndarray:
    return (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)


# What the network is given, and what becomes of it


def test_the_network_gets_floors_and_bits(expander: sdk.BitDepthExpander, backend: OnnxRuntimeBackend, colour: np.ndarray) -> None:
    for bits in range(1, 6):
        floor = quantise_bits(colour, bits)
        planes = np.moveaxis(as_float(floor), -1, 0)[None]
        given = np.concatenate([planes, np.full_like(planes[:, :1], bits / 8)], axis=1)
        whole = np.moveaxis(backend.run(given)[0], 0, -1) * 255
        expected = np.clip(np.rint(whole), floor, floor + np.uint8(2 ** (8 - bits) - 1))
        assert (expected != np.clip(np.rint(whole), 0, 255)).any(), "this network would leave the intervals"
        np.testing.assert_array_equal(expander.run(floor, bits=bits), expected)


def test_grey_is_given_thrice_and_the_mean_comes_back(
    expander: sdk.BitDepthExpander, backend: OnnxRuntimeBackend, grey: np.ndarray
) -> None:
    floor = quantise_bits(grey, 3)
    given = np.concatenate([np.repeat(as_float(floor)[None, None], 3, axis=1), np.full((1, 1, *grey.shape), 3 / 8, np.float32)], axis=1)
    expected = np.clip(np.rint(backend.run(given)[0].mean(axis=0) * 255), floor, floor + np.uint8(31))
    np.testing.assert_array_equal(expander.run(floor), expected)
    np.testing.assert_array_equal(expander.run(np.dstack([floor] * 3)), np.dstack([expected] * 3))


def test_stretched_levels_are_expanded_like_cut_ones(expander: sdk.BitDepthExpander, colour: np.ndarray) -> None:
    k = colour >> 4
    np.testing.assert_array_equal(expander.run(k * 17), expander.run(k << 4))


@pytest.mark.parametrize("way", ["cut", "stretched"])
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(["uint8", "uint16", "float32"]))
def test_what_was_kept_stays(expander: sdk.BitDepthExpander, way: str, bits: int, seed: int, in_colour: bool, dtype: str) -> None:
    """The interval promise: the result cut again is the picture, whatever the network says."""
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 2**bits, (33, 40, 3) if in_colour else (33, 40)).astype(np.uint16)
    eight_bits = (k << (8 - bits)) if way == "cut" else np.rint(k * 255 / (2**bits - 1)).astype(np.uint16)
    pixels = {"uint8": eight_bits.astype(np.uint8), "uint16": k << (16 - bits), "float32": (eight_bits / 255).astype(np.float32)}[dtype]
    result = expander.run(pixels, bits=bits)
    assert result.dtype == pixels.dtype
    steps = np.minimum(np.floor(result * 2**bits), 2**bits - 1) if dtype == "float32" else result >> (8 * result.itemsize - bits)
    np.testing.assert_array_equal(steps, k)


@pytest.mark.parametrize("stretched", [False, True])
def test_rgb565_keeps_the_sixth_bit_of_green(expander: sdk.BitDepthExpander, colour: np.ndarray, stretched: bool) -> None:
    red, green, blue = colour[..., 0] & 0xF8, colour[..., 1] & 0xFC, colour[..., 2] & 0xF8
    pixels = np.dstack([red | red >> 5, green | green >> 6, blue | blue >> 5]) if stretched else np.dstack([red, green, blue])
    result = expander.run(pixels)
    np.testing.assert_array_equal(result & np.uint8([0xF8, 0xFC, 0xF8]), np.dstack([red, green, blue]))


# Kinds


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("in_colour", [False, True])
def test_dtype_shape_and_alpha_come_back(
    expander: sdk.BitDepthExpander, grey: np.ndarray, colour: np.ndarray, dtype: type, in_colour: bool
) -> None:
    steps = (colour if in_colour else grey) >> (7 if dtype == np.bool_ else 6)
    white = 1 if dtype in (np.bool_, np.float32) else np.iinfo(dtype).max
    pixels = (steps / steps.max() * white).astype(dtype)
    result = expander.run(pixels)
    assert result.dtype == (np.uint8 if dtype == np.bool_ else dtype)
    assert result.shape == pixels.shape
    if in_colour and dtype != np.bool_:
        alpha = pixels[::-1, :, 0]
        np.testing.assert_array_equal(expander.run(np.dstack([pixels, alpha])), np.dstack([result, alpha]))


def test_16_bits_and_floats_are_finer_than_8(expander: sdk.BitDepthExpander, grey: np.ndarray) -> None:
    steps = grey >> 6
    levels = np.unique(expander.run(steps << 6)).size
    for pixels in (steps.astype(np.uint16) << 14, as_float(steps << 6)):
        assert np.unique(expander.run(pixels)).size > 1.5 * levels


def test_pil_bytes_and_paths(expander: sdk.BitDepthExpander, colour: np.ndarray, tmp_path: Path) -> None:
    floor = quantise_bits(colour, 4)
    expected = expander.run(floor)
    image = Image.fromarray(floor)
    image.info |= {"dpi": (300, 300), "icc_profile": ICC}
    result = expander.run(image, bits=4)
    assert (result.mode, result.info) == ("RGB", {"dpi": (300, 300), "icc_profile": ICC})
    np.testing.assert_array_equal(np.asarray(result), expected)
    image.save(tmp_path / "in.png")
    np.testing.assert_array_equal(expander.run(tmp_path / "in.png"), expected)
    data = expander.run(encode([Picture(floor)], "TIFF"))
    assert read(data).format == "TIFF"
    np.testing.assert_array_equal(read(data).pages[0].pixels, expected)
    np.testing.assert_array_equal(expander.run_batch([floor, image], bits=4)[1], expected)


def test_a_palette_of_few_levels_is_a_picture_of_few_bits(expander: sdk.BitDepthExpander, grey: np.ndarray) -> None:
    floor = quantise_bits(grey, 2)
    np.testing.assert_array_equal(np.asarray(expander.run(Image.fromarray(floor).convert("P"))), expander.run(floor))


def test_run_file_keeps_pages_and_header(expander: sdk.BitDepthExpander, grey: np.ndarray, tmp_path: Path) -> None:
    pages = [quantise_bits(grey, 2), quantise_bits(grey[:40], 5)]
    write(tmp_path / "in.tif", [Picture(page, header=Header(dpi=(600.0, 600.0), icc_profile=ICC)) for page in pages])
    told = []
    expander.run_file(tmp_path / "in.tif", tmp_path / "out.tif", on_page=lambda done, total: told.append((done, total)))
    result = read(tmp_path / "out.tif")
    assert (result.pages[0].header.dpi, result.pages[0].header.icc_profile, told) == ((600, 600), ICC, [(1, 2), (2, 2)])
    for found, page in zip(result.pages, pages):
        np.testing.assert_array_equal(found.pixels, expander.run(page))
    with pytest.raises(ImageWriteError, match="exists already"):
        expander.run_file(tmp_path / "in.tif", tmp_path / "out.tif")


def test_a_page_that_is_no_few_bits_is_named_and_nothing_written(expander: sdk.BitDepthExpander, grey: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "in.tif", [Picture(quantise_bits(grey, 3)), Picture(grey)])
    with pytest.raises(UnsupportedImageError, match="Page 2 of 2: Found more than 64 levels"):
        expander.run_file(tmp_path / "in.tif", tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


# Refusals


def test_continuous_tone_is_refused(expander: sdk.BitDepthExpander, photo: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError, match=r"continuous tone.*Accepted: 1 to 5 bits"):
        expander.run(photo)
    with pytest.raises(UnsupportedImageError, match="Picture 1 of the batch: Found"):
        expander.run_batch([quantise_bits(photo[:64, :64], 3), photo])


def test_wrong_bits_are_refused(expander: sdk.BitDepthExpander, photo: np.ndarray, tmp_path: Path) -> None:
    floor = quantise_bits(photo, 5)
    with pytest.raises(UnsupportedImageError, match=r"those of 5 bits a channel, but bits=3 was given"):
        expander.run(floor, bits=3)
    for call in (lambda: expander.run(floor, bits=8), lambda: expander.run_file(tmp_path / "no.png", tmp_path / "out.png", bits=0)):
        with pytest.raises(OptionError, match=r"1\.\.5"):
            call()


def test_each_model_runs_where_it_belongs(bits_onnx: Path) -> None:
    with pytest.raises(ModelError, match=r"bits\.onnx is a model for bit-depth-expansion.*run it by sdk\.BitDepthExpander"):
        sdk.InverseHalftoner(bits_onnx, device="cpu")
    with pytest.raises(ModelError, match=r"'fast' is a model for inverse-halftoning.*run it by sdk\.InverseHalftoner"):
        sdk.BitDepthExpander("fast", device="cpu")


@pytest.mark.parametrize("conditions", [[], ["bits", "noise level"]])
def test_other_conditions_are_refused(bits_onnx: Path, tmp_path: Path, conditions: list[str]) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bits_onnx)
    onnx.helper.set_model_props(model, BITS.to_props() | {"conditions": json.dumps(conditions)})
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(ModelError, match=r"other\.onnx takes rgb .*and bits\. Upgrade"):
        sdk.BitDepthExpander(tmp_path / "other.onnx", device="cpu")


# Tiles, and what runs


def test_tiled_equals_whole(expander: sdk.BitDepthExpander, bits_onnx: Path, photo: np.ndarray) -> None:
    floor = quantise_bits(np.dstack([photo, photo[::-1], photo[:, ::-1]])[:150, :210], 3)
    larger = sdk.BitDepthExpander(bits_onnx, device="cpu", tile=256)
    assert expander.describe()["tile"] == 64
    np.testing.assert_array_equal(larger.run(floor), expander.run(floor))


def test_describe_and_metadata(bits_onnx: Path) -> None:
    expander = sdk.BitDepthExpander(bits_onnx, device="cpu", tile=96, overlap=32, threads=1)
    assert expander.metadata == metadata_of(bits_onnx) == BITS
    assert expander.describe() == {
        "model": "bits",
        "backend": "onnxruntime",
        "device": "cpu",
        "precision": "fp32",
        "tile": 96,
        "overlap": 32,
    }
    with pytest.raises(OptionError, match="multiple of 32"):
        sdk.BitDepthExpander(bits_onnx, device="cpu", tile=72)


def test_openvino_gives_nearly_the_same(expander: sdk.BitDepthExpander, bits_onnx: Path, colour: np.ndarray) -> None:
    pytest.importorskip("openvino")
    floor = quantise_bits(colour, 4)
    other = sdk.BitDepthExpander(bits_onnx, device="cpu", backend="openvino").run(floor)
    assert np.abs(other.astype(int) - expander.run(floor)).max() <= 1
    np.testing.assert_array_equal(quantise_bits(other, 4), floor)


# The released models (none is tried while none is released)


@pytest.mark.parametrize("name", RELEASED)
def test_released_models_keep_their_promise_and_gain(name: str, photo: np.ndarray) -> None:
    expander = sdk.BitDepthExpander(name, device="cpu")
    for bits in (1, 3, 5):
        floor = quantise_bits(photo[:256, 256:512], bits)
        expanded = expander.run(floor)
        np.testing.assert_array_equal(quantise_bits(expanded, bits), floor)
        middle = floor + np.uint8((2 ** (8 - bits) - 1) // 2)
        errors = [np.square(result - photo[:256, 256:512].astype(float)).mean() for result in (expanded, middle)]
        if bits > 1:  # of black and white alone, a single picture may be guessed wrong; the tables tell the mean
            assert errors[0] < errors[1], f"{bits} bits: worse than the middle of the intervals"


@pytest.mark.parametrize("name", RELEASED)
def test_released_models_are_refused_as_halftone_models(name: str) -> None:
    with pytest.raises(ModelError, match=r"sdk\.BitDepthExpander"):
        sdk.InverseHalftoner(name, device="cpu")
