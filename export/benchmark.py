"""Latency on this machine: ``python -m export.benchmark --model fast --sizes 1024``.

End to end from a decoded grey array to a decoded grey array (tiling included), against the full PRL network (random
weights, which cost the same) in torch eager and in onnxruntime. Writes JSON and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import sdk
from export.to_onnx import kflop_per_pixel, size_multiple, trace
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from training.models import build


def median_seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(median, 95th percentile) of the wall time of ``work`` after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times)), float(np.percentile(times, 95))


def benchmark(model: str, sizes: list[int], repeats: int, threads: int) -> list[dict]:
    """One row a runner and size; seconds a picture, GFLOP/s."""
    torch.set_num_threads(threads)
    prl = build("prl").eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prl.onnx"
        path.write_bytes(trace(prl, size_multiple(prl)).SerializeToString())
        prl_onnx = OnnxRuntimeBackend(path.read_bytes(), "cpu", threads)
    restorer = sdk.InverseHalftoner(model, device="cpu", threads=threads)
    work_of = {"PRL": kflop_per_pixel(prl), restorer.metadata.name: restorer.metadata.kflop_per_pixel}

    rows = []
    for size in sizes:
        halftone = (np.random.default_rng(0).random((size, size)) > 0.5).astype(np.uint8) * 255
        batch = halftone[None, None].astype(np.float32) / 255

        @torch.inference_mode()
        def torch_eager(batch: np.ndarray = batch) -> object:
            return prl(torch.from_numpy(batch))

        runners: dict[tuple[str, str], Callable[[], object]] = {
            (restorer.metadata.name, "sdk, onnxruntime fp32"): lambda halftone=halftone: restorer.run(halftone),
            ("PRL", "onnxruntime fp32"): lambda batch=batch: prl_onnx.run(batch),
            ("PRL", "torch eager fp32"): torch_eager,
        }
        for (name, runner), work in runners.items():
            median, p95 = median_seconds(work, repeats)
            gflops = work_of[name] * size**2 / 1e6 / median
            rows.append({"model": name, "runner": runner, "size": size, "p50_s": median, "p95_s": p95, "gflop_per_s": gflops})
            print(f"{name:>8} {runner:<24} {size}x{size}: {median:.3f} s", flush=True)
    return rows


def markdown(rows: list[dict], model: str) -> str:
    """The rows, each with how many times faster ``model`` is."""
    ours = {row["size"]: row["p50_s"] for row in rows if row["model"] == model}
    lines = ["| model | runs on | size | p50, s | p95, s | GFLOP/s | times the time of ours |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = row["p50_s"] / ours[row["size"]]
        lines.append(
            f"| {row['model']} | {row['runner']} | {row['size']}x{row['size']} | {row['p50_s']:.3f} | {row['p95_s']:.3f} "
            f"| {row['gflop_per_s']:.0f} | {ratio:.1f} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> str:
    return f"{platform.machine()}, {threads} threads, torch {torch.__version__}, onnxruntime {version('onnxruntime')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast", help="a released model's name, or an .onnx file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="sides of the square test pictures, px")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path, help="write the rows as JSON here")
    options = parser.parse_args()
    rows = benchmark(options.model, options.sizes, options.repeats, options.threads)
    print(f"\n{machine(options.threads)}\n\n{markdown(rows, rows[0]['model'])}")
    if options.output:
        options.output.write_text(json.dumps({"machine": machine(options.threads), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
