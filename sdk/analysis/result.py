"""What ``analyze`` says of a picture."""

from __future__ import annotations

from dataclasses import dataclass

TWO_LEVEL_KINDS = {"dither", "ordered"}
KINDS = ("dither", "ordered", "screen", "palette", "few-bit", "line-art", "continuous")


@dataclass(frozen=True)
class Analysis:
    """What was found in a picture. ``None`` stands for what its kind does not have."""

    kind: str
    """One of ``KINDS``."""
    confidence: float
    """0..1; about 0.5 where it is a close call."""
    period: float | None = None
    """Of the screen or the ordered matrix, px."""
    angle: float | None = None
    """Of the screen, degrees in [0, 90), counter-clockwise from the x axis; of line screens, across the lines, in [0, 180)."""
    lpi: float | None = None
    """Lines an inch, where the resolution is known."""
    bits: int | None = None
    """Bits a channel: 1 for pictures of two levels, 1..6 for few-bit ones."""
    colors: int | None = None
    """Distinct colours of a palette; None where a few levels of each channel make more than 256."""
    method: str | None = None
    """Of 1-bit dithers: the halftoning method, of ``sdk.analysis.methods.LABELS``, where one explains the dots."""
    enlarged: int = 1
    """How often each pixel of a dither is repeated, down and across; the other fields are of it at its own size."""
    smoothed_from: tuple[int, int] | None = None
    """Of a 1-bit dither that was blurred or smoothly enlarged: how many dots it has down and across; the other fields are of these."""
    turned: int = 0
    """Of 1-bit dithers: by how many degrees, counter-clockwise, the dots were turned since they were made: 0, 90, 180, 270."""
    mirrored: bool = False
    """Of 1-bit dithers: whether the dots were mirrored, left to right, before they were turned."""

    @property
    def is_two_level(self) -> bool:
        """Whether it is a 1-bit dither, of any kind."""
        return self.kind in TWO_LEVEL_KINDS

    def __str__(self) -> str:
        since = ", mirrored" * self.mirrored + f", turned by {self.turned} degrees" * (self.turned > 0)
        since += f", each pixel {self.enlarged}x{self.enlarged} times" * (self.enlarged > 1)
        since += ", smoothed from {1}x{0} dots".format(*self.smoothed_from) if self.smoothed_from else ""
        details = {
            "dither": f"1-bit dither ({self.method or 'error diffusion, blue or white noise'})" + since,
            "ordered": "1-bit ordered dither" + (f", {self.period:g} px matrix" if self.period else "") + since,
            "screen": "AM screen" + self._screen(),
            "palette": (f"palette of {self.colors} colours" if self.colors else "few levels a channel, dithered") + since,
            "few-bit": f"{self.bits} bit{'s' if self.bits != 1 else ''} a channel, without dither",
            "line-art": "1-bit text or line art, without halftone",
            "continuous": "continuous tone",
        }
        return f"{details[self.kind]}, confidence {self.confidence:.2f}"

    def _screen(self) -> str:
        if self.period is None or self.angle is None:
            return ""
        resolution = f" ({self.lpi:.0f} lpi at {self.lpi * self.period:.0f} dpi)" if self.lpi else ""
        return f", period {self.period:.2f} px at {round(self.angle) % 180} degrees{resolution}"
