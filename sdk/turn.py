"""Turning pictures by quarters, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Turn:
    """First mirrored, left to right, or not; then turned counter-clockwise by ``degrees``, a multiple of 90."""

    degrees: int = 0
    mirrored: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """HxW or HxWxC as it lay -> as it lies."""
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if self.mirrored else pixels, self.degrees // 90))

    def undo(self, pixels: np.ndarray) -> np.ndarray:
        """HxW or HxWxC as it lies -> as it lay."""
        back = np.rot90(pixels, -self.degrees // 90)
        return np.ascontiguousarray(back[:, ::-1] if self.mirrored else back)
