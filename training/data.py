"""Training pairs made on the fly from a folder of photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sdk.images import from_unit
from training.config import DataConfig
from training.degradations import Degradation, degrade
from training.errors import TrainingError

LARGEST = 420
"""px of a photograph's shorter side; larger ones are shrunk to it, since crops of a camera's full size show hardly any detail."""
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


Item = TypeVar("Item")


class DataError(TrainingError):
    """A data folder is missing or holds no usable photographs."""


def photo_paths(folder: Path) -> list[Path]:
    """All photographs below ``folder``, sorted; an error says what is missing."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give --data a folder with train/, val/ and test/<set>/ sub-folders of photographs.")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith("."))
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise DataError(f"{folder} holds no photographs ({', '.join(sorted(PHOTO_SUFFIXES))}).")
    return paths


def read_rgb(path: Path) -> np.ndarray:
    """uint8 HxWx3 RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None or not _is_whole(path):
        raise DataError(f"{path} cannot be read as a picture, or is cut short; remove it from the data folder.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _is_whole(path: Path) -> bool:
    """Whether a JPEG has all its pixels: what is missing OpenCV fills with grey, without an error."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return True
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def read_grey(path: Path) -> np.ndarray:
    """uint8 HxW by OpenCV's luma weights (colour first, then BGR2GRAY), as all tables here use it."""
    return cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2GRAY)


def read_photos(paths: Sequence[Path], planes: int) -> Iterator[np.ndarray]:
    """Each as ``read_grey`` (1 plane) or ``read_rgb`` (3), no larger than ``LARGEST``. A ``DataError`` at the end names all bad ones."""
    bad = []
    for path in paths:
        try:
            photo = read_grey(path) if planes == 1 else read_rgb(path)
        except DataError as error:
            bad.append(str(error))
            continue
        scale = LARGEST / min(photo.shape[:2])
        if scale < 1:
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield photo
    if bad:
        raise DataError("\n".join(bad))


def evenly(items: Sequence[Item], count: int) -> Sequence[Item]:
    """So many of them, evenly chosen, from the first on; all where there are fewer."""
    return [items[i * len(items) // count] for i in range(count)] if count < len(items) else items


def augment(region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight flips and quarter turns."""
    region = np.rot90(region, int(rng.integers(4)))
    return np.ascontiguousarray(region[:, ::-1] if rng.random() < 0.5 else region)


class Pairs(Dataset):
    """Item ``step`` is the whole batch of that training step: (inputs, targets), each (batch, planes, crop, crop) float32 in [0, 1].

    A batch depends on ``seed`` and ``step`` only, so a resumed run sees what it would have seen, and any number of
    loader processes gives the same data. Photographs are decoded once and kept (grey: about 0.15 MB each at 480x320).
    A photograph is degraded on ``margin`` px more than the crop, which is then cut at random: neither error-diffusion
    start-up nor one phase of a screen dominates. With ``halftoning`` the inputs are the photographs, and the targets halftones.
    """

    def __init__(
        self,
        folder: Path,
        families: Sequence[Degradation],
        crop: int,
        batch: int,
        steps: int,
        seed: int = 0,
        planes: int = 1,
        margin: int = 32,
        halftoning: bool = False,
    ):
        self.size = crop + margin
        photos = list(read_photos(photo_paths(folder), planes))
        self.photos = [photo for photo in photos if min(photo.shape[:2]) >= self.size]
        if not self.photos:
            raise DataError(f"No photograph in {folder} is at least {self.size}x{self.size} px, which crops of {crop} px need.")
        if small := len(photos) - len(self.photos):
            print(f"{len(self.photos)} of {len(photos)} photographs are used: {small} are smaller than {self.size} px, crop and margin.")
        self.families, self.crop, self.batch, self.steps, self.seed = tuple(families), crop, batch, steps, seed
        self.halftoning = halftoning

    @classmethod
    def of(cls, folder: Path, drawn: DataConfig, steps: int, planes: int = 1) -> Pairs:
        """Those of a recipe's ``[data]``."""
        return cls(folder, drawn.families, drawn.crop, drawn.batch, steps, drawn.seed, planes, drawn.margin, drawn.halftoning)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        cv2.setNumThreads(0)  # the network has the cores
        rng = np.random.default_rng((self.seed, step))
        inputs, targets = zip(*(self._pair(rng) for _ in range(self.batch)))
        return as_tensor(np.stack(inputs)), as_tensor(np.stack(targets))

    def _pair(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        photo = self.photos[rng.integers(len(self.photos))]
        top, left = (rng.integers(extent - self.size + 1) for extent in photo.shape[:2])
        region = augment(photo[top : top + self.size, left : left + self.size], rng)
        top, left = rng.integers(self.size - self.crop + 1, size=2)
        inside = np.s_[top : top + self.crop, left : left + self.crop]
        degraded, target = degrade(region, self.families, rng)
        if self.halftoning:  # made halftones shall have no direction, so they are turned, too
            photo_and_halftone = augment(np.dstack([target[inside], degraded[inside]]), rng)
            return photo_and_halftone[..., 0], photo_and_halftone[..., 1]
        return degraded[inside], target[inside]


def as_tensor(pictures: np.ndarray) -> Tensor:
    """float32 NxHxW or NxHxWx3 -> (N, 1 or 3, H, W)."""
    return torch.from_numpy(pictures)[:, None] if pictures.ndim == 3 else torch.from_numpy(pictures).permute(0, 3, 1, 2)


def as_pictures(tensor: Tensor) -> np.ndarray:
    """(N, 1 or 3, H, W) in [0, 1], of any precision, on any device -> uint8 NxHxW or NxHxWx3."""
    return from_unit(tensor.float().permute(0, 2, 3, 1).squeeze(-1).cpu().numpy(), np.uint8)
