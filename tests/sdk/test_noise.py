"""Models that start from noise: one field a picture, from a seed; tiles meet without a seam, and no seed is ignored."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.engines.build import BuildOptions, describe_build, installed_flavours
from sdk.errors import ModelError, OptionError
from sdk.files import read, write
from sdk.images import Picture, from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.networks.noise import noise_field
from tests.sdk.conftest import BITS, DOTS, NOISY, SMALL, StandIn, network_on_whole


@pytest.fixture(scope="module")
def restorer(noisy_onnx: Path) -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner(noisy_onnx, device="cpu", tile=256)


@pytest.fixture(scope="module")
def dots(white: np.ndarray) -> np.ndarray:
    """bool 61x90: padded to 64x96."""
    return white[200:261, 300:390].copy()


@pytest.fixture(scope="module")
def colour_dots(white: np.ndarray) -> np.ndarray:
    return np.stack([white[y : y + 61, 300:390] for y in (100, 200, 300)], axis=-1)


# The field


def test_a_field_is_standard_normal() -> None:
    field = noise_field(3, 0, 512, 640)
    assert (field.dtype, field.shape) == (np.float32, (512, 640))
    assert abs(field.mean()) < 0.01
    assert abs(field.std() - 1) < 0.01
    assert abs(np.mean(field[:, 1:] * field[:, :-1])) < 0.01
    assert abs(np.mean(field[1:] * field[:-1])) < 0.01


def test_every_seed_and_channel_has_its_own() -> None:
    keys = [(seed, channel) for seed in (0, 1, 2**32, 2**32 + 1, 2**70) for channel in range(3)]
    fields = [noise_field(*key, 64, 64) for key in keys]
    assert (np.abs(np.corrcoef([field.ravel() for field in fields]) - np.eye(len(keys))) < 0.1).all()
    for key, field in zip(keys, fields):
        np.testing.assert_array_equal(noise_field(*key, 64, 64), field)


# What the network is given


@pytest.mark.parametrize("seed", [0, 1, 123456789012])
def test_the_network_gets_the_field_of_the_padded_picture(
    restorer: sdk.InverseHalftoner, noisy_onnx: Path, dots: np.ndarray, seed: int
) -> None:
    np.testing.assert_array_equal(restorer.run(dots, seed=seed), from_unit(network_on_whole(noisy_onnx, dots, seed), np.uint8))


def test_same_seed_same_pixels_and_another_slightly_others(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    first = restorer.run(dots, seed=5)
    np.testing.assert_array_equal(restorer.run(dots, seed=np.int64(5)), first)
    difference = np.abs(restorer.run(dots, seed=6).astype(int) - first)
    assert 0 < difference.mean() < 20
    np.testing.assert_array_equal(restorer.run(dots), restorer.run(dots, seed=0))


@pytest.mark.parametrize("shape", [(128, 256), (263, 301)])
def test_tiled_equals_whole(noisy_onnx: Path, white: np.ndarray, shape: tuple[int, int]) -> None:
    region = white[: shape[0], : shape[1]].astype(np.float32)
    tiled = sdk.InverseHalftoner(noisy_onnx, device="cpu")
    assert tiled.describe()["tile"] == 64
    np.testing.assert_allclose(tiled.run(region, seed=2), np.clip(network_on_whole(noisy_onnx, region, 2), 0, 1), atol=1e-5)


def test_each_channel_of_colour_has_its_own_field(restorer: sdk.InverseHalftoner, noisy_onnx: Path, colour_dots: np.ndarray) -> None:
    expected = [from_unit(network_on_whole(noisy_onnx, colour_dots[..., c], 4, channel=c), np.uint8) for c in range(3)]
    np.testing.assert_array_equal(restorer.run(colour_dots, seed=4), np.stack(expected, axis=-1))


def test_grey_stored_as_rgb_stays_grey(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    np.testing.assert_array_equal(restorer.run(np.dstack([dots] * 3), seed=1), np.dstack([restorer.run(dots, seed=1)] * 3))


def test_threshold_cuts_the_picture_and_not_the_noise(noisy_onnx: Path, restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    faint = np.where(dots, np.uint8(150), np.uint8(90)) + np.arange(dots.shape[1], dtype=np.uint8) % 5  # not of two levels
    with pytest.warns(sdk.NotTwoLevelsWarning) as caught:
        restorer.run(faint, seed=1)
    assert caught[0].filename == __file__  # it points at the caller
    cut = sdk.InverseHalftoner(noisy_onnx, device="cpu", threshold=0.5).run(faint, seed=1)
    np.testing.assert_array_equal(cut, restorer.run(dots, seed=1))


# Kinds of picture


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_dtype_and_alpha_are_kept(restorer: sdk.InverseHalftoner, colour_dots: np.ndarray, dtype: type) -> None:
    top = np.array(1 if dtype in (np.bool_, np.float32) else np.iinfo(dtype).max, dtype)
    given = colour_dots * top
    result = restorer.run(given, seed=9)
    assert (result.shape, result.dtype) == (given.shape, np.uint8 if dtype == np.bool_ else dtype)
    np.testing.assert_allclose(to_unit(result), to_unit(restorer.run(colour_dots, seed=9)), atol=0.51 / 255)
    if dtype != np.bool_:
        alpha = given[::-1, :, 0]
        np.testing.assert_array_equal(restorer.run(np.dstack([given, alpha]), seed=9), np.dstack([result, alpha]))


def test_all_ways_in_take_the_seed(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    expected = restorer.run(dots, seed=7)
    image, stream = Image.fromarray(dots), io.BytesIO()
    image.save(stream, format="PNG")
    image.save(tmp_path / "in.png")
    np.testing.assert_array_equal(np.asarray(restorer.run(image, seed=7)), expected)
    np.testing.assert_array_equal(read(restorer.run(stream.getvalue(), seed=7)).pages[0].pixels, expected)
    np.testing.assert_array_equal(restorer.run(tmp_path / "in.png", seed=7), expected)
    for result in restorer.run_batch([dots, tmp_path / "in.png"], seed=7):
        np.testing.assert_array_equal(result, expected)


def test_every_page_of_a_file_gets_the_same_noise(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "in.tif", [Picture(dots), Picture(~dots)])
    restorer.run_file(tmp_path / "in.tif", tmp_path / "out.tif", seed=3)
    for page, given in zip(read(tmp_path / "out.tif").pages, (dots, ~dots)):
        np.testing.assert_array_equal(page.pixels, restorer.run(given, seed=3))


# No seed is ignored


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_wrong_seeds_are_refused(restorer: sdk.InverseHalftoner, dots: np.ndarray, tmp_path: Path, seed: int) -> None:
    for call in (
        lambda: restorer.run(dots, seed=seed),
        lambda: restorer.run_batch([dots], seed=seed),
        lambda: restorer.run_file("missing.png", tmp_path / "out.png", seed=seed),
    ):
        with pytest.raises(OptionError, match="whole number"):
            call()


@pytest.mark.parametrize("model", ["fast", "auto"])
def test_a_seed_for_nothing_is_refused(model: str, dots: np.ndarray, tmp_path: Path, catalog_of: Callable[..., None]) -> None:
    catalog_of()  # of fast alone, so that auto has no model that takes one
    restorer = sdk.InverseHalftoner(model, device="cpu")
    for call in (lambda: restorer.run(dots, seed=0), lambda: restorer.run_file("missing.png", tmp_path / "out.png", seed=0)):
        with pytest.raises(OptionError, match=f"'{model}' takes none.*Leave the seed out"):
            call()


def test_auto_hands_the_seed_to_models_that_take_it(
    catalog_of: Callable[..., None], two_plane_onnx: Callable[[ModelMetadata, float], Path], white: np.ndarray
) -> None:
    path = two_plane_onnx(ModelMetadata(**{**vars(NOISY), "name": "noisy-screens", "kinds": ("screen",)}), 0.05)
    catalog_of(path)
    auto = sdk.InverseHalftoner("auto", device="cpu")
    screened = sdk.Halftoner("am-screen", lpi=60, dpi=300).run(np.full((256, 256), 100, np.uint8))
    for seed in (None, 0, 8):
        result = auto.run(screened, seed=seed)
        assert auto.choice is not None
        assert auto.choice.model == "noisy-screens"
        np.testing.assert_array_equal(result, sdk.InverseHalftoner("noisy-screens", device="cpu").run(screened, seed=seed))
    auto.run(white[:128, :128], seed=8)
    assert auto.choice.model == "fast"  # the seed counts where a model has use for it


# Where it runs


def test_describe_says_so(restorer: sdk.InverseHalftoner) -> None:
    described = restorer.describe()
    assert (described["needs_noise"], described["num_inference_steps"], described["tiled_on"]) == (True, 2, "cpu")
    assert restorer.metadata == NOISY


def test_on_tensorrt_it_is_tiled_by_numpy(
    restorer: sdk.InverseHalftoner, noisy_onnx: Path, dots: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdk.networks.network.open_backend", lambda *_, **__: (StandIn(noisy_onnx), "stand-in"))
    on_tensorrt = sdk.InverseHalftoner(noisy_onnx, device="cuda")
    np.testing.assert_array_equal(on_tensorrt.run(dots, seed=1), restorer.run(dots, seed=1))
    assert (on_tensorrt.describe()["backend"], on_tensorrt.describe()["tiled_on"]) == ("tensorrt", "cpu")
    on_the_gpu = SimpleNamespace(__cuda_array_interface__={"shape": (64, 64), "typestr": "|u1", "data": (0, False), "version": 3})
    for each in (on_tensorrt, restorer):
        with pytest.raises(OptionError, match=r"'noisy' starts from noise.*numpy arrays"):
            each.run(on_the_gpu, seed=1)  # type: ignore[arg-type]


def test_engines_have_a_plane_for_the_noise(noisy_onnx: Path) -> None:
    assert [metadata.input_planes for metadata in (SMALL, NOISY, DOTS, BITS)] == [1, 2, 2, 4]
    if "tensorrt-rtx" not in installed_flavours():
        pytest.skip("needs TensorRT-RTX")
    header = describe_build(noisy_onnx.read_bytes(), BuildOptions(flavour="tensorrt-rtx"))
    assert header.shapes == ((1, 2, 8, 8), (1, 2, 64, 64), (1, 2, 64, 64))


def test_openvino_gives_nearly_the_same(restorer: sdk.InverseHalftoner, noisy_onnx: Path, dots: np.ndarray) -> None:
    pytest.importorskip("openvino")
    other = sdk.InverseHalftoner(noisy_onnx, device="cpu", backend="openvino").run(dots, seed=1)
    assert np.abs(other.astype(int) - restorer.run(dots, seed=1)).max() <= 1


def test_tasks_without_noise_refuse_it(bits_onnx: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(bits_onnx)
    onnx.helper.set_model_props(model, BITS.to_props() | {"needs_noise": json.dumps(True)})
    onnx.save(model, str(tmp_path / "noisy_bits.onnx"))
    with pytest.raises(ModelError, match=r"noisy_bits\.onnx takes rgb .*and bits and noise;.*and bits\. Upgrade"):
        sdk.BitDepthExpander(tmp_path / "noisy_bits.onnx", device="cpu")
