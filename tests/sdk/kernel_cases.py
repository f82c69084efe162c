"""Pictures, pipelines and options to try on a GPU, and what numpy makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sdk.cuda.pipeline import GpuPipeline
from sdk.images import from_unit, is_grey, picture_from_array, picture_to_array, to_unit
from sdk.tiling import infer_tiled
from tests.sdk.host_gpu import Function, HostEngine, HostGpu


class OnGpu:
    """An array on the fake GPU, as a library with ``__cuda_array_interface__`` hands it out."""

    def __init__(self, array: np.ndarray, **changes: Any):
        self.array = array
        self.shape = array.shape
        given: dict[str, Any] = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, False), "version": 3}
        strides = None if array.flags.c_contiguous else array.strides
        self.__cuda_array_interface__ = {**given, "strides": strides, "stream": None, **changes}


def soft(x: np.ndarray) -> np.ndarray:
    """Something of a network: it looks at neighbours and at borders, and leaves [0, 1]."""
    x = np.concatenate([x[..., 1:, :], x[..., -1:, :]], axis=-2) * np.float32(0.45) + x * np.float32(0.8)
    return x - np.concatenate([x[..., :1], x[..., :-1]], axis=-1) * np.float32(0.11)


def picture_of(shape: tuple[int, ...], dtype: np.typing.DTypeLike, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, 2 if dtype == np.bool_ else np.iinfo(dtype).max + 1, shape).astype(dtype)


@dataclass(frozen=True)
class Case:
    height: int
    width: int
    channels: int | None = None
    dtype: np.typing.DTypeLike = np.uint8
    bits: bool = False
    tile: int = 32
    overlap: int = 8
    multiple: int = 8
    planes: int = 1
    half: tuple[bool, bool] = (False, False)
    batch: int = 3
    fixed: bool = False
    threshold: float | None = None
    unclipped: bool = False
    on_device: bool = False
    condition: float | None = None

    def picture(self, seed: int = 0) -> np.ndarray:
        extents = (self.height, self.width) + (() if self.channels is None else (self.channels,))
        return picture_of(extents, np.bool_ if self.bits else self.dtype, seed)

    def engine(self, gpu: HostGpu, function: Function = soft) -> HostEngine:
        first, second = (np.dtype(np.float16 if half else np.float32) for half in self.half)
        smallest = (self.batch, self.tile, self.tile) if self.fixed else (1, self.multiple, self.multiple)
        return HostEngine(gpu, function, self.planes, (first, second), self.batch, smallest, self.condition is not None)

    def pipeline(self, engine: HostEngine) -> GpuPipeline:
        tiling = {"tile": self.tile, "overlap": self.overlap, "multiple": self.multiple}
        return GpuPipeline(engine, engine.gpu, **tiling, threshold=self.threshold)

    def run(self, pipeline: GpuPipeline, picture: np.ndarray) -> np.ndarray:
        width = {"bits_width": self.width} if self.bits else {}
        given: Any = np.packbits(picture, axis=1) if self.bits else picture
        options: Any = width | {"unclipped": self.unclipped, "condition": self.condition or 0.0}
        return pipeline.run(OnGpu(given), **options).to_host() if self.on_device else pipeline.run(given, **options)


def reference(picture: np.ndarray, case: Case, function: Function = soft) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the SDK does on the CPU, by ``sdk.tiling`` and ``sdk.images``; and the tiles the network is given."""
    seen: list[np.ndarray] = []
    to_engine, from_engine = (np.float16 if half else np.float32 for half in case.half)

    def infer(part: np.ndarray) -> np.ndarray:
        values = to_unit(part)
        if case.threshold is not None:
            values = (values > case.threshold).astype(np.float32)
        values = np.repeat(values, 3, axis=1) if values.shape[1] < case.planes else values
        height, width = values.shape[2:]
        if case.fixed:
            values = np.pad(values, ((0, 0), (0, 0), (0, case.tile - height), (0, case.tile - width)), mode="symmetric")
        if case.condition is not None:
            values = np.concatenate([values, np.full_like(values[:, :1], case.condition)], axis=1)
        given = values.astype(to_engine).astype(np.float32)
        seen.append(given[0])
        made = function(given)[:, : case.planes].astype(from_engine).astype(np.float32)[..., :height, :width]
        return made.mean(axis=1, keepdims=True) if part.shape[1] < case.planes else made

    def restore(pixels: np.ndarray) -> np.ndarray:
        unit = infer_tiled(pixels, infer, case.tile, case.overlap, case.multiple)
        return unit if case.unclipped else from_unit(unit, pixels.dtype)

    if picture.ndim == 3 and picture.shape[2] == 1:
        return restore(picture[..., 0])[..., None], seen
    split = picture_from_array(picture)
    if split.pixels.ndim == 3 and is_grey(split.pixels):
        one = restore(np.ascontiguousarray(split.pixels[..., 0]))
        return picture_to_array(split.with_pixels(np.repeat(one[..., None], 3, axis=-1))), seen
    if case.planes == 3 or split.pixels.ndim == 2:
        return picture_to_array(split.with_pixels(restore(split.pixels))), seen
    planes = [restore(np.ascontiguousarray(split.pixels[..., c])) for c in range(3)]
    return picture_to_array(split.with_pixels(np.stack(planes, axis=-1))), seen


@st.composite
def cases(draw: st.DrawFn) -> Case:
    multiple = draw(st.sampled_from([1, 2, 8]))
    tile = multiple * draw(st.integers(max(2, 16 // multiple), 48 // multiple))
    bits = draw(st.booleans()) and draw(st.booleans())
    return Case(
        height=draw(st.integers(8, 90)),
        width=draw(st.integers(8, 90)),
        channels=None if bits else draw(st.sampled_from([None, 1, 3, 4])),
        dtype=draw(st.sampled_from([np.bool_, np.uint8, np.uint16, np.float32])),
        bits=bits,
        tile=tile,
        overlap=draw(st.integers(0, min(tile // 3, tile - multiple))),
        multiple=multiple,
        planes=draw(st.sampled_from([1, 3])),
        half=(draw(st.booleans()), draw(st.booleans())),
        batch=draw(st.integers(1, 5)),
        fixed=draw(st.booleans()),
        threshold=draw(st.sampled_from([None, None, 0.3, 0.5])),
        unclipped=draw(st.booleans()) and draw(st.booleans()),
        on_device=draw(st.booleans()),
        condition=draw(st.sampled_from([None, None, 0.0, 5 / 256])),
    )
