"""Networks that are told which method placed the dots: one number a picture, the same for all its channels and tiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdk
from sdk.analysis.methods import count_patterns
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import ModelError, OptionError
from sdk.halftoning import halftone
from sdk.images import from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.networks.halftone import HalftoneNetwork
from tests.sdk.conftest import SMALL
from training.pages import beside_text

KNOWN = ("stucki", "", "floyd-steinberg")
TOLD = replace(SMALL, name="told", conditions=("method",), methods=KNOWN, kinds=("dither",), tile=128)


@pytest.fixture(scope="module")
def told_onnx(two_plane_onnx: Callable[[ModelMetadata, float], Path]) -> Path:
    """The picture and its method's number / 256, blurred and added: so the number shows."""
    return two_plane_onnx(TOLD, 0)


@pytest.fixture(scope="module")
def kodim() -> np.ndarray:
    photo = sdk.files.read(Path(__file__).parents[2] / "docs/samples/kodim23_grey.png").pages[0].pixels
    return np.ascontiguousarray(photo[100:356, 200:456])


def expected(model: Path, white: np.ndarray, number: int) -> np.ndarray:
    planes = np.stack([to_unit(white), np.full(white.shape, number / 256, np.float32)])[None]
    return from_unit(OnnxRuntimeBackend(model.read_bytes(), "cpu").run(planes)[0, 0], np.uint8)


@pytest.mark.parametrize(
    ("method", "number"), [("stucki", 1), ("floyd-steinberg", 3), ("burkes", 0), ("blue-noise", 0)], ids=lambda value: str(value)
)
def test_a_network_is_told_what_it_knows(told_onnx: Path, kodim: np.ndarray, method: str, number: int) -> None:
    white = halftone(kodim, method)
    restored = sdk.InverseHalftoner(told_onnx, device="cpu", tile=256).run(white)
    np.testing.assert_array_equal(restored, expected(told_onnx, white, number))


def test_dots_of_no_method_are_of_number_0(told_onnx: Path, kodim: np.ndarray) -> None:
    white = halftone(kodim, "am-screen", lpi=100.0, dpi=600.0)
    np.testing.assert_array_equal(sdk.InverseHalftoner(told_onnx, device="cpu", tile=256).run(white), expected(told_onnx, white, 0))


def test_tiles_are_told_the_same(told_onnx: Path, kodim: np.ndarray) -> None:
    white = halftone(kodim, "floyd-steinberg")
    whole, tiled = (sdk.InverseHalftoner(told_onnx, device="cpu", tile=tile).run(white) for tile in (256, 64))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_channels_are_judged_together(told_onnx: Path, kodim: np.ndarray) -> None:
    """One of them is too plain to tell by itself."""
    rgb = np.dstack([kodim, kodim[::-1], np.zeros_like(kodim)])
    white = halftone(rgb, "stucki")
    restored = sdk.InverseHalftoner(told_onnx, device="cpu", tile=256).run(white)
    for channel in range(3):
        np.testing.assert_array_equal(restored[..., channel], expected(told_onnx, np.ascontiguousarray(white[..., channel]), 1))


def test_a_threshold_counts_for_the_dots_too(told_onnx: Path, kodim: np.ndarray) -> None:
    white = halftone(kodim, "floyd-steinberg")
    grey = np.where(white, 0.4, 0.1).astype(np.float32)
    restored = sdk.InverseHalftoner(told_onnx, device="cpu", tile=256, threshold=0.3).run(grey)
    np.testing.assert_array_equal(from_unit(restored, np.uint8), expected(told_onnx, white, 3))


def test_what_the_gpu_counts_is_judged_alike(told_onnx: Path, kodim: np.ndarray) -> None:
    network = HalftoneNetwork(told_onnx, device="cpu")
    for method, number in (("stucki", 1), ("burkes", 0)):
        white = halftone(kodim, method)
        counts = count_patterns(white).astype(np.int32)
        for tell in (network._condition(), network._condition(white)):  # for an array in GPU memory, and one that was uploaded
            assert callable(tell)
            assert tell(counts) == number / 256


def test_beside_text_the_pixels_are_looked_at_again(told_onnx: Path, kodim: np.ndarray) -> None:
    page = beside_text(halftone(np.tile(kodim, (1, 2)), "stucki"), np.random.default_rng(0))
    network = HalftoneNetwork(told_onnx, device="cpu")
    by_counts, by_pixels = network._condition(), network._condition(page)
    assert callable(by_counts)
    assert callable(by_pixels)
    counts = count_patterns(page)
    assert (by_counts(counts), by_pixels(counts), by_pixels(None)) == (0, 1 / 256, 1 / 256)


def test_what_was_found_before_is_not_looked_for_again(told_onnx: Path, kodim: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    white = halftone(kodim, "floyd-steinberg")
    found = sdk.analyze(white)
    monkeypatch.setattr("sdk.networks.halftone.find_method", lambda *_: pytest.fail("it was looked for twice"))
    restored = HalftoneNetwork(told_onnx, device="cpu", tile=256).restore(white, found)
    np.testing.assert_array_equal(restored, expected(told_onnx, white, 3))


def test_a_method_that_is_named_is_the_one_told(told_onnx: Path, kodim: np.ndarray) -> None:
    white = halftone(kodim, "floyd-steinberg")
    for method, number in (("stucki", 1), ("floyd-steinberg", 3), ("unknown", 0)):
        restorer = sdk.InverseHalftoner(told_onnx, device="cpu", tile=256, method=method)
        np.testing.assert_array_equal(restorer.run(white), expected(told_onnx, white, number))
        assert restorer.describe()["method"] == method
        assert HalftoneNetwork(told_onnx, method=method)._condition(white) == number / 256
    assert sdk.InverseHalftoner(told_onnx, device="cpu").describe()["method"] is None


@pytest.mark.parametrize(
    ("model", "method", "message"),
    [
        (
            "told",
            "floid-steinberg",
            r"does not know the method 'floid-steinberg'\. Did you mean 'floyd-steinberg'\?",
        ),
        ("told", "", "does not know the method ''"),
        ("prl", "floyd-steinberg", r"'prl' is told no halftoning method\. Leave the method out\."),
        ("auto", "floyd-steinberg", r"name a model that is told it, such as 'fast'"),
    ],
)
def test_methods_that_do_not_count_are_errors(told_onnx: Path, model: str, method: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        sdk.InverseHalftoner(told_onnx if model == "told" else model, device="cpu", method=method)


def test_metadata_keeps_the_methods() -> None:
    assert ModelMetadata.from_props(TOLD.to_props(), "the model") == TOLD
    old = {key: value for key, value in TOLD.to_props().items() if key != "methods"}
    assert ModelMetadata.from_props(old, "the model").methods == ()


def test_only_restorers_of_halftones_can_tell(told_onnx: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(told_onnx)
    onnx.helper.set_model_props(model, TOLD.to_props() | {"task": json.dumps("bit-depth-expansion")})
    onnx.save(model, str(tmp_path / "bits.onnx"))
    with pytest.raises(ModelError, match=r"takes grey .* and method; this version runs models .* and bits\. Upgrade"):
        sdk.BitDepthExpander(tmp_path / "bits.onnx", device="cpu")


def test_fast_restores_better_when_it_is_told(kodim: np.ndarray) -> None:
    """And does well without."""
    white = halftone(kodim, "jarvis-judice-ninke")
    told, named, blind = (
        sdk.InverseHalftoner("fast", device="cpu", method=method).run(white) for method in (None, "jarvis-judice-ninke", "unknown")
    )
    np.testing.assert_array_equal(told, named)
    errors = [np.mean((restored.astype(float) - kodim) ** 2) for restored in (told, blind)]
    assert errors[0] < errors[1] < 2 * errors[0]
