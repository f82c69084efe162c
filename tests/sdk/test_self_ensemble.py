"""Self-ensembles: the mean over all ways in which a picture is alike to a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk.analysis.methods import DIFFUSIONS, method_number
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import metadata_of
from sdk.errors import OptionError
from sdk.halftoning.palettes import quantise_bits
from sdk.metrics import psnr
from sdk.networks.self_ensemble import NEGATIVE, ONCE, ORIENTATIONS, View, mean_over, views_of
from sdk.turn import Turn
from tests.sdk.conftest import SMALL, StandIn


@pytest.fixture(scope="module")
def small(small_onnx: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For Floyd-Steinberg."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_onnx)
    onnx.helper.set_model_props(model, replace(SMALL, methods=("floyd-steinberg",)).to_props())
    path = tmp_path_factory.mktemp("self_ensemble") / "small.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def few(photo: np.ndarray) -> np.ndarray:
    """uint8 64x96x3 of 3 bits, a part of the sample in each channel."""
    return quantise_bits(np.stack([photo[y : y + 64, 300:396] for y in (100, 200, 300)], axis=-1), 3)


# Views


@given(st.sampled_from([*ORIENTATIONS, View(negative=True), View(Turn(90, True), negative=True)]), st.integers(1, 3), st.integers(0, 2))
def test_a_view_undone_is_the_picture(view: View, colours: int, beside: int) -> None:
    planes = np.random.default_rng(colours).integers(0, 256, (1, colours + beside, 5, 8)).astype(np.float32) / 256
    seen = view.apply(planes, colours)
    np.testing.assert_array_equal(view.undo(seen[:, :colours]), planes[:, :colours])
    assert sorted(seen[:, colours:].ravel()) == sorted(planes[:, colours:].ravel()), "what is beside the picture has no negative"


def test_all_views_differ() -> None:
    planes = np.random.default_rng(0).random((1, 2, 6, 6), np.float32)
    for views, count in ((ORIENTATIONS, 8), (NEGATIVE, 2)):
        assert len({view.apply(planes, 1).tobytes() for view in views}) == count


def test_one_view_is_the_network_alone() -> None:
    planes = np.random.default_rng(0).random((1, 2, 6, 6), np.float32)
    assert mean_over(ONCE, lambda given: given, planes, 1) is planes


def test_who_sees_what() -> None:
    assert views_of(metadata_of("scan")) == views_of(metadata_of("companding")) == ORIENTATIONS
    assert views_of(metadata_of("prl")) == NEGATIVE
    assert views_of(metadata_of("gif")) == views_of(SMALL) == ONCE
    for name in ("fast", "colour"):
        model = metadata_of(name)
        seen = {method: views_of(model, method_number(method, model.methods) / 256) for method in ("unknown", *model.methods)}
        assert {method for method, views in seen.items() if views == NEGATIVE} == {
            m for m in model.methods if m.split(",")[0] in DIFFUSIONS
        }
        assert seen["unknown"] == seen["blue-noise"] == ONCE


# Restorers


def test_dithers_are_the_mean_of_positive_and_negative(small: Path, small_onnx: bytes, dots: np.ndarray) -> None:
    network = OnnxRuntimeBackend(small_onnx, "cpu")
    planes = dots.astype(np.float32)[None, None]
    expected = (network.run(planes) + 1 - network.run(1 - planes))[0, 0] / 2
    found = sdk.InverseHalftoner(small, device="cpu", self_ensemble=True).run(planes[0, 0])
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-6)
    assert np.abs(found - sdk.InverseHalftoner(small, device="cpu").run(planes[0, 0])).max() > 0.01


def test_the_negative_comes_back_as_the_negative(small: Path, colour_dots: np.ndarray) -> None:
    restorer = sdk.InverseHalftoner(small, device="cpu", self_ensemble=True)
    given = colour_dots.astype(np.float32)
    np.testing.assert_allclose(restorer.run(1 - given), 1 - restorer.run(given), atol=1e-6)


@pytest.mark.parametrize("turn", [view.turn for view in ORIENTATIONS[1:]], ids=str)
def test_few_bits_come_back_alike_however_they_lie(bits_onnx: Path, few: np.ndarray, turn: Turn) -> None:
    for self_ensemble in (True, False):
        expander = sdk.BitDepthExpander(bits_onnx, device="cpu", self_ensemble=self_ensemble)
        turned = turn.undo(expander.run(turn.apply(few)).astype(int))
        assert (np.abs(turned - expander.run(few)).max() <= 1) == self_ensemble


def test_what_was_kept_stays(bits_onnx: Path, few: np.ndarray) -> None:
    result = sdk.BitDepthExpander(bits_onnx, device="cpu", self_ensemble=True).run(few)
    np.testing.assert_array_equal(quantise_bits(result, 3), few)


def test_tiled_equals_whole(bits_onnx: Path, photo: np.ndarray) -> None:
    floor = quantise_bits(np.dstack([photo, photo[::-1], photo[:, ::-1]])[:150, :210], 3)
    small, large = (sdk.BitDepthExpander(bits_onnx, device="cpu", tile=tile, self_ensemble=True).run(floor) for tile in (64, 256))
    assert np.abs(small.astype(int) - large).max() <= 1


def test_noise_is_refused(noisy_onnx: Path) -> None:
    with pytest.raises(OptionError, match=r"'noisy' starts from noise.*Leave self_ensemble out"):
        sdk.InverseHalftoner(noisy_onnx, device="cpu", self_ensemble=True)


def test_describe_says_so(small: Path, bits_onnx: Path) -> None:
    assert sdk.InverseHalftoner(small, device="cpu", self_ensemble=True).describe()["self_ensemble"]
    assert sdk.BitDepthExpander(bits_onnx, device="cpu", self_ensemble=True).describe()["self_ensemble"]
    assert "self_ensemble" not in sdk.InverseHalftoner(small, device="cpu").describe()


def test_auto_hands_it_on(dots: np.ndarray) -> None:
    auto = sdk.InverseHalftoner("auto", device="cpu", self_ensemble=True)
    np.testing.assert_array_equal(auto.run(dots), sdk.InverseHalftoner("fast", device="cpu", self_ensemble=True).run(dots))


def test_on_tensorrt_it_is_taken_tile_by_tile(small: Path, dots: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sdk.InverseHalftoner(small, device="cpu", self_ensemble=True).run(dots)
    monkeypatch.setattr("sdk.networks.network.open_backend", lambda *_, **__: (StandIn(small), "stand-in"))
    on_tensorrt = sdk.InverseHalftoner(small, device="cuda", self_ensemble=True)
    np.testing.assert_array_equal(on_tensorrt.run(dots), expected)
    assert (on_tensorrt.describe()["backend"], on_tensorrt.describe()["tiled_on"]) == ("tensorrt", "cpu")
    on_the_gpu = SimpleNamespace(__cuda_array_interface__={"shape": (64, 64), "typestr": "|u1", "data": (0, False), "version": 3})
    with pytest.raises(OptionError, match=r"'small' is to be the mean of a self-ensemble.*numpy arrays"):
        on_tensorrt.run(on_the_gpu)


# The released models


def test_released_models_gain(photo: np.ndarray, white: np.ndarray) -> None:
    part = (slice(100, 292), slice(250, 506))
    few = quantise_bits(photo[part], 2)

    def gain(restore: Callable[[bool], np.ndarray]) -> float:
        alone, together = (psnr(restore(self_ensemble), photo[part]) for self_ensemble in (False, True))
        return together - alone

    assert gain(lambda ensemble: sdk.InverseHalftoner("fast", device="cpu", self_ensemble=ensemble).run(white[part])) > 0.02
    assert gain(lambda ensemble: sdk.BitDepthExpander("companding", device="cpu", self_ensemble=ensemble).run(few)) > 0.02
