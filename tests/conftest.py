"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import sdk
from sdk.files import read

# Every run tries the same examples, so that a commit's tests pass or fail alike everywhere; `pytest --hypothesis-profile=explore` looks
# for new ones (the option is read after this file). Write down what it finds as an @example, beside the mending.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "docs" / "samples"


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 512x768 grey photograph (Kodak 23)."""
    return read(SAMPLES / "kodim23_grey.png").pages[0].pixels


@pytest.fixture(scope="session")
def white() -> np.ndarray:
    """bool 512x768, its Floyd-Steinberg halftone."""
    return read(SAMPLES / "kodim23_floyd-steinberg.png").pages[0].pixels


@pytest.fixture(scope="session")
def restorer() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("fast", device="cpu")


@pytest.fixture(scope="session")
def data() -> Path:
    """The full photo and test sets, where the machine has them."""
    folder = os.environ.get("INVERSE_HALFTONER_DATA")
    if not folder:
        pytest.skip("set INVERSE_HALFTONER_DATA to a folder with train/, val/ and test/ to run this")
    return Path(folder)
