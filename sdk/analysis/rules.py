"""Rules of tables, forms and squared paper: they stand on a lattice, as the dots of a screen do, but are no dots."""

from __future__ import annotations

import cv2
import numpy as np

LENGTH = 96
"""px; a dark line along an axis of at least so many is a rule. Dots of coarse screens that touch make shorter ones."""
THICK = 7
"""px; from here on it is a bar, or the ground of a picture."""
CROWD, CROWDED = 49, 0.3
"""px, share: where rules cover more of such a square, they are dots that touch. Crossing rules of 6 px cover a quarter of it."""
FAINTEST = 16
"""Levels (of 255) below what is around it; less is the step of a gradient."""


def without_rules(plane: np.ndarray) -> np.ndarray:
    """uint8 HxW with its rules as light as what is around them."""
    ink = 255 - plane
    lines = np.maximum(_opened(ink, 1, LENGTH), _opened(ink, LENGTH, 1))
    rules = cv2.subtract(lines, _opened(ink, THICK, THICK))  # never below 0
    rules = cv2.threshold(rules, FAINTEST, 0, cv2.THRESH_TOZERO)[1]
    covered = cv2.boxFilter((rules > 0).astype(np.uint8) * np.uint8(255), -1, (CROWD, CROWD))
    return cv2.add(plane, cv2.copyTo(rules, (covered < round(255 * CROWDED)).astype(np.uint8)))


def _opened(ink: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Without what is lower or narrower than this."""
    if ink.shape[0] < rows or ink.shape[1] < columns:
        return np.zeros_like(ink)
    return cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((rows, columns), np.uint8))
