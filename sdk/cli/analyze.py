"""``inverse-halftoner analyze``: what pictures are, a line or a JSON object each."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import sdk
from sdk.analysis import analyze_pixels
from sdk.cli.batch import fault_of, find_sources, passed_over, why_locked
from sdk.cli.files import INPUTS, add_size_limit, warned_by_page
from sdk.files import formats
from sdk.files.pdf import pictures


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    analyze = commands.add_parser(
        "analyze",
        help="say what pictures are",
        description="Say what each picture is: dither, screen of print with its period, palette ...",
    )
    analyze.add_argument("inputs", nargs="+", metavar="IN", help=INPUTS)
    analyze.add_argument("--dpi", type=float, metavar="N", help="resolution of the scan, for lpi (default: what the file says)")
    analyze.add_argument("--json", action="store_true", help="one JSON object a line and picture, for programs and tables")
    add_size_limit(analyze)
    analyze.set_defaults(command=_analyze)


def _analyze(options: argparse.Namespace) -> int:
    _, locked = passed_over(options.inputs)
    for error in locked:
        print(f"error: {why_locked(error)}", file=sys.stderr)
    failed = bool(locked)

    def report(source: Path, found: sdk.Analysis, page: int | None = None) -> None:
        place = {"file": str(source)} | ({"page": page} if page else {})
        print(json.dumps(place | asdict(found)) if options.json else f"{source}: {f'page {page}: ' if page else ''}{found}")

    def analyze(source: Path) -> None:
        if not formats.is_pdf(source):
            report(source, sdk.analyze(source, dpi=options.dpi))
            return

        def report_all(_: object) -> None:
            for page, picture in pictures(source):
                shown_at = picture.header.dpi[0] if picture.header.dpi else None
                report(source, analyze_pixels(picture.pixels, options.dpi or shown_at), page)

        for text in dict.fromkeys(warned_by_page(report_all)):
            print(f"warning: {source}: {text}", file=sys.stderr)

    for source, _ in find_sources(options.inputs, suffixes=formats.RESTORED_SUFFIXES):
        if said := fault_of(source, partial(analyze, source)):
            print(f"error: {said}", file=sys.stderr)
            failed = True
    return 1 if failed else 0
