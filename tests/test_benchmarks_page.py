"""docs/benchmarks.md against what was measured into docs/evaluations/benchmarks, and against what the project wants of CPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.benchmark_page import page

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def books() -> list[dict[str, Any]]:
    files = sorted((DOCS / "evaluations" / "benchmarks").glob("*.json"))
    if not files:
        pytest.skip("nothing was measured yet: python -m export.benchmark -o docs")
    return [json.loads(path.read_text(encoding="utf-8")) for path in files]


def test_the_page_shows_what_was_measured(books: list[dict[str, Any]]) -> None:
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page(books)
    assert (DOCS / "images" / "benchmarks.png").is_file()


def test_openvino_is_at_least_17_times_as_fast_as_onnxruntime(books: list[dict[str, Any]]) -> None:
    """``fast`` at one megapixel, end to end, in bf16 or int8: 1.7 times."""
    seconds = {
        (row["runtime"], row["precision"]): row["end_to_end"]["p50_s"]
        for book in books
        for row in book["rows"]
        if (row["model"], row["device"], row["size"], row["batch"]) == ("fast", "cpu", 1024, 1)
    }
    lower = [time for (runtime, precision), time in seconds.items() if runtime == "openvino" and precision in ("bf16", "int8")]
    assert lower, "no row of openvino in bf16 or int8 at 1024x1024"
    assert seconds["onnxruntime", "fp32"] >= 1.7 * min(lower)
