"""Build TensorRT engines from ONNX: one code path for TensorRT 10, TensorRT 11 and TensorRT-RTX.

TensorRT builds on the GPU that the engine is for. TensorRT-RTX builds anywhere, without a GPU too, and compiles for the GPU when the
engine is loaded. Both are imported when they are needed, never with ``sdk``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from sdk.cuda.driver import open_driver
from sdk.engines.file import ANY_GPU, FLAVOURS, Engine, EngineHeader, Shape, write_atomically
from sdk.engines.log import Log
from sdk.errors import DeviceError, EngineBuildError, MissingDependencyError, ModelError, OptionError, nearest
from sdk.metadata import ModelMetadata
from sdk.onnx_file import read_props
from sdk.onnx_precision import PRECISIONS, in_precision

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with (phase, steps done, steps in all); phases nest and repeat. An exception in it stops the build."""

MODULES = dict(zip(FLAVOURS, ("tensorrt", "tensorrt_rtx")))
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildOptions:
    """What an engine is built for."""

    precision: str = "fp16"
    """One of "fp16", "bf16", and "fp32": the graph as it is, TF32 off. Q/DQ nodes in the ONNX (int8) are kept by all three."""
    tile: int | None = None
    """Largest side of the input, px, and the one it is tuned for; the default is the model's."""
    batch: int = 1
    """Largest number of tiles at once."""
    fixed: bool = False
    """Take exactly ``batch`` tiles of exactly ``tile`` px: quick to build and to run, but smaller pictures are padded and cost as much."""
    flavour: str = "auto"
    """One of "tensorrt", "tensorrt-rtx", and "auto": the first of them that is installed."""
    compute_capability: str | None = None
    """None: of this GPU for TensorRT, "any" (``known_gpus`` but Turing) for TensorRT-RTX, which takes one such as "7.5" too."""
    workspace_mib: int | None = None
    """Scratch memory the engine may use; the default is TensorRT's own, all there is."""
    optimization_level: int | None = None
    """0 (quick to build) .. 5 (tries most); the default is TensorRT's own, 3."""


def build_engine(
    onnx: bytes,
    options: BuildOptions | None = None,
    *,
    timing_cache: Path | None = None,
    on_progress: OnProgress | None = None,
    where: str = "the model",
) -> Engine:
    """ONNX -> engine, in seconds to minutes.

    ``timing_cache`` is a file of the kernels that TensorRT measured, read if it is there and written again: the next build on the same GPU
    is faster. TensorRT-RTX measures none while it builds.
    Raises ``EngineBuildError`` with TensorRT's log, ``DeviceError`` where a GPU is needed, ``MissingDependencyError``, ``OptionError``.
    """
    header = describe_build(onnx, options or BuildOptions(), where)
    # TensorRT builds for the GPU whose context is current, which need not be the one in the header
    with open_driver() if header.flavour == "tensorrt" else contextlib.nullcontext():
        return Engine(header, _build_plan(onnx, header, timing_cache, on_progress, where))


def _build_plan(onnx: bytes, header: EngineHeader, timing_cache: Path | None, on_progress: OnProgress | None, where: str) -> bytes:
    trt = load_tensorrt(header.flavour)
    log = Log(trt)
    builder = _create(trt, trt.Builder, log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))  # 10 needs the flag, 11 has no other kind
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(in_precision(onnx, header.precision, where)):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineBuildError(f"{header.flavour} {header.version} cannot read {where}: {reasons}. {log.text()}")
    config = _configure(trt, builder, network, header, where, log)
    cache = _load_timing_cache(config, timing_cache) if header.flavour == "tensorrt" else None
    monitor = _monitor(trt, on_progress) if on_progress else None
    if monitor:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor and monitor.stopped_by:
        raise monitor.stopped_by
    if plan is None:
        raise EngineBuildError(
            f"{header.flavour} {header.version} could not build {where} in {header.precision} for tiles up to "
            f"{header.shapes and header.shapes[2][3]} px. If memory ran out, use a smaller tile or batch. {log.text()}"
        )
    if timing_cache and cache:
        try:
            write_atomically(timing_cache, bytes(cache.serialize()))
        except ModelError as error:  # it only saves time, and the plan took minutes
            _log.warning("the timing cache is not kept: %s", error)
    return bytes(plan)


def describe_build(onnx: bytes, options: BuildOptions, where: str = "the model") -> EngineHeader:
    """The header of the engine that ``build_engine`` would make here: all options resolved and checked, nothing built."""
    if options.precision not in PRECISIONS:
        raise OptionError(f"Precision {options.precision!r} is unknown.{nearest(options.precision, PRECISIONS)}")
    if options.optimization_level not in (None, *range(6)):
        raise OptionError(f"optimization_level is {options.optimization_level!r}; it must be 0..5.")
    if options.workspace_mib is not None and options.workspace_mib < 1:
        raise OptionError(f"workspace_mib is {options.workspace_mib!r}; it must be 1 or more.")
    props = read_props(onnx, where)
    shapes = _input_shapes(ModelMetadata.from_props(props, where), options)
    flavour = options.flavour if options.flavour != "auto" else _first_installed()
    version = str(load_tensorrt(flavour).__version__)
    given = {"workspace_mib": options.workspace_mib, "optimization_level": options.optimization_level}
    return EngineHeader(
        metadata=props,
        flavour=flavour,
        version=version,
        compute_capability=_compute_capability(flavour, options.compute_capability),
        precision=options.precision,
        shapes=shapes,
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
        options={key: value for key, value in given.items() if value is not None},
    )


def load_tensorrt(flavour: str) -> ModuleType:
    """The Python module of a flavour. Raises ``MissingDependencyError``."""
    if flavour not in FLAVOURS:
        raise OptionError(f"The flavour {flavour!r} is unknown.{nearest(flavour, [*FLAVOURS, 'auto'])}")
    try:
        return importlib.import_module(MODULES[flavour])
    except (ImportError, OSError) as error:  # OSError: the bindings are there, the libraries are not
        raise MissingDependencyError(
            f"{flavour} cannot be imported ({error}). Install it: pip install 'inverse-halftoner[{flavour}]'; "
            "on a Jetson use JetPack's own (docs/deployment.md)."
        ) from error


def known_gpus(flavour: str) -> dict[str, Any]:
    """Compute capability ("8.9") -> the name for it, of all GPUs that the TensorRT-RTX here knows; TensorRT names none."""
    if flavour != "tensorrt-rtx":
        return {}
    trt = load_tensorrt(flavour)
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in trt.ComputeCapability.__members__.items() if name.startswith("SM")}


def installed_flavours() -> list[str]:
    """The flavours that can be imported here, the preferred one first."""
    found = []
    for flavour in FLAVOURS:
        try:
            load_tensorrt(flavour)
        except MissingDependencyError:
            continue
        found.append(flavour)
    return found


def _create(trt: ModuleType, factory: Callable[[Any], Any], log: Log) -> Any:
    """A ``Builder`` or ``Runtime``; without a usable driver pybind11 gets a null pointer and calls that a TypeError."""
    try:
        return factory(log.logger)
    except (TypeError, RuntimeError) as error:
        raise DeviceError(
            f"{trt.__name__} {trt.__version__} cannot start ({error}). Check the NVIDIA driver with nvidia-smi. {log.text()}"
        ) from error


def create_runtime(trt: ModuleType, log: Log) -> Any:
    """A TensorRT ``Runtime``, or a ``DeviceError``."""
    return _create(trt, trt.Runtime, log)


def _first_installed() -> str:
    found = installed_flavours()
    if not found:
        raise MissingDependencyError(
            "Neither tensorrt nor tensorrt_rtx can be imported. Install one: pip install 'inverse-halftoner[tensorrt]' (data centre, "
            "RTX) or pip install 'inverse-halftoner[tensorrt-rtx]' (RTX GPUs; builds without a GPU too). On a Jetson use JetPack's own: "
            "python3 -m venv --system-site-packages (docs/deployment.md)."
        )
    return found[0]


def _compute_capability(flavour: str, asked: str | None) -> str:
    if flavour == "tensorrt-rtx":
        return asked or ANY_GPU
    major, minor = open_driver().compute_capability
    if asked not in (None, f"{major}.{minor}"):
        raise OptionError(
            f"TensorRT builds for the GPU it runs on, which has compute capability {major}.{minor}, not {asked}. "
            "Build on the other machine, or use flavour='tensorrt-rtx'."
        )
    return f"{major}.{minor}"


def _input_shapes(metadata: ModelMetadata, options: BuildOptions) -> tuple[Shape, Shape, Shape]:
    """Smallest, best, largest (N, C, H, W)."""
    multiple = metadata.size_multiple
    tile = metadata.checked_tile(options.tile)
    if not isinstance(options.batch, int) or options.batch < 1:
        raise OptionError(f"batch is {options.batch!r}; it must be 1 or more.")
    largest = (options.batch, metadata.input_planes, tile, tile)
    return (largest if options.fixed else (1, metadata.input_planes, multiple, multiple)), largest, largest


def _configure(trt: ModuleType, builder: Any, network: Any, header: EngineHeader, where: str, log: Log) -> Any:
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise ModelError(f"{where} has {network.num_inputs} inputs and {network.num_outputs} outputs; engines are built of one each.")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and it is not what "fp32" says
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX: what allocates while it runs fits into no CUDA graph
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    _target(config, header)
    if workspace := header.options.get("workspace_mib"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace << 20)
    if (level := header.options.get("optimization_level")) is not None:
        config.builder_optimization_level = level
    assert header.shapes is not None  # describe_build sets them
    profile = builder.create_optimization_profile()
    try:
        profile.set_shape(network.get_input(0).name, *header.shapes)
        accepted = config.add_optimization_profile(profile) >= 0
    except (ValueError, RuntimeError) as error:
        raise EngineBuildError(f"{where} does not take inputs of {header.shapes[0]} .. {header.shapes[2]} ({error}).") from error
    if not accepted:
        raise EngineBuildError(f"{where} does not take inputs of {header.shapes[0]} .. {header.shapes[2]}. {log.text()}")
    return config


def _target(config: Any, header: EngineHeader) -> None:
    """Tell TensorRT-RTX what GPU to compile for; TensorRT always takes the one it runs on."""
    if header.flavour != "tensorrt-rtx" or header.compute_capability == ANY_GPU:
        return
    known = known_gpus(header.flavour)
    if header.compute_capability not in known:
        raise OptionError(
            f"TensorRT-RTX does not know compute capability {header.compute_capability!r}.{nearest(header.compute_capability, known)} "
            "For other GPUs build with TensorRT itself: pip install 'inverse-halftoner[tensorrt]' (--flavour tensorrt)."
        )
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(known[header.compute_capability], 0):
        raise OptionError(f"{header.flavour} {header.version} does not build for compute capability {header.compute_capability}.")


def _load_timing_cache(config: Any, path: Path | None) -> Any:
    """A cache that is damaged or from another GPU is no error: what does not fit is measured again."""
    if path is None:
        return None
    try:
        stored = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ModelError(f"The timing cache {path} cannot be read: {error.strerror or error}. Remove it.") from error
    for content in (stored, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _monitor(trt: ModuleType, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.stopped_by: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            self._report(phase_name, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._report(phase_name, step + 1)
            return self.stopped_by is None

        def phase_finish(self, phase_name: str) -> None:
            self._report(phase_name, self.steps.pop(phase_name, 0))

        def _report(self, phase: str, done: int) -> None:
            if self.stopped_by is not None:
                return
            try:
                on_progress(phase, done, self.steps.get(phase, done))
            except BaseException as error:  # an exception must not cross C++: it is kept, the build stops, and it is raised then
                self.stopped_by = error

    return Monitor()
