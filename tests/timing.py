"""How long one thing takes beside another, on machines that do other work meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_ratio(first: Callable[[], object], second: Callable[[], object], pairs: int = 5) -> float:
    """How many times as long ``first`` takes as ``second``. They take turns, after one turn that is not timed, so that what slows the
    machine down for a while slows both."""
    first()
    second()
    return median(seconds(first) / seconds(second) for _ in range(pairs))
