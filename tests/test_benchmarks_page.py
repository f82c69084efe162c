"""docs/benchmarks.md against what was measured into docs/evaluations/benchmarks, and against what the project wants of CPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.benchmark_page import page

DOCS = Path(__file__).parents[1] / "docs"
BOOKS = sorted((DOCS / "evaluations" / "benchmarks").glob("*.json"))
"""One of each machine."""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def books() -> list[dict[str, Any]]:
    if not BOOKS:
        pytest.skip("nothing was measured yet: python -m export.benchmark -o docs")
    return [read(path) for path in BOOKS]


def test_the_page_shows_what_was_measured(books: list[dict[str, Any]]) -> None:
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page(books)
    assert (DOCS / "images" / "benchmarks.png").is_file()


def seconds_of_fast(path: Path) -> list[tuple[float, float]]:
    """onnxruntime in fp32, and the better of OpenVINO in bf16 and int8, at one megapixel, end to end; of each number of threads."""
    seconds = {
        (row["threads"], row["runtime"], row["precision"]): row["end_to_end"]["p50_s"]
        for row in read(path)["rows"]
        if (row["model"], row["device"], row["size"], row["batch"]) == ("fast", "cpu", 1024, 1)
    }
    found = []
    for threads in sorted({threads for threads, _, _ in seconds}):
        lower = [seconds[key] for precision in ("bf16", "int8") if (key := (threads, "openvino", precision)) in seconds]
        if lower and (threads, "onnxruntime", "fp32") in seconds:
            found.append((seconds[threads, "onnxruntime", "fp32"], min(lower)))
    return found


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_openvino_is_at_least_17_times_as_fast_as_onnxruntime(path: Path) -> None:
    """``fast`` in bf16 or int8, on each machine by itself."""
    pairs = seconds_of_fast(path)
    if not pairs:
        pytest.skip("this machine's book has no rows of fast at 1024x1024 on both onnxruntime in fp32 and OpenVINO in bf16 or int8")
    for onnxruntime, openvino in pairs:
        assert onnxruntime >= 1.7 * openvino


def test_some_machine_shows_how_fast_openvino_is(books: list[dict[str, Any]]) -> None:
    """Else the test above would skip all of them, or none would be there, and nobody would see it."""
    assert any(map(seconds_of_fast, BOOKS))
