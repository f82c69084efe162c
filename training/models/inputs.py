"""What a network takes, as its attributes say: for all that feed one without knowing which."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Inputs:
    """What a network is given: the planes of a picture, then those of its conditions, then noise. It says so by attributes of these names
    (``size_multiple`` for ``multiple``, ``halftones`` for ``continuous``), where they are not the defaults."""

    planes: int = 1
    multiple: int = 1
    """Of height and width, px."""
    conditions: tuple[str, ...] = ()
    """As of ``sdk.metadata.ModelMetadata``."""
    needs_noise: bool = False
    continuous: bool = False
    """Photographs, or pictures cut to few bits, not halftones."""

    @classmethod
    def of(cls, model: nn.Module) -> Inputs:
        conditions = tuple(getattr(model, "conditions", ()))
        return cls(
            planes=int(getattr(model, "planes", 1)),
            multiple=int(getattr(model, "size_multiple", 1)),
            conditions=conditions,
            needs_noise=bool(getattr(model, "needs_noise", False)),
            continuous="bits" in conditions or bool(getattr(model, "halftones", False)),
        )

    @property
    def count(self) -> int:
        """Planes in all."""
        return self.planes + len(self.conditions) + self.needs_noise
