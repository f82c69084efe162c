"""LPIPS(alex): how far apart two pictures look, by onnxruntime; ``lpips_alex.onnx`` is made by ``python -m export.lpips``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

MODEL = Path(__file__).with_name("lpips_alex.onnx")
LICENCE = Path(__file__).with_name("lpips_alex.LICENCE.txt")
LEAST_SIDE = 31
"""px; a smaller picture has no third layer of features."""
MOST_PIXELS = 12_000_000
"""Of more, the features would take more than a gigabyte."""


def lpips(a: np.ndarray, b: np.ndarray) -> float | None:
    """Distance of two pictures of one shape, HxW or HxWx3 of values 0..255: 0 = equal, about 0.7 = another picture.

    None where it is not measured: sides under ``LEAST_SIDE`` or more than ``MOST_PIXELS``.
    """
    height, width = a.shape[:2]
    if min(height, width) < LEAST_SIDE or height * width > MOST_PIXELS:
        return None
    return float(np.asarray(_session().run(None, {"a": _planes(a), "b": _planes(b)})[0]))


@cache
def _session() -> ort.InferenceSession:
    return ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])


def _planes(picture: np.ndarray) -> np.ndarray:
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.moveaxis(rgb, -1, 0)[None], np.float32) / 255
