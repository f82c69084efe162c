"""What a model says of itself: stored in the ONNX file's ``metadata_props``, one JSON value a key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from sdk.errors import ModelError, OptionError

SCHEMA_VERSION = 1
LEAST_TILE = 64
"""px"""

TASKS = ("inverse-halftoning", "bit-depth-expansion", "halftoning")


@dataclass(frozen=True)
class ModelMetadata:
    """The facts the SDK runs a model by. Code asks these, never the file name."""

    name: str
    task: str
    title: str
    paper: str
    licence: str
    training_data: str
    """What it was trained on, with the licences."""
    input_color: str = "grey"
    """``grey``: one plane, colour pictures are restored channel by channel; ``rgb``: grey pictures are given thrice."""
    output_color: str = "grey"
    conditions: tuple[str, ...] = ()
    """Planes that follow those of the picture, one value everywhere. ``bits``: the bits a channel it was cut to, / 8. ``method``: k / 256,
    where the k-th of ``methods`` made the dots, or 0 where it is not known."""
    methods: tuple[str, ...] = ()
    """The halftoning methods (``sdk.analysis.methods.LABELS``) that it can be told of, from number 1 on; "" where one was not taught. Of a
    model without that condition: the only ones that it is for; none: any."""
    input_range: tuple[float, float] = (0.0, 1.0)
    size_multiple: int = 1
    """Height and width given to the network are multiples of this; the SDK pads by reflection and crops."""
    tile: int = 1024
    """Default side of a tile, px."""
    halo: int = 0
    """How far, in px, a change of the input visibly reaches; tiles overlap by at least twice this."""
    kinds: tuple[str, ...] = ()
    """The kinds of pictures (``sdk.analyze``) that "auto" gives it. They also say what the SDK does around it: of two-level kinds alone, or
    of none, it expects clean dots; of ``palette``, results are held to what the palette allows."""
    periods: tuple[float, float] | None = None
    """Screen periods it restores, px; the SDK resizes pictures with others. None: it does not look for a screen."""
    needs_noise: bool = False
    """One more plane follows those of the picture and the conditions: standard normal noise, which a diffusion model starts from. It is
    a plane of the one input, since every backend runs models of one input. The SDK draws it from a seed, one field for a whole picture."""
    tone_search: bool = False
    """Of halftoning: the SDK mends the tones by direct binary search. Not for halftones that hide something in their dots."""
    num_inference_steps: int = 1
    """Denoising steps, unrolled in the graph: one call of the network does them all."""
    parameters: int = 0
    kflop_per_pixel: float = 0.0
    """Multiply and add count as two."""
    precision: str = "fp32"
    """What the file computes in; ``export.precision`` makes "fp16" and "int8" of fp32."""
    parity_max_abs_diff: float | None = None
    """Largest difference between torch and onnxruntime seen by ``export.verify``, values in [0, 1]."""
    metrics: dict[str, float] = field(default_factory=dict)
    """``<test set>/<method>/<metric>`` -> value."""
    training: dict[str, Any] = field(default_factory=dict)
    """Steps, seconds, and the recipe's own keys."""
    schema_version: int = SCHEMA_VERSION

    @property
    def input_planes(self) -> int:
        """C of the network's input: the picture's planes, the conditions, the noise."""
        return (3 if self.input_color == "rgb" else 1) + len(self.conditions) + self.needs_noise

    def checked_tile(self, tile: int | None) -> int:
        """px: ``tile``, or the model's own; an ``OptionError`` if it is invalid."""
        asked = self.tile if tile is None else tile
        if not isinstance(asked, Integral) or asked < LEAST_TILE or asked % self.size_multiple:
            raise OptionError(
                f"tile is {asked!r} px; it must be a whole number, at least {LEAST_TILE} and a multiple of {self.size_multiple}."
            )
        return int(asked)

    @property
    def smallest_tile(self) -> int:
        """px; from it on, tiles may overlap as far as no seam needs, by twice the halo: a third of a tile."""
        return -(-6 * self.halo // self.size_multiple) * self.size_multiple

    def to_props(self) -> dict[str, str]:
        """Strings for ``metadata_props``."""
        return {key: json.dumps(value) for key, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_props(cls, props: Mapping[str, str], where: str) -> ModelMetadata:
        """Read them back; ``where`` names the file in the error of a foreign one."""
        if "schema_version" not in props or "task" not in props:
            raise ModelError(
                f"{where} is an ONNX file but not an inverse-halftoner model (its metadata has no schema_version and task). "
                "Use a name from `inverse-halftoner models`, or a file written by `python -m export.to_onnx`."
            )
        try:
            values = {key: json.loads(props[key]) for key in props if key in {f.name for f in dataclasses.fields(cls)}}
            if values["schema_version"] > SCHEMA_VERSION:
                raise ModelError(
                    f"{where} has metadata schema {values['schema_version']}; this version reads up to {SCHEMA_VERSION}. "
                    "Upgrade inverse-halftoner."
                )
            if values["task"] not in TASKS:
                raise ModelError(
                    f"{where} is a model for {values['task']!r}; this version runs {', '.join(TASKS)}. Upgrade inverse-halftoner."
                )
            values["input_range"] = tuple(values["input_range"])
            for key in ("conditions", "methods", "kinds", "periods"):  # files of earlier versions lack them
                if values.get(key) is not None:
                    values[key] = tuple(values[key])
            return cls(**values)
        except ModelError:
            raise
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ModelError(f"{where} has damaged metadata ({error}). Export the model again, or fetch a fresh copy.") from error
