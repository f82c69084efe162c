"""What the commands about files share: their arguments, going through the files, and the report at the end."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image

from sdk import errors
from sdk.cli.batch import Job, Outcome, passed_over, plan_jobs, run_jobs, why_locked
from sdk.files.formats import READ_SUFFIXES
from sdk.input_warnings import InputWarning

INPUTS = "files, folders (with all below them), or quoted globs"


def add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="IN", help=INPUTS)
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="a file for one input, else a folder (made if missing)"
    )
    add_size_limit(parser)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace results that exist already")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="silently skip results that exist already (default for folders: skip them, and say how many)",
    )


def add_size_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-megapixels", type=_size_limit, metavar="N", help="refuse larger pictures (default: Pillow's limit, 179)")


def _size_limit(text: str) -> float:
    try:
        megapixels = float(text)
    except ValueError:
        megapixels = 0.0
    if not megapixels > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0; inf sets no limit")
    return megapixels


def set_size_limit(megapixels: float) -> None:
    """Pillow's, of the whole process."""
    Image.MAX_IMAGE_PIXELS = None if math.isinf(megapixels) else int(megapixels * 1e6 / 2)  # Pillow refuses at twice this


def by_page(texts: Sequence[Sequence[str]]) -> list[str]:
    """Each text once, with the numbers of its pages before it, unless all say it."""
    pages: dict[str, list[int]] = {}
    for number, said in enumerate(texts, 1):
        for text in dict.fromkeys(said):
            pages.setdefault(text, []).append(number)

    def named(numbers: list[int]) -> str:
        runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), key=lambda placed: placed[1] - placed[0])]
        return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)

    return [text if len(on) == len(texts) else f"page{'s' if len(on) > 1 else ''} {named(on)}: {text}" for text, on in pages.items()]


def _input_warnings(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """The texts of those about pictures."""
    return [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]


def warned_by_page(run_file: Callable[[Callable[[int, int], None]], None]) -> list[str]:
    """What ``run_file`` warns of, with the pages it is about; it is given what to call after each page."""
    said: list[list[str]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)

        def note(done: int, total: int) -> None:
            said.append(_input_warnings(caught))
            caught.clear()

        run_file(note)
    return by_page(said) + _input_warnings(caught)


def plan(options: argparse.Namespace, suffix_for: Callable[[Path], str], suffixes: Collection[str] = READ_SUFFIXES) -> list[Job]:
    """``plan_jobs``; and a single file that exists already is refused now, before a model is loaded or an engine built."""
    jobs = plan_jobs(options.inputs, options.output, suffix_for, suffixes)
    single_file = len(jobs) == 1 and jobs[0].target == options.output
    if single_file and options.output.exists() and not (options.overwrite or options.skip_existing):
        raise errors.ImageWriteError(f"{options.output} exists already; pass --overwrite to replace it, or --skip-existing to leave it.")
    return jobs


def run(jobs: list[Job], options: argparse.Namespace, work: Callable[[Job], list[str]], suffixes: Collection[str] = READ_SUFFIXES) -> int:
    """Do all jobs by ``work``, which returns the warnings of one, and report; returns the exit status. ``suffixes``: of ``plan``."""
    outcome = Outcome()
    outcome.others, locked = passed_over(options.inputs, suffixes)
    for error in locked:
        outcome.failed.append((Job(Path(error.filename), options.output), why_locked(error)))
    try:
        run_jobs(jobs, work, outcome, options.overwrite)
    finally:  # an interrupted run is reported too
        _report(outcome, options)
    return 1 if outcome.failed else 0


def _report(outcome: Outcome, options: argparse.Namespace) -> None:
    """Counts on stdout; warnings (each text with its files) and errors on stderr."""
    by_text: dict[str, list[str]] = {}
    for job, text in outcome.warned:
        by_text.setdefault(text, []).append(str(job.source))
    for text, sources in by_text.items():
        more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
        print(f"warning: {', '.join(sources[:3])}{more}: {text}", file=sys.stderr)
    if outcome.done:
        print(f"{len(outcome.done)} written to {options.output}")
    if outcome.others:
        kinds = [f"{count} {suffix}" for suffix, count in outcome.others.most_common(5)] + ["..."] * (len(outcome.others) > 5)
        print(f"{outcome.others.total()} passed over, no pictures by their names: {', '.join(kinds)}", file=sys.stderr)
    if outcome.skipped and not options.skip_existing:
        print(f"{len(outcome.skipped)} skipped, their results exist already (--overwrite replaces them)", file=sys.stderr)
    for job, text in outcome.failed:
        print(f"error: {text if str(job.source) in text else f'{job.source}: {text}'}", file=sys.stderr)
    if outcome.failed:
        print(f"{len(outcome.failed)} failed", file=sys.stderr)
