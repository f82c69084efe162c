"""Small pictures of every kind, their files, and what tests often ask of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from sdk.headers import Header
from sdk.images import Picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DPI = (300.0, 150.0)
ORIENTATION, MAKE, EXIF_FOLDER, GPS_FOLDER, TAKEN = 0x0112, 0x010F, 0x8769, 0x8825, 0x9003
TURN_CLOCKWISE = 6

GREY = (np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) % 251).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
WHITE = GREY > 120
GREY16 = GREY.astype(np.uint16) * 261 + 7
COLOUR16 = COLOUR.astype(np.uint16) * 261 + 7
RGBA16 = np.dstack([COLOUR16, GREY16])


def flat(grey: int, size: int = 128) -> np.ndarray:
    return np.full((size, size), grey, np.uint8)


def as_dtype(white: np.ndarray, dtype: type) -> np.ndarray:
    return white * np.array(1 if dtype in (np.bool_, np.float32) else np.iinfo(dtype).max, dtype)


def frames(count: int) -> list[np.ndarray]:
    return [np.roll(GREY, 3 * i) for i in range(count)]


def one_page(array: np.ndarray, **header: Any) -> list[Picture]:
    if array.ndim == 3 and array.shape[2] == 4:
        return [Picture(array[..., :3], array[..., 3], header=Header(**header))]
    return [Picture(array, header=Header(**header))]


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def exif_bytes(orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    exif.get_ifd(EXIF_FOLDER)[TAKEN] = "1913:05:29 20:00:00"
    if orientation:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def fail(error: BaseException):
    def failing(*_: Any, **__: Any) -> None:
        raise error

    return failing
