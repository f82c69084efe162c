"""The command line: ``inverse-halftoner restore | expand | analyze | halftone | build | cache | models | info | demo``."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

import sdk
from sdk import errors
from sdk.backends import BACKENDS, DEVICES
from sdk.cli.analyze import add_command as add_analyze_command
from sdk.cli.batch import Job, clear_line, stopped_by_signals
from sdk.cli.demo import add_command as add_demo_command
from sdk.cli.engines import add_commands as add_engine_commands
from sdk.cli.engines import progress_line
from sdk.cli.files import add_files, by_page, plan, run, set_size_limit, warned_by_page
from sdk.cli.models import add_commands as add_model_commands
from sdk.engines.cache import watch_builds
from sdk.files import formats
from sdk.halftoning import METHODS
from sdk.networks.few_bits import check_bits

EXAMPLES = """examples:
  inverse-halftoner restore page.tif -o page_contone.tif        one file; pages, DPI, ICC profile, EXIF, XMP and IPTC are kept
  inverse-halftoner restore scans/ -o restored/                 a folder; its tree is kept, finished files are skipped
  inverse-halftoner restore 'scans/*.png' cover.gif -o restored/
  inverse-halftoner restore book.pdf -o restored.pdf            its pictures; text, layout, OCR and bookmarks stay
  inverse-halftoner restore photocopy.jpg -o out.png --threshold 0.5     a dither that was blurred: cut to black and white first
  inverse-halftoner expand banded.png -o smooth.png              1..5 bits a channel, back to 8
  inverse-halftoner halftone photo.jpg -o dots.png --method am-screen --set lpi=85 --set dpi=300
  inverse-halftoner models
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 = all done, 1 = something failed, 2 = no such command or option."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may have what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # what is too large is an error, by --max-megapixels
    if limit := getattr(options, "max_megapixels", None):
        set_size_limit(limit)
    try:
        with stopped_by_signals(), watch_builds(progress_line() if sys.stderr.isatty() else None):
            status = options.command(options)
        if sys.stdout:  # it may be closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (errors.InverseHalftonerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = {"inputs", "output"} <= vars(options).keys()
        print("stopped" + ("; finished files are kept, run the same command again to go on" if goes_on else ""), file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inverse-halftoner",
        description="Turn halftones (1-bit dithers, scans of print) and pictures of few bits back into continuous-tone photographs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {sdk.__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    restore = commands.add_parser("restore", help="halftone -> photograph", description="Restore halftones. Sources are never changed.")
    add_files(restore)
    restore.add_argument(
        "--model", default="auto", help="a name from `inverse-halftoner models`, an .onnx or .engine file, or auto: look first (default)"
    )
    _add_runtime(restore)
    restore.add_argument(
        "--scale", type=float, default=1.0, metavar="FACTOR", help="size of the result against the input's, 0.05..4 (default: 1)"
    )
    restore.add_argument(
        "--threshold",
        type=float,
        metavar="LEVEL",
        help="cut the input to black and white at this level (0..1) first; for halftones that were JPEG-coded or smoothed",
    )
    restore.add_argument(
        "--method",
        metavar="NAME",
        help="what made the dots; with a --model that is told it, such as fast, whose `info` lists the names (default: read off each page)",
    )
    _add_seed(restore)
    _add_self_ensemble(restore)
    restore.add_argument("-v", "--verbose", action="store_true", help="say what auto found in each file and which model it took")
    restore.set_defaults(command=_restore)

    expand = commands.add_parser(
        "expand",
        help="few bits -> photograph",
        description="Give pictures of 1 to 5 bits a channel (posterised, RGB565) their tones back. Sources are never changed.",
    )
    add_files(expand)
    expand.add_argument("--bits", type=int, metavar="N", help="bits a channel, 1..5 (default: told from the levels of each page)")
    expand.add_argument("--model", default="companding", help="a name from `inverse-halftoner models`, an .onnx or .engine file")
    _add_self_ensemble(expand)
    _add_runtime(expand)
    expand.set_defaults(command=_expand)

    add_analyze_command(commands)

    halftone = commands.add_parser(
        "halftone",
        help="photograph -> halftone",
        description="Halftone photographs by a classical method, or by a model for halftoning.",
        epilog="methods (with parameters for --set):\n" + _method_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(halftone)
    halftone.add_argument(
        "--method",
        default="floyd-steinberg",
        help="a name from the list below (default: floyd-steinberg), or a model for halftoning: a name from `inverse-halftoner models`, "
        "an .onnx or .engine file",
    )
    halftone.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the method; may be repeated")
    halftone.add_argument("--grey", action="store_true", help="turn colour to grey first (else each channel is halftoned on its own)")
    _add_seed(halftone)
    _add_runtime(halftone.add_argument_group("options of models"))
    halftone.set_defaults(command=_halftone)

    add_engine_commands(commands)

    add_model_commands(commands)
    add_demo_command(commands)
    return parser


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, metavar="N", help="random seed, for models and methods that use noise (default: 0); an error with others"
    )


def _add_self_ensemble(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--self-ensemble",
        action="store_true",
        help="the mean over all ways in which a picture is alike to the model: a little better, for 2 (error diffusion) or 8 times "
        "(prints, few bits) the work",
    )


def _add_runtime(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        choices=DEVICES,
        help="auto: CUDA where onnxruntime has it, else the CPU; cuda: an NVIDIA GPU, or an error (default: auto)",
    )
    parser.add_argument(
        "--backend",
        default="auto",
        choices=BACKENDS,
        help="default: onnxruntime; TensorRT for .engine files, and with --device cuda where it is installed (it builds an engine once, "
        "for minutes, and keeps it)",
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        help="fp32; bf16 (openvino, tensorrt); fp16 (tensorrt; onnxruntime on CUDA with an fp16 file); int8 (openvino and onnxruntime with "
        "a Q/DQ file); default: the backend's",
    )
    parser.add_argument("--tile", type=int, metavar="PX", help="side of a tile; smaller needs less memory (default: the model's)")
    parser.add_argument("--overlap", type=int, metavar="PX", help="how much tiles share (default: the model's)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: one a core)")


def _runtime(options: argparse.Namespace) -> dict[str, Any]:
    """What ``_add_runtime`` added, for the constructors of restorers."""
    return {name: getattr(options, name) for name in ("device", "backend", "precision", "tile", "overlap", "threads")}


def _method_table() -> str:
    def parameters(name: str) -> str:
        return ", ".join(f"{key}={value}" for key, value in METHODS[name].parameters.items())

    width = max(map(len, METHODS))
    return "\n".join(f"  {m.name:<{width}}  {m.summary}  [{parameters(m.name)}]" for m in METHODS.values())


def _restore(options: argparse.Namespace) -> int:
    jobs = plan(options, formats.restored_suffix, formats.RESTORED_SUFFIXES)
    own = {"threshold": options.threshold, "method": options.method, "scale": options.scale, "self_ensemble": options.self_ensemble}
    choices: list[str] = []
    restorer = sdk.InverseHalftoner(options.model, **own, **_runtime(options), on_choice=lambda choice: choices.append(str(choice)))
    restorer.check_seed(options.seed)

    def restore(job: Job) -> list[str]:
        chosen: list[list[str]] = []  # for each page

        def restore_file(note: Callable[[int, int], None]) -> None:
            def on_page(done: int, total: int) -> None:
                chosen.append(choices.copy())
                choices.clear()
                note(done, total)

            restorer.run_file(job.source, job.target, overwrite=options.overwrite, on_page=on_page, seed=options.seed)

        choices.clear()
        said = warned_by_page(restore_file)
        if options.verbose:
            for text in by_page(chosen):
                clear_line()
                print(f"{job.source}: {text}")
        return said

    return run(jobs, options, restore, formats.RESTORED_SUFFIXES)


def _expand(options: argparse.Namespace) -> int:
    check_bits(options.bits)
    jobs = plan(options, formats.restored_suffix, formats.RESTORED_SUFFIXES)
    expander = sdk.BitDepthExpander(options.model, self_ensemble=options.self_ensemble, **_runtime(options))

    def expand(job: Job) -> list[str]:
        return warned_by_page(
            lambda note: expander.run_file(job.source, job.target, overwrite=options.overwrite, bits=options.bits, on_page=note)
        )

    return run(jobs, options, expand, formats.RESTORED_SUFFIXES)


def _halftone(options: argparse.Namespace) -> int:
    parameters = dict(_parameter(text, options.method) for text in options.set)
    for name, value in _runtime(options).items():
        if value not in (None, "auto"):  # methods have no such parameters, and say so
            parameters[name] = value
    jobs = plan(options, formats.halftone_suffix)
    halftoner = sdk.Halftoner(options.method, grey=options.grey, **parameters)
    halftoner.check_seed(options.seed)

    def apply(job: Job) -> list[str]:
        halftoner.run_file(job.source, job.target, overwrite=options.overwrite, seed=options.seed)
        return []

    return run(jobs, options, apply)


def _parameter(text: str, method: str) -> tuple[str, object]:
    """``name=value`` with the value in the type of the method's default."""
    name, equals, value = text.partition("=")
    if not equals:
        raise errors.OptionError(f"--set {text}: write NAME=VALUE, for example --set size=8.")
    default = METHODS[method].parameters.get(name) if method in METHODS else None
    try:
        if isinstance(default, bool):
            return name, {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
        return name, value if default is None else type(default)(value)
    except (ValueError, KeyError) as error:
        raise errors.OptionError(f"--set {text}: {value!r} is no {type(default).__name__} (the default is {default}).") from error
