"""Photographs to train on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


def write_photos(root: Path, crops: dict[str, np.ndarray]) -> Path:
    """<root>/<name>.png of each, folders on the way made."""
    for name, crop in crops.items():
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), crop)
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray) -> Path:
    """train/ and val/ with two photographs of 128x128 px each."""
    lefts = {"train/a": 0, "train/b": 200, "val/c": 400, "val/d": 600}
    return write_photos(tmp_path_factory.mktemp("photos"), {name: photo[200:328, left : left + 128] for name, left in lefts.items()})
