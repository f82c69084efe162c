"""What the benchmark runs a model on, and one measurement: ``python -m export.runners CASE`` (JSON), in a process of its own.

A process for each, since memory at its peak is a process's. ``export.benchmark`` starts them; the answer is the last line of stdout.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np

import sdk
from sdk.backends import Backend, open_backend, open_cached_engine
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.backends.tensorrt import TensorRtBackend
from sdk.catalog import model_bytes, releases
from sdk.engines.build import BuildOptions
from sdk.errors import DeviceError, InferenceError, MissingDependencyError, ModelError
from sdk.metadata import ModelMetadata
from sdk.onnx_file import read_props

LONGEST_S = 60.0
"""No more repeats once those of one measurement took this long, if there are three."""
WARM_UPS = {"cpu": (1, 0.0), "cuda": (3, 0.5)}
"""Calls that do not count, and for how many seconds at least: the first compiles and fills caches; on GPUs the second records CUDA graphs,
the third replays them, and clocks rise with the load."""
MEASURED_S = {"cpu": 0.0, "cuda": 1.0}
"""Repeats go on for so long, at least: of a call of a millisecond a few say little."""


@dataclass(frozen=True)
class Runner:
    """A runtime on a device, in a precision."""

    runtime: str
    device: str
    precision: str
    package: str
    """Whose version decides whether a row is still true."""

    def __str__(self) -> str:
        return f"{self.runtime}, {self.device} {self.precision}"

    @property
    def version(self) -> str | None:
        """None: not installed."""
        for package in (self.package, "onnxruntime-gpu" if self.package == "onnxruntime" else self.package):
            try:
                return version(package)
            except PackageNotFoundError:
                continue
        return None


RUNNERS = (
    Runner("onnxruntime", "cpu", "fp32", "onnxruntime"),  # the first is what the others are compared with
    Runner("onnxruntime", "cpu", "int8", "onnxruntime"),
    Runner("openvino", "cpu", "fp32", "openvino"),
    Runner("openvino", "cpu", "bf16", "openvino"),
    Runner("openvino", "cpu", "int8", "openvino"),
    Runner("torch eager", "cpu", "fp32", "torch"),
    Runner("torch.compile", "cpu", "fp32", "torch"),
    Runner("torch eager", "cuda", "fp16", "torch"),
    Runner("torch.compile", "cuda", "fp16", "torch"),
    Runner("onnxruntime", "cuda", "fp32", "onnxruntime"),
    Runner("onnxruntime", "cuda", "fp16", "onnxruntime"),
    *(Runner(flavour, "cuda", precision, flavour) for flavour in ("tensorrt", "tensorrt-rtx") for precision in ("fp32", "fp16", "int8")),
)
COMPILERS = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
"""That torch.compile looks for."""
OWN_FILES = {"onnxruntime": ("fp16", "int8"), "openvino": ("int8",), "tensorrt": ("int8",), "tensorrt-rtx": ("int8",)}
"""Runtime -> precisions that need an ONNX file of their own, from ``export.precision``; the rest is made of the fp32 file."""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    model: str
    """A released model's name or an .onnx file: what is run."""
    runner: Runner
    size: int
    batch: int
    threads: int
    repeats: int
    planes: int
    """Of the network's input."""


class TorchBackend:
    """The network in torch, for comparison; ``sdk.backends.Backend``."""

    tile = None

    def __init__(self, model: str, runner: Runner, threads: int):
        try:
            import torch
        except ImportError as error:
            raise MissingDependencyError("torch is not installed: pip install 'inverse-halftoner[export]'.") from error
        from training.checkpoints import warm_start
        from training.models import ARCHITECTURES, build
        from training.models.construct import parameters_of

        if runner.device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(f"torch {torch.__version__} sees no CUDA GPU")
        if runner.runtime == "torch.compile" and runner.device == "cpu" and not any(map(shutil.which, COMPILERS)):
            raise MissingDependencyError(f"torch.compile on CPUs needs a C++ compiler ({', '.join(filter(None, COMPILERS))})")
        torch.set_num_threads(threads)
        data, where = model_bytes(model)
        self.metadata = read_props(data, where)
        trained = ModelMetadata.from_props(self.metadata, where).training
        try:
            accepted = parameters_of(ARCHITECTURES[trained["architecture"]])
            network = build(trained["architecture"], **{key: trained[key] for key in accepted if key in trained})
            missing = warm_start(network, releases()[model].path if model in releases() else Path(model))
        except KeyError as error:
            raise ModelError(f"{where} does not say what network of training.models it is ({error})") from error
        if missing:
            raise ModelError(f"{where} does not hold all weights of the network in torch: {', '.join(missing[:3])} ...")
        self.torch, self.name, self.device, self.precision = torch, runner.runtime, runner.device, runner.precision
        self.dtype = {"fp32": torch.float32, "fp16": torch.float16}[runner.precision]
        self.model: Any = network.eval().to(runner.device, self.dtype)
        if runner.runtime == "torch.compile":
            self.model = torch.compile(self.model, dynamic=False)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> (N, C, H, W) float32."""
        return self.on_device(self.put(batch)).float().cpu().numpy()

    def put(self, batch: np.ndarray) -> Any:
        return self.torch.from_numpy(batch).to(self.device, self.dtype)

    def on_device(self, batch: Any) -> Any:
        """Waits for the result, which stays on the device."""
        with self.torch.inference_mode():
            result = self.model(batch)
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return result


def open_case(case: Case) -> Backend:
    """The backend of a case, or why there is none as one of ``sdk.errors``."""
    runner = case.runner
    if runner.package == "torch":
        return cast(Backend, TorchBackend(case.model, runner, case.threads))
    if runner.runtime in ("tensorrt", "tensorrt-rtx"):
        return _open_engine(case)
    precision = None if runner.runtime == "onnxruntime" else runner.precision  # onnxruntime runs a file as it is
    return open_backend(case.model, runner.device, backend=runner.runtime, precision=precision, threads=case.threads)[0]


def _open_engine(case: Case) -> Backend:
    """An engine of the flavour asked for, from the cache or built; the first run of a row may take minutes, which are not counted."""
    data, where = model_bytes(case.model)
    precision = "fp16" if case.runner.precision == "int8" else case.runner.precision  # what is not between Q and DQ
    return open_cached_engine(data, where, BuildOptions(precision=precision, batch=max(4, case.batch), flavour=case.runner.runtime))


def measure(case: Case) -> dict[str, Any]:
    """Latencies end to end (from arrays to arrays, with tiles and all) and of the network alone, and memory at its peak."""
    backend = open_case(case)
    metadata = ModelMetadata.from_props(backend.metadata, case.model)
    own, busy, started = _own_seconds(), _busy_seconds(), time.perf_counter()
    long_enough = {"warm_ups": WARM_UPS[case.runner.device], "for_s": MEASURED_S[case.runner.device]}
    result: dict[str, Any] = {"ran": f"{backend.name} on {backend.device} in {backend.precision}"}
    try:
        result["end_to_end"] = timed(end_to_end_call(backend, metadata, case), case.repeats, **long_enough)
    except ModelError as error:
        result |= {"end_to_end": None, "why_no_end_to_end": str(error)}
    result |= {"peak_mib": peak_mib(), "gpu_mib": gpu_mib(backend)}  # of pictures: the call below would hold a batch of floats, too
    try:
        result["network"] = timed(network_call(backend, case), case.repeats, **long_enough)
    except InferenceError as error:  # larger than an engine's tiles
        result |= {"network": None, "why_no_network": str(error)}
    others = (_busy_seconds() - busy) - (_own_seconds() - own)
    result["other_work"] = round(max(0.0, others / (time.perf_counter() - started) / (os.cpu_count() or 1)), 3)
    return result


def end_to_end_call(backend: Backend, metadata: ModelMetadata, case: Case) -> Callable[[], object]:
    """The pictures of a batch through the SDK; ``ModelError`` for tasks that nothing here runs."""
    rng = np.random.default_rng(0)
    if metadata.task == "inverse-halftoning":
        dots = [(rng.random((case.size, case.size)) > 0.5).astype(np.uint8) * 255 for _ in range(case.batch)]
        restorer = sdk.InverseHalftoner(backend)
        return lambda: restorer.run_batch(dots)
    if metadata.task == "bit-depth-expansion":
        levels = [rng.integers(0, 8, (case.size, case.size, 3), np.uint8) * 32 for _ in range(case.batch)]
        expander = sdk.BitDepthExpander(backend)
        return lambda: expander.run_batch(levels, bits=3)
    raise ModelError(f"the benchmark makes no pictures for {metadata.task}")


def network_call(backend: Backend, case: Case) -> Callable[[], object]:
    """One evaluation of the network; on GPUs input and output lie in GPU memory."""
    batch = np.random.default_rng(0).random((case.batch, case.planes, case.size, case.size)).round().astype(np.float32)
    if isinstance(backend, TorchBackend):
        on_device = backend.put(batch)
        return lambda: backend.on_device(on_device)
    if isinstance(backend, OnnxRuntimeBackend) and case.runner.device == "cuda":
        return backend.on_device(batch)
    if not isinstance(backend, TensorRtBackend):
        return lambda: backend.run(batch)
    driver, shape = backend.driver, backend.shape_for(case.batch, case.size, case.size)
    with driver:
        source, target = (driver.allocate(int(np.prod(shape)) * dtype.itemsize) for dtype in backend.dtypes)
        driver.copy_in(source, np.ascontiguousarray(np.resize(batch, shape).astype(backend.dtypes[0])))
        driver.synchronize()

    def run() -> None:
        with driver:
            backend.enqueue(shape, source.address, target.address)
            driver.synchronize()

    return run


def timed(work: Callable[[], object], repeats: int, warm_ups: tuple[int, float] = (1, 0.0), for_s: float = 0.0) -> dict[str, float]:
    """Seconds of wall time of ``repeats`` calls, or more, for ``for_s``, after calls that do not count (how many, for how long)."""
    calls, began = 0, time.perf_counter()
    while calls < warm_ups[0] or time.perf_counter() - began < warm_ups[1]:
        work()
        calls += 1
    times: list[float] = []
    while (len(times) < repeats or sum(times) < for_s) and not (len(times) >= 3 and sum(times) > LONGEST_S):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times, (50, 95))
    return {"p50_s": float(p50), "p95_s": float(p95), "repeats": len(times)}


def peak_mib() -> float | None:
    """Most memory this process ever held; None where the system (Windows) does not tell.

    (``ru_maxrss`` of a child begins with its parent's, so Linux is asked elsewhere.)
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 2**10
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def gpu_mib(backend: Backend) -> float | None:
    """GPU memory in use now, by all that runs on it; runtimes keep what they took at their peak. None on CPUs."""
    if not backend.device.startswith("cuda"):
        return None
    try:
        from cuda.bindings import runtime  # type: ignore[attr-defined]
    except ImportError:  # PyCUDA, or onnxruntime alone
        return None
    error, free, total = runtime.cudaMemGetInfo()
    return None if int(error) else (total - free) / 2**20


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float:
    """Of all cores and all processes, and what other virtual machines took of them; this process's own where the system does not tell."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return _own_seconds()
    user, nice, system, _, _, irq, soft, steal = (int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def case_from(text: str) -> Case:
    values = json.loads(text)
    return Case(**{**values, "runner": Runner(**values["runner"])})


def to_text(case: Case) -> str:
    return json.dumps(asdict(case))


def main() -> None:
    case = case_from(sys.argv[1])
    try:
        answer = measure(case)
    except (MissingDependencyError, DeviceError) as error:
        answer = {"skipped": str(error), "whatever_the_model": True}
    except sdk.errors.InverseHalftonerError as error:
        answer = {"skipped": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
