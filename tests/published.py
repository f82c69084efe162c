"""The tables under docs/evaluations, as the tests of quality read them."""

from __future__ import annotations

import json
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
EVALUATIONS = DOCS / "evaluations"
TABLES = {
    "fast": "fast",
    "prl": "prl",
    "scan": "scans/scan",
    "gif": "colour/gif",
    "colour": "colour/colour",
    "companding": "companding/companding",
    "cdh": "halftones/halftones",
    "cdh-4step": "cdh/cdh",
    "cdh-2step": "cdh/cdh",
    "cdh-1step": "cdh/cdh",
}
"""Released model -> the table that its figures stand in."""


def result(name: str) -> dict:
    return json.loads((EVALUATIONS / f"{name}.json").read_text(encoding="utf-8"))


def rows(name: str) -> dict[tuple[str, str, str], dict]:
    """(restorer, kind, set) -> scores."""
    return {(row["restorer"], row["dither"], row["set"]): row for row in result(name)["rows"]}
