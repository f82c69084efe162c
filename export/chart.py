"""The chart of ``export.benchmark``: for each machine, speed end to end, and the roofline of its networks."""

from __future__ import annotations

from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from export.rows import gflop_per_s, intensity, megapixels, pictures, runner
from sdk.errors import MissingDependencyError
from sdk.files.whole_files import write_whole

MARKERS = "osD^vP*X"


def draw(books: list[dict[str, Any]], target: Path) -> None:
    """One row of two charts a machine, as a PNG; machines without rows are left out."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("The chart needs matplotlib: pip install 'inverse-halftoner[export]'.") from error
    books = [book for book in books if book["rows"]]
    runners = list(dict.fromkeys(runner(row) for book in books for row in book["rows"]))
    figure = Figure(figsize=(13, 5.5 * max(1, len(books))), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    from matplotlib import colormaps

    colours = dict(zip(runners, cycle(colormaps["tab20"].colors)))  # type: ignore[attr-defined]
    axes = figure.subplots(max(1, len(books)), 2, squeeze=False)
    for book, (bars, roof) in zip(books, axes):
        _speed(bars, book, colours)
        _roofline(roof, book, colours)
    picture = BytesIO()
    figure.savefig(picture, dpi=90, format="png")
    write_whole(target, picture.getvalue())


def _speed(axes: Any, book: dict[str, Any], colours: dict[str, Any]) -> None:
    """Megapixels a second of the largest pictures, one at a time where that was measured."""
    rows = [row for row in book["rows"] if row["end_to_end"]]
    if not rows:
        return axes.set_axis_off()
    size = max(row["size"] for row in rows)
    batch = min(row["batch"] for row in rows if row["size"] == size)
    rows = [row for row in rows if (row["size"], row["batch"]) == (size, batch)][::-1]
    places = np.arange(len(rows))
    speeds = [megapixels(row) / row["end_to_end"]["p50_s"] for row in rows]
    axes.barh(places, speeds, color=[colours[runner(row)] for row in rows])
    axes.bar_label(axes.containers[0], [f" {speed:.2f}" for speed in speeds], fontsize=8)
    axes.set_yticks(places, [f"{row['model']}: {runner(row)}" for row in rows], fontsize=8)
    axes.set_xlabel(f"Mpx/s, end to end, {pictures(rows[0])} px")
    axes.set_xmargin(0.12)
    axes.set_title(book["machine"], fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _roofline(axes: Any, book: dict[str, Any], colours: dict[str, Any]) -> None:
    """GFLOP/s over FLOP a byte, both logarithmic; the roofs are the measured matrix products and the measured memory."""
    rows = [row for row in book["rows"] if gflop_per_s(row)]
    if not rows:
        return axes.set_axis_off()
    models = dict(zip(dict.fromkeys(row["model"] for row in rows), cycle(MARKERS)))
    intensities = [intensity(row) for row in rows]
    for row, flop_per_byte in zip(rows, intensities):
        axes.plot(
            flop_per_byte,
            gflop_per_s(row),
            models[row["model"]],
            color=colours[runner(row)],
            markersize=7,
            markeredgecolor="black",
            markeredgewidth=0.4,
        )
    x = np.geomspace(min([1.0, *intensities]), 2 * max(intensities), 200)
    for where, found in book["ceilings"].items():
        memory = found.get("memory", {}).get("gb_per_s", np.inf)
        for precision, figures in found.items():
            if top := figures.get("gflop_per_s"):
                axes.plot(x, np.minimum(top, x * memory), color="0.55", linewidth=1)
                axes.annotate(f"{where.split(',')[0]} {precision} matmul", (x[-1], top), ha="right", va="bottom", fontsize=7, color="0.3")
    axes.set(xscale="log", yscale="log", xlabel="FLOP a byte moved (estimate)", ylabel="GFLOP/s, network only")
    for name, marker in models.items():
        axes.plot([], [], marker, color="0.4", label=name)
    for title in dict.fromkeys(runner(row) for row in rows):
        axes.plot([], [], "s", color=colours[title], label=title)
    axes.legend(fontsize=7, loc="upper left")
    axes.grid(which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
