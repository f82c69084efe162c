"""Many files: which result goes where, a progress bar, and going on past bad files."""

from __future__ import annotations

import glob
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdk.errors import ImageReadError, InverseHalftonerError, OptionError
from sdk.files import FORMATS


@dataclass(frozen=True)
class Job:
    source: Path
    target: Path


@dataclass
class Outcome:
    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, InverseHalftonerError]] = field(default_factory=list)


def plan_jobs(inputs: Sequence[str], output: Path, suffix_for: Callable[[Path], str]) -> list[Job]:
    """Sources and targets of files, folders (all pictures below them, tree kept) and globs.

    One input file and an ``output`` with a picture suffix: that file. Otherwise ``output`` is a folder, and
    ``suffix_for`` gives each result its suffix. Two sources with one target are an ``OptionError``.
    """
    sources = [found for text in inputs for found in _expand(text, output)]
    if not sources:
        raise ImageReadError(f"No pictures found in {', '.join(inputs)}. Known suffixes: {', '.join(sorted(FORMATS))}.")
    one_file = len(sources) == 1 and sources[0][0] == Path(inputs[0])
    if one_file and not output.is_dir() and output.suffix.lower() in FORMATS:
        jobs = [Job(sources[0][0], output)]
    elif one_file and output.suffix and not output.is_dir():
        raise OptionError(
            f"{output}: no format is known for the suffix {output.suffix!r}; use one of {', '.join(sorted(FORMATS))}. "
            "If a folder of that name is meant, make it first."
        )
    else:
        if output.exists() and not output.is_dir():
            raise OptionError(f"{output} is a file, but {len(sources)} results need a folder.")
        jobs = [Job(source, output / place.with_suffix(suffix_for(source))) for source, place in sources]
    _refuse_collisions(jobs)
    return jobs


def _expand(text: str, output: Path) -> list[tuple[Path, Path]]:
    """(source, its place in an output folder) of one argument; what lies below ``output`` is a result of an earlier run, no source."""
    path = Path(text)
    if path.is_dir():
        inside = output.resolve() if output.resolve() != path.resolve() else None
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in FORMATS and p.is_file() and not p.name.startswith("."))
        return [(p, p.relative_to(path)) for p in found if inside is None or inside not in p.resolve().parents]
    if path.exists() or not glob.has_magic(text):
        return [(path, Path(path.name))]  # a missing file is reported with the bad ones, after the others are done
    return [(Path(p), Path(Path(p).name)) for p in sorted(glob.glob(text, recursive=True)) if Path(p).is_file()]


def _refuse_collisions(jobs: list[Job]) -> None:
    owners: dict[Path, Path] = {}
    for job in jobs:
        other = owners.setdefault(job.target, job.source)
        if other != job.source:
            raise OptionError(f"{other} and {job.source} would both become {job.target}; restore them into two folders.")
        if job.target.exists() and job.source.exists() and job.target.samefile(job.source):
            raise OptionError(f"{job.source} would be replaced by its own result; choose another output.")


def run_jobs(jobs: Sequence[Job], work: Callable[[Job, bool], None], overwrite: bool = False) -> Outcome:
    """Do all jobs; existing targets are skipped unless ``overwrite``; a bad file is kept for the end, the others go on."""
    outcome = Outcome()
    progress = ProgressBar(len(jobs))
    for job in jobs:
        progress.show(job.source.name)
        if job.target.exists() and not overwrite:
            outcome.skipped.append(job)
        else:
            try:
                work(job, overwrite)
                outcome.done.append(job)
            except InverseHalftonerError as error:
                outcome.failed.append((job, error))
        progress.advance()
    progress.close()
    return outcome


class ProgressBar:
    """One line on stderr, drawn only for several files and only on a terminal."""

    WIDTH = 30

    def __init__(self, total: int):
        self.total, self.done, self.started = total, 0, time.monotonic()
        self.visible = total > 1 and sys.stderr.isatty()

    def show(self, name: str) -> None:
        if not self.visible:
            return
        filled = self.WIDTH * self.done // self.total
        left = ""
        if self.done:
            seconds = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            left = f" {seconds // 60:.0f}:{seconds % 60:02.0f} left"
        print(
            f"\r\033[K[{'#' * filled}{'.' * (self.WIDTH - filled)}] {self.done}/{self.total}{left} {name[:40]}",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def advance(self) -> None:
        self.done += 1

    def close(self) -> None:
        if self.visible:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
