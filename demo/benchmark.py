"""The tab "Benchmark": how long the models take on this machine."""

from __future__ import annotations

import os
import platform
import statistics
import time

import gradio as gr
import numpy as np
import pandas as pd

import sdk
from demo import models
from demo.fields import SAMPLES
from sdk.files import read

SIZES = (256, 512, 1024)
REPEATS = 3


def benchmark(progress: gr.Progress = gr.Progress()) -> tuple[str, pd.DataFrame]:
    """Median time of each model from array to array, at a few sizes, after one run to warm up; as Markdown and for the chart."""
    rows = []
    steps = [(name, size) for name in sdk.releases() for size in SIZES]
    for i, (name, size) in enumerate(steps):
        progress((i, len(steps)), desc=f"{name}, {size} x {size} px", unit="sizes")
        runner = models.runner(name)
        picture = _picture(name, size)
        runner.run(picture)
        rows.append((name, f"{size} x {size}", statistics.median(_seconds(runner, picture) for _ in range(REPEATS))))
    chart = pd.DataFrame([(f"{name}, {size}", seconds) for name, size, seconds in rows], columns=["picture", "seconds"])
    return _as_markdown(rows), chart


def _as_markdown(rows: list[tuple[str, str, float]]) -> str:
    lines = ["| model | size, px | time, s | runs on |", "|---|---|---|---|"]
    return "\n".join(
        lines + [f"| {name} | {size} | {seconds:.3f} | {models.backend(models.runner(name))} |" for name, size, seconds in rows]
    )


def _picture(name: str, size: int) -> np.ndarray:
    """What the model is for, size x size px: dots, few bits, or a photograph."""
    if name in models.halftoners():
        pixels = read(SAMPLES / "kodim23_grey.png").pages[0].pixels
    elif name in models.expanders():
        pixels = sdk.Halftoner("bit-depth", bits=3).run(SAMPLES / "kodim23_grey.png")
    else:
        pixels = read(SAMPLES / "kodim23_floyd-steinberg.png").pages[0].pixels
    return np.tile(pixels, (-(-size // pixels.shape[0]), -(-size // pixels.shape[1])))[:size, :size]


def _seconds(runner: sdk.InverseHalftoner | sdk.BitDepthExpander | sdk.Halftoner, picture: np.ndarray) -> float:
    started = time.perf_counter()
    runner.run(picture)
    return time.perf_counter() - started


def tab() -> None:
    gr.Markdown(
        f"Median of {REPEATS} runs from array to array, on this server: {platform.machine()}, {os.cpu_count()} CPU cores. "
        "Takes some minutes on two idle cores; other visitors wait meanwhile."
    )
    button = gr.Button("Measure", variant="primary")
    table = gr.Markdown("The times appear here, as a table and as a chart.", label="Times", min_height=100)
    chart = gr.BarPlot(
        x="picture",
        y="seconds",
        x_title="model, size of the picture in px",
        sort=[f"{name}, {size} x {size}" for name in sdk.releases() for size in SIZES],
        y_lim=[0, None],
        label="Seconds a picture, less is better",
    )
    button.click(benchmark, None, [table, chart], api_visibility="private", show_progress_on=table, **models.ONE_SLOT)
