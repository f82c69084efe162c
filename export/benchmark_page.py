"""The page of ``export.benchmark``: benchmarks.md with the tables of every machine measured so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from export.chart import draw
from export.rows import ceiling_of, gflop_per_s, intensity, megapixels, pictures, runner
from sdk.files.whole_files import write_whole

BUSY = 0.05
"""Share of the cores that other programs used, from which on a row is marked."""
GPU_COMMAND = "python -m export.benchmark --models fast scan prl --sizes 512 1024 2048 --batches 1 4 --repeats 20 -o docs"
NOTE = """*End to end* is from a decoded array to a decoded array, tiles, blending and rounding included; *network* is one call with input
and output where the runtime has them (in GPU memory on GPUs). p50 and p95 of wall time, of as many calls as each table says, after one
that does not count (three on GPUs). A row is of the model's file at that time; training a network on does not change its speed. *Peak*
is the most memory that the whole process held, the runtime's own libraries included; on GPUs also the GPU memory in use after
it. *GFLOP* counts multiply and add as two, over the pixels of the picture; few-step samplers count all their evaluations of the
network. *MB moved* is an estimate: every weight read once, every convolution's input and output moved once in the precision's
element size, all between them fused. The *ceiling* is the best plain matrix product that was measured in that precision;
convolutions by Winograd's method need fewer operations than are counted here, and may pass it, as may kernels that know a processor better
than torch's product does. Rows with * were measured while other programs took more than 5 % of the cores: they are slower than the machine.
"""
HEAD = (
    "model",
    "runs on",
    "pictures, px",
    "end to end p50, ms",
    "p95, ms",
    "Mpx/s",
    "times the speed of the first",
    "network p50, ms",
    "p95, ms",
    "peak, MiB",
    "GFLOP",
    "MB moved",
    "FLOP/byte",
    "GFLOP/s",
    "of the matmul ceiling, network / end to end",
)


def write_page(output: Path) -> str:
    """Renew <output>/benchmarks.md and its chart from the files in <output>/evaluations/benchmarks; gives the page."""
    files = sorted((output / "evaluations" / "benchmarks").glob("*.json"))
    books = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    text = page(books)
    draw(books, output / "images" / "benchmarks.png")
    write_whole(output / "benchmarks.md", text.encode())
    return text


def page(books: list[dict[str, Any]]) -> str:
    parts = [
        "# Benchmarks\n",
        "Made by `python -m export.benchmark -o docs`, which goes on where it stopped and measures only what is missing.\n\n"
        "![Speed of every runtime, and rooflines.](images/benchmarks.png)\n",
        NOTE,
    ]
    parts += [part for book in books for part in _machine(book)]
    if not any(row["device"] == "cuda" for book in books for row in book["rows"]):
        parts.append(f"## GPUs\n\nNone measured yet. On a machine with one:\n\n```\n{GPU_COMMAND}\n```\n")
    return "\n".join(parts)


def _machine(book: dict[str, Any]) -> list[str]:
    parts = [f"## {book['machine']}\n"]
    for where, found in book["ceilings"].items():
        products = [f"{precision} {figures['gflop_per_s']:,.0f}" for precision, figures in found.items() if "gflop_per_s" in figures]
        memory = f"; memory {found['memory']['gb_per_s']:.0f} GB/s" if "memory" in found else ""
        parts.append(f"Ceilings of {where}, GFLOP/s of a matrix product: {', '.join(products) or 'not measured'}{memory}.\n")
    rows = sorted(book["rows"], key=lambda row: (row["size"], row["batch"], -row["threads"]))  # stable: models and runners stay in order
    versions = sorted({f"{row['runtime']} {row['version']}" for row in rows})
    if versions:
        threads = sorted({row["threads"] for row in rows})
        calls = sorted({part["repeats"] for row in rows for part in (row["end_to_end"], row["network"]) if part})
        times = f"{calls[0]} to {calls[-1]} calls" if len(calls) > 1 else f"{calls[0]} calls"
        parts.append(f"{', '.join(versions)}; {' and '.join(map(str, threads))} threads; {times} each.\n")
        firsts: dict[tuple[int, ...], dict[str, Any]] = {}
        for row in rows:
            if row["end_to_end"]:
                firsts.setdefault(_compared(row), row)
        lines = [_line(row, firsts.get(_compared(row)), book["ceilings"], len(threads) > 1) for row in rows]
        parts.append("\n".join([f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *lines]) + "\n")
    by_reason: dict[str, list[str]] = {}
    for model, reason in book["left_out"].items():
        by_reason.setdefault(reason, []).append(f"{Path(model).name} on any")
    if book["skipped"] or by_reason:
        for row in book["skipped"]:
            title = f"{row['model']} on {runner(row)}, {pictures(row)}"
            by_reason.setdefault(row["reason"], []).append(title)
        listed = [
            f"- {'; '.join(titles[:2])}{f' and {len(titles) - 2} more' if len(titles) > 2 else ''}: {_one_line(reason)}"
            for reason, titles in by_reason.items()
        ]
        parts.append("Not measured:\n\n" + "\n".join(listed) + "\n")
    return parts


def _compared(row: dict[str, Any]) -> tuple[int, ...]:
    """Rows alike in this have their speeds compared."""
    return row["size"], row["batch"], row["threads"]


def _line(row: dict[str, Any], first: dict[str, Any] | None, ceilings: dict[str, Any], name_threads: bool) -> str:
    whole, network = row["end_to_end"], row["network"]
    runs_on = runner(row) + (f", {row['threads']} threads" if name_threads else "")
    cells = [row["model"], runs_on + ("*" if row["other_work"] > BUSY else ""), pictures(row)]
    if whole:
        speed = f"{first['end_to_end']['p50_s'] / whole['p50_s']:.2f}" if first else ""
        cells += [f"{whole['p50_s'] * 1e3:.1f}", f"{whole['p95_s'] * 1e3:.1f}", f"{megapixels(row) / whole['p50_s']:.2f}", speed]
    else:
        cells += [""] * 4
    cells += [f"{network['p50_s'] * 1e3:.1f}", f"{network['p95_s'] * 1e3:.1f}"] if network else ["", ""]
    gpu = f" + {row['gpu_mib']:.0f} on the GPU" if row.get("gpu_mib") else ""
    cells += [
        f"{row['peak_mib']:.0f}{gpu}" if row["peak_mib"] else gpu,
        f"{row['gflop']:,.0f}",
        f"{row['mb']:,.0f}",
        f"{intensity(row):.0f}",
    ]
    reached = gflop_per_s(row)
    ceiling = ceiling_of(row, ceilings)
    shares = [row["gflop"] / part["p50_s"] / ceiling for part in (network, whole) if part] if ceiling and row["gflop"] else []
    cells += [f"{reached:,.0f}" if reached else "", " / ".join(f"{share:.0%}" for share in shares)]
    return f"| {' | '.join(cells)} |"


def _one_line(text: str) -> str:
    return " ".join(text.split())
