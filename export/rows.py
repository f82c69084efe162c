"""What a row of ``export.benchmark`` means: its title, and the figures that follow from those it holds."""

from __future__ import annotations

from typing import Any


def runner(row: dict[str, Any]) -> str:
    return f"{row['runtime']}, {row['device']} {row['precision']}"


def pictures(row: dict[str, Any]) -> str:
    return f"{'' if row['batch'] == 1 else str(row['batch']) + ' x '}{row['size']}x{row['size']}"


def megapixels(row: dict[str, Any]) -> float:
    return row["batch"] * row["size"] ** 2 / 1e6


def intensity(row: dict[str, Any]) -> float:
    """Floating-point operations a byte moved."""
    return row["gflop"] * 1e3 / row["mb"]


def gflop_per_s(row: dict[str, Any]) -> float | None:
    """Of the network alone."""
    return row["gflop"] / row["network"]["p50_s"] if row["network"] and row["gflop"] else None


def ceiling_of(row: dict[str, Any], ceilings: dict[str, Any]) -> float | None:
    """GFLOP/s of a matrix product on that device in that precision, where it was measured."""
    where = f"cpu, {row['threads']} threads" if row["device"] == "cpu" else row["device"]
    return ceilings.get(where, {}).get(row["precision"], {}).get("gflop_per_s")
