"""Pictures for the browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sdk import files
from sdk.images import from_unit, picture_to_pil, to_unit


def previews(before: Path, after: Path, folder: Path) -> tuple[str, str]:
    """8-bit PNGs of the first pages of two files, both in the size of ``after``: what the slider shows, without loss."""
    restored = _preview(after)
    original = _preview(before)
    if original.size != restored.size:
        original = original.resize(restored.size, Image.Resampling.BOX)
    paths = folder / "before.png", folder / "after.png"
    for picture, path in zip((original, restored), paths):
        picture.save(path, compress_level=1)
    return str(paths[0]), str(paths[1])


def _preview(path: Path) -> Image.Image:
    page = files.read(path, first_page_only=True).pages[0]
    return picture_to_pil(page.with_pixels(from_unit(to_unit(page.pixels), np.uint8)))


def first_page(path: Path) -> np.ndarray:
    """float32 HxW or HxWx3, 0..255."""
    return to_unit(files.read(path, first_page_only=True).pages[0].pixels) * np.float32(255)
