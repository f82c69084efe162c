"""Many files: which result goes where, a progress bar, and going on past bad files."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdk.errors import ImageReadError, InverseHalftonerError, OptionError
from sdk.files.formats import FORMATS, PDF, READ_SUFFIXES


@dataclass(frozen=True)
class Job:
    source: Path
    target: Path


@dataclass
class Outcome:
    """Filled while the jobs run, so that an interrupted run can still be reported."""

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Files that were passed over, by suffix."""
    warned: list[tuple[Job, str]] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)


def plan_jobs(
    inputs: Sequence[str], output: Path, suffix_for: Callable[[Path], str], suffixes: Collection[str] = READ_SUFFIXES
) -> list[Job]:
    """Sources and targets of files, folders (all pictures below them, tree kept) and globs.

    One input file and an ``output`` with a picture suffix: that file. Otherwise ``output`` is a folder, and
    ``suffix_for`` gives each result its suffix. ``suffixes``: of what is taken from folders.
    Where two would get one target, as ``a.jpg`` and ``a.png`` may, that of another suffix keeps it before the new one. What is left of
    such collisions is an ``OptionError``.
    """
    if str(output) == "-":
        raise OptionError("Results go into files: -o names one, or a folder; '-', for the standard output, is not known.")
    sources = find_sources(inputs, output, suffixes)
    one_file = len(sources) == 1 and not any(map(os.path.isdir, inputs))
    to_file = output.suffix.lower() in (*FORMATS, PDF) and not os.path.isdir(output)
    if to_file and not one_file:
        found = f"there are {len(sources)} results" if len(sources) > 1 else "results of folders go into folders"
        raise OptionError(f"{output} names one file, but {found}; give a folder.")
    if not to_file and not os.path.isdir(output):
        if one_file and output.suffix:
            raise OptionError(
                f"{output}: no format is known for the suffix {output.suffix!r}; use one of {', '.join(sorted(FORMATS))}. "
                "If a folder of that name is meant, make it first."
            )
        if os.path.exists(output):
            raise OptionError(f"{output} is a file, but the results need a folder.")
    places = [(sources[0][0], output)] if to_file else [(source, output / place) for source, place in _named_apart(sources, suffix_for)]
    jobs = [Job(source, target) for source, target in places]
    _refuse_collisions(jobs)
    return jobs


def find_sources(inputs: Sequence[str], output: Path | None = None, suffixes: Collection[str] = READ_SUFFIXES) -> list[tuple[Path, Path]]:
    """(source, its place in an output folder) of files, folders and globs, each once; an ``ImageReadError`` where there are none."""
    if len(inputs) > 1 and output is not None:  # as of a shell's "*", which may hold the results of an earlier run
        inputs = [text for text in inputs if not (os.path.isdir(text) and Path(text).resolve() == output.resolve())]
    by_path: dict[str, tuple[Path, Path]] = {}
    for found in (found for text in inputs for found in _expand(text, output, suffixes)):
        by_path.setdefault(os.path.abspath(found[0]), found)
    if not by_path:
        raise ImageReadError(f"No pictures found in {', '.join(inputs)}. Known suffixes: {', '.join(sorted(suffixes))}.")
    return list(by_path.values())


def _expand(text: str, output: Path | None, suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    """(source, its place in an output folder) of one argument; what lies below ``output`` is a result of an earlier run, no source."""
    path, results = Path(text), output.resolve() if output is not None else None
    if os.path.isdir(path):  # the functions of os.path take names that are too long for files that are not there
        if results == path.resolve():
            raise OptionError(f"{output} is the input folder itself; choose another one, so that sources and results stay apart.")
        earlier = results if results is not None and path.resolve() in results.parents else None
        below, locked = _walk(path)
        if locked and Path(locked[0].filename) == path:
            raise ImageReadError(why_locked(locked[0]))
        found = sorted(p for p in below if p.suffix.lower() in suffixes)
        return [(p, p.relative_to(path)) for p in found if earlier is None or earlier not in p.resolve().parents]
    if os.path.exists(path) or not glob.has_magic(text):
        return [(path, Path(path.name))]  # a missing file is reported with the bad ones, after the others are done
    files = (Path(found) for found in sorted(glob.glob(text, recursive=True)) if os.path.isfile(found))
    return [(p, Path(p.name)) for p in files if results not in p.resolve().parents]


def _walk(folder: Path) -> tuple[list[Path], list[OSError]]:
    """Files below, and what kept it from looking into folders; hidden ones, and all below them, are left out of both.

    Links to folders are not followed, which may lead anywhere. Those to nothing are files, and fail as such.
    """
    files: list[Path] = []
    locked: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=locked.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = (link for name in folders if os.path.islink(link := os.path.join(place, name)))
        locked += (OSError(errno.ELOOP, "it is a link to a folder", link) for link in links)
        shown = (Path(place, name) for name in names if not name.startswith("."))
        files += (path for path in shown if os.path.isfile(path) or not os.path.exists(path))
    return files, locked


def passed_over(inputs: Sequence[str], suffixes: Collection[str] = READ_SUFFIXES) -> tuple[Counter[str], list[OSError]]:
    """What folders hold and no job is made of: the number of files of each suffix that is no picture's, and what no one may look into,
    unless it is named itself."""
    named = {os.path.normpath(text) for text in inputs}
    walks = [_walk(Path(text)) for text in inputs if os.path.isdir(text)]
    others = (path for files, _ in walks for path in files if path.suffix.lower() not in suffixes)
    locked = [error for _, errors in walks for error in errors if os.path.normpath(error.filename) not in named]
    return Counter(path.suffix.lower() or path.name for path in others), locked


def why_locked(error: OSError) -> str:
    """What kept ``passed_over`` from a folder, and what to do."""
    advice = "Name it among the sources, too" if error.errno == errno.ELOOP else "Check the permissions"
    return f"{error.filename} cannot be looked into: {error.strerror}. {advice}."


def _named_apart(sources: Sequence[tuple[Path, Path]], suffix_for: Callable[[Path], str]) -> Iterator[tuple[Path, Path]]:
    """(source, place of its result in the output folder)."""
    targets = [place.with_suffix(suffix_for(source)) for source, place in sources]
    sharing: dict[Path, set[Path]] = {target: set() for target in targets}
    for (_, place), target in zip(sources, targets):
        sharing[target].add(place)
    for (source, place), target in zip(sources, targets):
        alone = len(sharing[target]) == 1 or place == target
        yield source, target if alone else place.with_name(place.name + target.suffix)


def _refuse_collisions(jobs: list[Job]) -> None:
    owners: dict[Path, Path] = {}
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        other = owners.setdefault(job.target, job.source)
        if other != job.source:
            raise OptionError(f"{other} and {job.source} would both become {job.target}; give them two folders.")
        if os.path.exists(job.target) and os.path.exists(job.source) and job.target.samefile(job.source):
            raise OptionError(f"{job.source} would be replaced by its own result; choose another output.")
        if job.target.resolve() in sources:
            raise OptionError(
                f"{job.target}, which is a source too, would be replaced by the result of {job.source}; choose another output."
            )


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], list[str]], outcome: Outcome, overwrite: bool = False) -> None:
    """Do all jobs; existing targets are skipped unless ``overwrite``; a bad file is noted, and the others go on.

    ``work`` does one job and returns its warnings.
    """
    progress = ProgressBar(len(jobs))
    try:
        for job in jobs:
            if os.path.exists(job.target) and not overwrite:
                outcome.skipped.append(job)
                progress.skip()
                continue
            progress.show(job.source.name)
            if said := fault_of(job.source, lambda job=job: outcome.warned.extend((job, text) for text in work(job))):
                outcome.failed.append((job, said))
            else:
                outcome.done.append(job)
            progress.advance()
    finally:
        progress.close()


def fault_of(source: Path, work: Callable[[], object]) -> str | None:
    """What went wrong in ``work`` on one file, where others are left to do; None if nothing."""
    try:
        work()
    except InverseHalftonerError as error:
        return str(error)
    except BrokenPipeError:  # nobody reads what is printed any more
        raise
    except MemoryError:
        return f"{source} does not fit into memory; use a smaller tile, or cut it up first."
    except Exception as error:  # a fault of ours or of a library's: no reason to leave the others undone
        return f"{source}: unexpected {type(error).__name__} ({error}); please report it."
    return None


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """The signals of ``kill``, of schedulers and of a closed terminal stop as Ctrl-C does, so that no partial file stays behind.

    What is ignored stays so (``nohup``).
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, stop) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
            left = " {}:{:02} left".format(*divmod(round(seconds), 60))
        bar = "#" * filled + "." * (self.WIDTH - filled)
        _draw(f"[{bar}] {self.done}/{self.total}{left} {name[:40]}")

    def skip(self) -> None:
        """A job that costs no time: it counts neither as done nor as left."""
        self.total -= 1

    def advance(self) -> None:
        self.done += 1

    def close(self) -> None:
        if self.visible:
            clear_line()


def clear_line() -> None:
    """Take a bar off the terminal, for what is printed next."""
    if sys.stderr.isatty():
        _draw("")


def _draw(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may have been closed, which is no reason to stop
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
