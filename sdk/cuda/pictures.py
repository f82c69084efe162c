"""What the kernels must know of a picture: where its pixels lie, their kind, and what is to come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdk.cuda.dlpack import Borrowed
from sdk.cuda.kernels import BITS, BOOL, KINDS, UINT8, UNCLIPPED
from sdk.errors import OptionError, UnsupportedImageError
from sdk.images import ACCEPTED, check_size


@dataclass(frozen=True)
class Layout:
    """A picture's kind. ``bits_width``: px of a row of packed bits, None where pixels are values."""

    shape: tuple[int, ...]
    """Of the array: (H, W), (H, W, C), or (H, bytes of bits)."""
    kind: int
    bits_width: int | None
    unclipped: bool

    @property
    def height(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        return self.shape[1] if self.bits_width is None else self.bits_width

    @property
    def channels(self) -> int:
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def target_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, *self.shape[2:])

    @property
    def target_dtype(self) -> np.dtype:
        if self.unclipped:
            return np.dtype(np.float32)
        return next(dtype for dtype, kind in KINDS.items() if kind == self._target_kind)

    @property
    def target_bytes(self) -> int:
        return int(np.prod(self.target_shape)) * self.target_dtype.itemsize

    @property
    def _target_kind(self) -> int:
        return UNCLIPPED if self.unclipped else UINT8 if self.kind in (BITS, BOOL) else self.kind

    def describe(self, job: np.void, source: Borrowed) -> None:
        """Fill in a ``JOB``: the source and the kind of the target."""
        job["source"] = source.address
        job["source_row"], job["source_column"], job["source_plane"] = (*source.strides, 0)[:3]
        job["source_kind"], job["target_kind"] = self.kind, self._target_kind
        job["channels"], job["has_alpha"] = self.channels, self.channels == 4
        job["colours"] = min(self.channels, 3)


def layout_of(shape: tuple[int, ...], dtype: np.dtype | None, bits_width: int | None = None, unclipped: bool = False) -> Layout:
    """Check an array's kind. Raises ``UnsupportedImageError`` or ``OptionError``."""
    kind = KINDS.get(dtype) if dtype is not None else None
    if kind is None:
        raise UnsupportedImageError(f"Found an array of dtype {dtype or 'unknown'}. {ACCEPTED}")
    if bits_width is not None:
        if kind != UINT8 or len(shape) != 2:
            raise UnsupportedImageError(f"Found packed bits as {dtype} of shape {shape}; they are uint8 of (height, bytes of a row).")
        if not 0 < bits_width <= 8 * shape[1]:
            raise OptionError(f"bits_width is {bits_width} px; rows of {shape[1]} bytes hold 1..{8 * shape[1]}.")
        kind = BITS
    elif len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise UnsupportedImageError(f"Found an array of shape {shape}. {ACCEPTED}")
    layout = Layout(shape, kind, bits_width, unclipped)
    check_size(layout.height, layout.width)
    return layout
