"""The commands about engines: ``build`` and ``cache clear``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from sdk.catalog import metadata_of, model_bytes
from sdk.engines.build import BuildOptions, OnProgress, build_engine, known_gpus
from sdk.engines.cache import CACHE_VARIABLE, cache_folder, clear_cache
from sdk.engines.file import ENGINE_SUFFIX, FLAVOURS, write_engine
from sdk.errors import OptionError
from sdk.onnx_precision import PRECISIONS

DEFAULTS = BuildOptions()


def add_commands(commands: Any) -> None:
    """Add them to the subparsers of the command line; each sets ``command`` to a function of the parsed options."""
    build = commands.add_parser(
        "build",
        help="ONNX -> TensorRT engine",
        description="Build a TensorRT engine: of this GPU with TensorRT, or portable between RTX GPUs with TensorRT-RTX, which needs no "
        "GPU to build. Engines hold code: run only those of people you trust.",
    )
    build.add_argument("model", metavar="MODEL", help="a name from `inverse-halftoner models`, or an .onnx file")
    build.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.engine")
    build.add_argument("--precision", default=DEFAULTS.precision, choices=PRECISIONS, help="default: fp16; fp32 computes without TF32")
    build.add_argument("--tile", type=int, metavar="PX", help="largest side of a tile, and the one it is tuned for (default: the model's)")
    build.add_argument("--batch", type=int, default=DEFAULTS.batch, metavar="N", help="largest number of tiles at once (default: 1)")
    build.add_argument("--fixed", action="store_true", help="take tiles of exactly that size and number; smaller ones are padded")
    build.add_argument(
        "--flavour", default=DEFAULTS.flavour, choices=["auto", *FLAVOURS], help="default: the first of these that is installed"
    )
    build.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="GPU to build for, TensorRT-RTX only; Turing (7.5) must be named (default: all others that it knows)",
    )
    build.add_argument("--workspace", type=int, metavar="MIB", help="scratch memory the engine may use (default: no limit)")
    build.add_argument("--optimization-level", type=int, metavar="0..5", help="0 builds fast, 5 tries most (default: 3)")
    build.add_argument("--timing-cache", type=Path, metavar="FILE", help="measured kernels, kept for the next build on the same GPU")
    build.add_argument("--overwrite", action="store_true", help="replace the engine if it exists already")
    build.set_defaults(command=_build)

    cache = commands.add_parser("cache", help="engines kept between runs", description="Engines that device='cuda' built and kept.")
    actions = cache.add_subparsers(metavar="ACTION", required=True)
    clear = actions.add_parser("clear", help=f"remove them all (folder: the platform's own, or ${CACHE_VARIABLE})")
    clear.set_defaults(command=_clear)


def _build(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() != ENGINE_SUFFIX:
        raise OptionError(f"{options.output} does not end in {ENGINE_SUFFIX}; by that name engines are known for what they are.")
    if options.output.exists() and not options.overwrite:
        raise OptionError(f"{options.output} exists already; pass --overwrite to replace it.")
    onnx, where = model_bytes(options.model)
    wanted = BuildOptions(
        precision=options.precision,
        tile=options.tile,
        batch=options.batch,
        fixed=options.fixed,
        flavour=options.flavour,
        compute_capability=options.compute_capability,
        workspace_mib=options.workspace,
        optimization_level=options.optimization_level,
    )
    smallest = metadata_of(options.model).smallest_tile
    if options.tile is not None and options.tile < smallest:
        print(f"note: below {smallest} px seams may show with {options.model}; it will run with an --overlap only", file=sys.stderr)
    started = time.perf_counter()
    progress = progress_line() if sys.stderr.isatty() else None
    engine = build_engine(onnx, wanted, timing_cache=options.timing_cache, on_progress=progress, where=where)
    write_engine(options.output, engine)
    header = engine.header
    gpus = ", ".join(header.accepted(known_gpus(header.flavour)))
    print(
        f"{options.output}: {header.name} in {header.precision}, {header.flavour} {header.version}, for GPUs of compute capability {gpus}; "
        f"{len(engine.plan) / 2**20:.1f} MiB, built in {time.perf_counter() - started:.0f} s"
    )
    return 0


def progress_line(width: int = 30) -> OnProgress:
    """A bar on stderr for the outermost phase, with the name of the innermost one; gone when the build is done."""
    phases: dict[str, float] = {}

    def show(phase: str, done: int, total: int) -> None:
        phases[phase] = done / max(total, 1)
        filled = "#" * int(width * next(iter(phases.values())))
        line = f"[{filled:<{width}}] {list(phases)[-1][:60]:<60}"
        if done >= total:
            del phases[phase]
        print(f"\r{line if phases else ' ' * len(line)}\r", end="", file=sys.stderr, flush=True)

    return show


def _clear(_: argparse.Namespace) -> int:
    engines, nbytes = clear_cache()
    print(f"{engines} engine{'' if engines == 1 else 's'}, {nbytes / 2**20:.1f} MiB removed from {cache_folder()}")
    return 0
