"""``InverseHalftoner("auto")``: look at a picture, then restore it by the released model made for its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from sdk.analysis import Analysis, analyze_pixels
from sdk.analysis.plain_dots import is_of_two_colours
from sdk.catalog import metadata_of, releases
from sdk.images import cut_at, is_grey, widened
from sdk.input_warnings import NoHalftoneWarning, warn
from sdk.metadata import ModelMetadata
from sdk.networks.bit_depth import BitDepthNetwork
from sdk.networks.few_bits import is_few_bit
from sdk.networks.halftone import HalftoneNetwork
from sdk.networks.network import check_tiles
from sdk.networks.noise import check_seed
from sdk.networks.unfit_dots import is_near_two_levels

COARSE = 9
"""px; the largest cells of clustered dots that 1-bit networks restore as well as one for print."""


@dataclass(frozen=True)
class Choice:
    """What ``auto`` saw in a picture, and the model it took: None where it left the picture alone."""

    analysis: Analysis
    model: str | None

    def __str__(self) -> str:
        return f"{self.analysis}: {f'model {self.model!r}' if self.model else 'left unchanged'}"


def model_for(kind: str, colour: bool = False) -> str | None:
    """The first released model that restores pictures of this kind (``Analysis.kind``); of colour, the first for all channels at once."""
    able = [release for release in releases().values() if kind in release.kinds]
    joint = [release for release in able if colour and release.input_color == "rgb"]
    return next((release.name for release in joint or able), None)


class AutoNetwork:
    """Stands in for a ``HalftoneNetwork``; the models are loaded when first needed. ``choice`` is that of the latest picture."""

    metadata = ModelMetadata(
        name="auto",
        task="inverse-halftoning",
        title="auto: the released model for what a picture is",
        paper="",
        licence="see `inverse-halftoner models`",
        training_data="see each model",
    )

    def __init__(self, on_choice: Callable[[Choice], None] | None = None, threshold: float | None = None, **options: Any):
        self._options, self._threshold, self._on_choice, self._lock = options, threshold, on_choice, Lock()
        self._networks: dict[str, HalftoneNetwork | BitDepthNetwork] = {}
        self.choice: Choice | None = None
        # Options that do not fit are refused now, not at the first picture: tiles for each model, the runtime's by loading one.
        for name in self._models():
            check_tiles(metadata_of(name), options.get("tile"), options.get("overlap"))
        self._load(next(iter(releases())))

    def describe(self) -> dict[str, Any]:
        """What runs, and how, for each model loaded so far."""
        return {"model": "auto", "loaded": [network.describe() for network in list(self._networks.values())]}

    def check_seed(self, seed: int | None) -> None:
        """As ``Network.check_seed``: a seed must count for some of the models that may be chosen."""
        check_seed(seed, "'auto'", seed is not None and any(metadata_of(name).needs_noise for name in self._models()))

    @staticmethod
    def _models() -> set[str]:
        """All that may be chosen."""
        kinds = {kind for release in releases().values() for kind in release.kinds}
        return {name for kind in kinds for colour in (False, True) if (name := model_for(kind, colour))}

    def restore(self, pixels: np.ndarray, seed: int | None = None) -> np.ndarray:
        """As ``HalftoneNetwork.restore``; a picture without a halftone is returned as it is, with a ``NoHalftoneWarning``.

        A picture of few levels, or that no model restores as it is, may be a dither that was blurred: where a threshold was asked for,
        what it leaves is looked at, too; also where the analysis sees dots that the threshold changes.
        """
        analysis = analyze_pixels(pixels)
        cut = pixels if self._threshold is None else cut_at(pixels, self._threshold)
        doubtful = analysis.kind == "few-bit" or model_for(analysis.kind) is None or analysis.smoothed_from
        if self._threshold is not None and doubtful:
            again = analyze_pixels(cut)
            analysis = again if again.is_two_level else analysis
        # Levels may lie on a grid, as the analysis asks, that is of no number of bits: a poster of six greys.
        left_alone = analysis.kind == "few-bit" and not is_few_bit(pixels)
        # A network for all channels at once knows less than one for grey: it is for dots whose method has a name.
        jointly = analysis.method is not None and not is_grey(cut) and not is_of_two_colours(cut)
        enlarged = analysis.enlarged > 1 or analysis.smoothed_from not in (None, pixels.shape[:2])
        # Networks for dots of any method know no large cells of clustered dots; to one for print they are a screen.
        coarse = analysis.kind == "ordered" and analysis.method is None and (analysis.period or 0) > COARSE and not enlarged
        # Dots that were resized are no longer as networks for dots know them, unless their method shows: they are much as in print.
        resized = analysis.kind == "dither" and analysis.method is None and analysis.smoothed_from is None and not is_near_two_levels(cut)
        kind = "screen" if coarse or resized else analysis.kind
        choice = self.choice = Choice(analysis, None if left_alone else model_for(kind, jointly))
        if self._on_choice:
            self._on_choice(choice)
        if choice.model is None:
            warn(
                f"No model restores this picture ({analysis.kind}); it is returned unchanged. "
                "If it is a halftone all the same, name a model: 'fast' for 1-bit dithers, 'scan' for scans of print.",
                NoHalftoneWarning,
            )
            return widened(pixels).copy()
        network = self._load(choice.model)
        return network.restore(pixels, analysis, seed) if isinstance(network, HalftoneNetwork) else network.restore(pixels)

    def _load(self, name: str) -> HalftoneNetwork | BitDepthNetwork:
        with self._lock:
            if name not in self._networks:
                if metadata_of(name).task == BitDepthNetwork.task:
                    self._networks[name] = BitDepthNetwork(name, **self._options)
                else:
                    self._networks[name] = HalftoneNetwork(name, **self._options, threshold=self._threshold)
            return self._networks[name]
