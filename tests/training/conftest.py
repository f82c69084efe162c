"""Photographs to train on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """train/ and val/ with two photographs of 128x128 px each."""
    root = tmp_path_factory.mktemp("photos")
    for name, left in (("train/a", 0), ("train/b", 200), ("val/c", 400), ("val/d", 600)):
        path = root / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), photo[200:328, left : left + 128])
    return root
