"""Pictures of few bits on a backend: their levels in, all tones out."""

from __future__ import annotations

import numpy as np

from sdk.images import from_unit, to_unit
from sdk.networks.few_bits import cut, find_depth
from sdk.networks.network import Network


class BitDepthNetwork(Network):
    """A model as ``BitDepthExpander`` runs it; the arguments are the same."""

    task = "bit-depth-expansion"
    known_conditions = (("bits",),)

    def restore(self, pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
        """HxW or HxWx3 of any accepted dtype -> the same shape and dtype; bool becomes uint8."""
        depth = find_depth(pixels, bits)

        def run(planes: np.ndarray, channel: int) -> np.ndarray:
            own = depth.channels if planes.ndim == 3 else depth.channels[channel : channel + 1]
            return self._expand(planes, depth.bits, own)

        return self._by_channel(pixels, run)

    def _expand(self, pixels: np.ndarray, bits: int, channels: tuple[int, ...]) -> np.ndarray:
        own_bits = np.array(channels, np.float32)[:, None, None]
        widths = (np.exp2(8 - own_bits) - 1) / 255

        def infer(part: np.ndarray) -> np.ndarray:
            values = to_unit(part)
            expanded = self._run(_floor(values, bits), bits / 8, views=self._views())
            # The network says so itself; but in bf16 it is off by a level or two, and it knows nothing of a sixth bit.
            lowest = _floor(values, own_bits)
            return np.clip(expanded, lowest, lowest + widths)

        return from_unit(self._by_tiles(pixels, infer), pixels.dtype)


def _floor(unit: np.ndarray, bits: int | np.ndarray) -> np.ndarray:
    """The lowest of the 8-bit values that each value of few bits stands for, in [0, 1]: Hou & Qiu 2017, eq. 2."""
    return cut(unit, bits) * np.exp2(8 - bits, dtype=np.float32) / np.float32(255)
