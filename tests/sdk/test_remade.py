"""Restorers in other processes are made anew there."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.halftoning.palettes import quantise_bits

MAKERS: dict[str, Callable[[], Any]] = {
    "restorer": lambda: sdk.InverseHalftoner("fast", device="cpu", tile=128, method="floyd-steinberg"),
    "auto": lambda: sdk.InverseHalftoner("auto", device="cpu", scale=0.5),
    "halftoner": lambda: sdk.Halftoner("atkinson", serpentine=True, grey=True),
}


@pytest.mark.parametrize(
    "way", [lambda made: pickle.loads(pickle.dumps(made)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
@pytest.mark.parametrize("name", MAKERS)
def test_it_is_made_of_the_same_arguments(name: str, way: Callable[[Any], Any], white: np.ndarray) -> None:
    made = MAKERS[name]()
    again = way(made)
    assert again is not made
    assert again.describe() == made.describe()
    np.testing.assert_array_equal(again.run(white[100:164, 100:196]), made.run(white[100:164, 100:196]))


def test_it_is_small_and_holds_no_runtime(bits_onnx: Path, photo: np.ndarray) -> None:
    expander = sdk.BitDepthExpander(bits_onnx, device="cpu")
    pickled = pickle.dumps(expander)
    assert len(pickled) < 1000
    floor = quantise_bits(photo[:64, :64], 3)
    np.testing.assert_array_equal(pickle.loads(pickled).run(floor), expander.run(floor))


def test_a_model_that_is_gone_is_named(bits_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.onnx"
    path.write_bytes(bits_onnx.read_bytes())
    pickled = pickle.dumps(sdk.BitDepthExpander(path, device="cpu"))
    path.unlink()
    with pytest.raises(sdk.errors.ModelError, match=r"gone\.onnx cannot be read"):
        pickle.loads(pickled)


def test_processes_restore_alike(white: np.ndarray) -> None:
    """Started afresh (spawn), as Windows and macOS do."""
    restorer = sdk.InverseHalftoner("fast", device="cpu", threads=1)
    parts = [white[y : y + 64, 300:364] for y in (100, 200)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for found, part in zip(pool.map(restorer.run, parts), parts):
            np.testing.assert_array_equal(found, restorer.run(part))
