"""Latency on this machine: ``python -m export.benchmark --models fast scan --sizes 1024``.

End to end from a decoded grey array to a decoded grey array (analysis and tiling included) on every CPU backend, against the
full PRL network (random weights, which cost the same) in torch eager and in onnxruntime. Writes JSON and prints a
Markdown table; what could not run is named with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import torch

import sdk
from export.to_onnx import kflop_per_pixel, size_multiple, trace
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.errors import DeviceError, MissingDependencyError
from training.errors import said_plainly
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


RUNS = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
"""(backend, precision) that our models are measured on."""


def open_restorers(models: list[str], threads: int) -> dict[tuple[str, str], sdk.InverseHalftoner]:
    """(model, what it runs on) -> restorer; what this machine cannot run is printed and left out."""
    restorers = {}
    for model, (backend, precision) in product(models, RUNS):
        try:
            restorer = sdk.InverseHalftoner(model, device="cpu", threads=threads, backend=backend, precision=precision)
        except (DeviceError, MissingDependencyError) as error:
            print(f"left out: {model} on {backend} in {precision}: {error}")
            continue
        restorers[restorer.metadata.name, f"sdk, {backend} {precision}"] = restorer
    return restorers


def benchmark(models: list[str], sizes: list[int], repeats: int, threads: int) -> list[dict]:
    """One row a runner and size; seconds a picture, GFLOP/s."""
    torch.set_num_threads(threads)
    prl = build("prl").eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prl.onnx"
        path.write_bytes(trace(prl, size_multiple(prl)).SerializeToString())
        prl_onnx = OnnxRuntimeBackend(path.read_bytes(), "cpu", threads)
    restorers = open_restorers(models, threads)
    work_of = {"PRL": kflop_per_pixel(prl)} | {name: restorer.metadata.kflop_per_pixel for (name, _), restorer in restorers.items()}

    rows = []
    for size in sizes:
        halftone = (np.random.default_rng(0).random((size, size)) > 0.5).astype(np.uint8) * 255
        batch = halftone[None, None].astype(np.float32) / 255

        @torch.inference_mode()
        def torch_eager(batch: np.ndarray = batch) -> object:
            return prl(torch.from_numpy(batch))

        runners: dict[tuple[str, str], Callable[[], object]] = {key: partial(r.run, halftone) for key, r in restorers.items()}
        runners["PRL", "onnxruntime fp32"] = lambda batch=batch: prl_onnx.run(batch)
        runners["PRL", "torch eager fp32"] = torch_eager
        for (name, runner), work in runners.items():
            median, p95 = median_seconds(work, repeats)
            gflops = work_of[name] * size**2 / 1e6 / median
            rows.append({"model": name, "runner": runner, "size": size, "p50_s": median, "p95_s": p95, "gflop_per_s": gflops})
            print(f"{name:>8} {runner:<24} {size}x{size}: {median:.3f} s", flush=True)
    return rows


def markdown(rows: list[dict]) -> str:
    """The rows, each with how many times the time of the first of its size it takes."""
    ours: dict[int, float] = {}
    for row in rows:
        ours.setdefault(row["size"], row["p50_s"])
    first = f"{rows[0]['model']}, {rows[0]['runner'].removeprefix('sdk, ')}"
    lines = [f"| model | runs on | size | p50, s | p95, s | GFLOP/s | times the time of {first} |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = row["p50_s"] / ours[row["size"]]
        lines.append(
            f"| {row['model']} | {row['runner']} | {row['size']}x{row['size']} | {row['p50_s']:.3f} | {row['p95_s']:.3f} "
            f"| {row['gflop_per_s']:.0f} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> str:
    runtimes = [name for name in ("onnxruntime", "openvino") if find_spec(name)]
    return (
        f"{platform.machine()}, {threads} threads, torch {torch.__version__}, {', '.join(f'{name} {version(name)}' for name in runtimes)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["fast", "scan"], help="released models' names, or .onnx files; ratios are to the first"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024], help="sides of the square test pictures, px")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path, help="write the rows as JSON here")
    options = parser.parse_args()
    rows = benchmark(options.models, options.sizes, options.repeats, options.threads)
    print(f"\n{machine(options.threads)}\n\n{markdown(rows)}")
    if options.output:
        options.output.write_text(json.dumps({"machine": machine(options.threads), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    with said_plainly():
        main()
