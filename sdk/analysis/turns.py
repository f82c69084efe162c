"""How the dots of a dither lie: as they were made, or turned and mirrored since, as pages and photographs are.

Error diffusion goes from left to right and down, a matrix has a first row: the habits of methods (``methods``) are those of dots that lie
as they were made, and networks know no others; of turned ones they make much less. So the picture is looked at from all eight
sides. Under the habits of some method it is likeliest from the side from which it was made.
"""

from __future__ import annotations

import numpy as np

from sdk.analysis.methods import count_in_all, likelihood, method_of_counts, planes_of_dots
from sdk.analysis.windows import choose_windows
from sdk.turn import Turn

CLEARER, SURELY = 0.007, 200
"""Bits a pixel, and bits, by which another side must be likelier. Most pictures were never turned, and those of fewer than about 150x150 px
may well look so by chance."""
PART = 256
"""px; side of what is looked at. There may be text beside it."""
NOISE = ("blue-noise", "white-noise")
"""Methods that have no sides."""


TURNS = tuple(Turn(degrees, mirrored) for mirrored in (False, True) for degrees in (0, 90, 180, 270))
"""All sides; the first is as it lies."""
UNMIRRORED = 4
"""So many come first. A serpentine scan is one of the other kind of rows when it is mirrored, which is no other."""


def find_turn(pixels: np.ndarray, threshold: float = 0.5) -> Turn | None:
    """How HxW or HxWx3 of any accepted dtype, cut at ``threshold``, was turned since some method placed its dots; None: not, or
    nobody knows. Of a larger picture, the part with the most dots is looked at."""
    part = pixels if max(pixels.shape[:2]) <= PART else choose_windows(pixels, count=1, extent=PART)[0]
    planes = planes_of_dots(part, threshold)
    counts = [count_in_all(turn.undo(plane) for plane in planes) for turn in TURNS]
    likelihoods = [likelihood(each) for each in counts]
    best = int(np.argmax(likelihoods))
    method = method_of_counts(counts[best])
    if method is None or method in NOISE:
        return None
    if method.endswith("serpentine"):
        best %= UNMIRRORED
    return TURNS[best] if likelihoods[best] - likelihoods[0] > max(CLEARER * counts[best][2:-2].sum(), SURELY) else None
