"""The restorers of this server, loaded when first asked for; all work goes through one slot, picture after picture."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import sdk
from sdk.catalog import metadata_of, released_for

ONE_SLOT: dict[str, Any] = {"concurrency_id": "device", "concurrency_limit": 1}
"""Options of every event that computes: they share one place in the queue's front."""

SCALES = (1.0, 0.75, 0.5, 0.25)


@lru_cache(maxsize=16)
def restorer(model: str, scale: float) -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner(model, scale=scale)


def expanders() -> tuple[str, ...]:
    """The released models that expand few bits."""
    return released_for("bit-depth-expansion")


@lru_cache(maxsize=2)
def expander(model: str) -> sdk.BitDepthExpander:
    return sdk.BitDepthExpander(model)


def halftoners() -> tuple[str, ...]:
    """The released models that halftone."""
    return released_for("halftoning")


@lru_cache(maxsize=4)
def halftoner(model: str, grey: bool) -> sdk.Halftoner:
    return sdk.Halftoner(model, grey=grey)


def runner(model: str) -> sdk.InverseHalftoner | sdk.BitDepthExpander | sdk.Halftoner:
    """What runs a released model: the same that the other tabs use."""
    task = metadata_of(model).task
    if task == "bit-depth-expansion":
        return expander(model)
    return halftoner(model, False) if task == "halftoning" else restorer(model, 1.0)


@lru_cache
def takes_seed(model: str) -> bool:
    """Whether a model of the menu starts from noise."""
    return model != "auto" and metadata_of(model).needs_noise


@dataclass(frozen=True)
class Restoration:
    """What one file's restoration tells."""

    models: list[str]
    """Used for its pages; none where "auto" found no halftone."""
    seconds: float
    warnings: list[str]
    backend: str

    def __str__(self) -> str:
        if not self.models:
            return f"left unchanged, {self.seconds:.2f} s"
        return f"model `{'`, `'.join(self.models)}`, {self.seconds:.2f} s on {self.backend}"


def restore_file(
    source: Path,
    target: Path,
    model: str,
    scale: float = 1.0,
    on_page: Callable[[int, int], None] | None = None,
    seed: int | None = None,
) -> Restoration:
    """``InverseHalftoner.run_file``, with what it found on the way; raises the SDK's errors."""
    chosen = restorer(model, float(scale))
    models: list[str] = []

    def note(done: int, total: int) -> None:
        name = model if chosen.choice is None else chosen.choice.model
        if name and name not in models:
            models.append(name)
        if on_page:
            on_page(done, total)

    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:  # changes the whole process, but one picture is done at a time
        warnings.simplefilter("always", sdk.InputWarning)
        chosen.run_file(source, target, on_page=note, seed=seed)
    seconds = time.perf_counter() - started
    texts = {str(warning.message) for warning in caught if issubclass(warning.category, sdk.InputWarning)}
    return Restoration(models, seconds, sorted(texts), backend(chosen))


def backend(chosen: sdk.InverseHalftoner | sdk.BitDepthExpander | sdk.Halftoner) -> str:
    """What runs it, in words."""
    facts = chosen.describe()
    facts = facts["loaded"][0] if "loaded" in facts else facts
    return f"{facts['backend']} ({facts['device']}, {facts['precision']})"
