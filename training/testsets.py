"""The pictures that the tables are measured on: every folder of DIR/test, and those of the papers' protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from training.data import DataError, photo_paths, read_grey

PROTOCOL = "coco_val50@256"
"""The papers' pictures, as near as we have them: ``centre_256`` of COCO's."""


def centre_256(photo: np.ndarray) -> np.ndarray:
    """Shorter side to 256 px by area, then the central 256x256 px: the protocol of the papers."""
    scale = 256 / min(photo.shape[:2])
    height, width = (max(256, round(extent * scale)) for extent in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (height - 256) // 2, (width - 256) // 2
    return np.ascontiguousarray(small[top : top + 256, left : left + 256])


def sets_of(data: Path, read: Callable[[Path], np.ndarray] = read_grey) -> dict[str, list[np.ndarray]]:
    """Name -> uint8 pictures, grey unless ``read`` gives colour, of every folder in data/test, and coco_val50 a second time at 256x256."""
    sets = {folder.name: [read(path) for path in photo_paths(folder)] for folder in _folders(data)}
    if "coco_val50" in sets:
        sets[PROTOCOL] = [centre_256(photo) for photo in sets["coco_val50"]]
    return sets


def picture_counts(data: Path) -> dict[str, int]:
    """Of every test set, and of val, which is needed to tune filters only."""
    return {folder.name: len(photo_paths(folder)) for folder in (data / "val", *_folders(data)) if folder.is_dir()}


def tuning_pictures(data: Path, count: int, read: Callable[[Path], np.ndarray] = read_grey) -> list[np.ndarray]:
    """The centre of val pictures at equal steps, on which filters are tuned."""
    paths = photo_paths(data / "val")
    return [centre_256(read(path)) for path in paths[:: max(1, len(paths) // count)][:count]]


def _folders(data: Path) -> list[Path]:
    folders = sorted(folder for folder in (data / "test").glob("*") if folder.is_dir())
    if not folders:
        raise DataError(f"{data}/test has no folders. Put test sets there, for example test/kodak24 with the 24 Kodak pictures.")
    return folders
