"""How fast models run here, on every runtime: ``python -m export.benchmark --models fast scan --sizes 512 1024 --batches 1 4``.

Each row is measured in a process of its own (``export.runners``): latency end to end (array to array, with analysis, tiles and
rounding) and of the network alone, memory at its peak, and how near that comes to what the machine can do (``export.roofline``). Rows go
into <output>/evaluations/benchmarks/<machine>.json at once, so a run that was stopped goes on where it was, and a second one measures
only what is missing or whose runtime, model or threads changed (--again: everything). The tables of all machines go into
<output>/benchmarks.md with a chart, images/benchmarks.png; what could not run is named there with its reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import onnx

from export.benchmark_page import write_page
from export.roofline import Work, machine, work_of
from export.runners import OWN_FILES, RUNNERS, Case, Runner, to_text
from sdk.catalog import model_bytes, releases
from sdk.errors import ModelError
from sdk.metadata import ModelMetadata
from sdk.onnx_file import read_props
from sdk.onnx_precision import precision_of
from training.arguments import count
from training.errors import said_plainly
from training.results import write_json

KEY = ("model", "onnx_sha256", "runtime", "device", "precision", "version", "size", "batch", "threads")
"""What a row must share with the one that is wanted, so that it need not be measured again."""
LONGEST_SLUG = 80
"""Of a machine's name, as that of its file."""


class Model:
    """One model as it was asked for, and the files of its precisions."""

    def __init__(self, name: str, variants: Path):
        self.asked, self._variants = name, variants
        data, where = model_bytes(name)
        if (precision := precision_of(data, where)) != "fp32":
            raise ModelError(f"it is in {precision}; name the model it was made of, and the runners in {precision} take its file")
        self.metadata = ModelMetadata.from_props(read_props(data, where), where)
        self.work: Work = work_of(onnx.load_from_string(data))
        self._stem = name if name in releases() else Path(name).stem

    def file_for(self, runner: Runner) -> str:
        """What that runner runs: the model, or the file of ``export.precision`` for its precision."""
        if runner.precision not in OWN_FILES.get(runner.runtime, ()):
            return self.asked
        path = self._variants / f"{self._stem}_{runner.precision}.onnx"
        if not path.is_file():
            raise ModelError(f"there is no {path}; make it: python -m export.precision {self.asked} --data DIR -o {self._variants}")
        data, where = model_bytes(path)
        learnt = ModelMetadata.from_props(read_props(data, where), where).training
        if learnt | self.metadata.training != learnt:
            raise ModelError(f"{path} was made of other weights; make it anew: python -m export.precision {self.asked} --data DIR")
        return str(path)


def benchmark(models: Sequence[Model], cases: Sequence[tuple[Runner, int, int]], options: argparse.Namespace, book: Book) -> None:
    """Measure what ``book`` lacks."""
    missing: dict[Runner, str] = {}
    for model, (runner, size, batch) in product(models, cases):
        row = {"model": model.metadata.name, **_columns(runner), "size": size, "batch": batch, "threads": options.threads}
        try:
            if runner in missing:
                raise ModelError(missing[runner])
            if runner.version is None:
                raise ModelError(f"{runner.package} is not installed")
            case = Case(model.file_for(runner), runner, size, batch, options.threads, options.repeats, model.work.planes)
        except ModelError as error:
            book.skip(row, str(error))
            continue
        row["onnx_sha256"] = hashlib.sha256(model_bytes(case.model)[0]).hexdigest()
        if not options.again and book.has(row):
            book.unskip(row)
            continue
        answer = in_process("export.runners", to_text(case), timeout=options.timeout)
        if reason := answer.get("skipped"):
            if answer.get("whatever_the_model"):
                missing[runner] = reason
            book.skip(row, reason)
            continue
        book.measure_ceilings(runner.device, options.threads)
        pixels = batch * size**2
        counted = {"evaluations": model.metadata.num_inference_steps, "gflop": model.metadata.kflop_per_pixel * pixels / 1e6}
        book.add({**row, **answer, **counted, "mb": model.work.megabytes(pixels, runner.precision)})


def open_models(names: Sequence[str], variants: Path, book: Book) -> list[Model]:
    """Those that can be measured; of the others ``book`` keeps the reason. A name that does not exist is an error all the same."""
    models = []
    for name in names:
        model_bytes(name)
        try:
            model = Model(name, variants)
        except ModelError as error:
            book.leave_out(name, str(error))
            continue
        book.leave_out(name, None)
        if twin := next((other for other in models if other.metadata.name == model.metadata.name), None):
            raise ModelError(
                f"{twin.asked} and {name} are both called {model.metadata.name!r}, by which rows are told apart: measure one of them."
            )
        models.append(model)
    return models


def _columns(runner: Runner) -> dict[str, Any]:
    columns = asdict(runner)
    del columns["package"]
    return {**columns, "version": runner.version}


def in_process(module: str, *arguments: str, timeout: float) -> dict[str, Any]:
    """The JSON of the last line that ``python -m module`` prints; {"skipped": why} where it fails, whatever way."""
    try:
        done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"skipped": f"it took longer than {timeout:.0f} s"}
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        if isinstance(answer, dict) and done.returncode == 0:
            return answer
    except (IndexError, json.JSONDecodeError):
        pass
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    named = [line for line in said if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)]  # advice may follow it
    return {"skipped": f"it failed (exit status {done.returncode}): {(named or said)[-1][:300]}"}


class Book:
    """The rows of one machine, kept in a file that is written after each."""

    def __init__(self, folder: Path, name: str):
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        if len(slug) > LONGEST_SLUG:  # the GPU comes last
            slug = f"{slug[: LONGEST_SLUG - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        self.path = folder / f"{slug}.json"
        stored = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        self.content = {"machine": name, "ceilings": {}, "rows": [], "skipped": [], "left_out": {}, **stored}
        self._measured: set[str] = set()

    def has(self, row: dict[str, Any]) -> bool:
        return any(self._same(row, stored) for stored in self.content["rows"])

    def add(self, row: dict[str, Any]) -> None:
        place = next((i for i, old in enumerate(self.content["rows"]) if _place(old) == _place(row)), len(self.content["rows"]))
        self.content["rows"][place : place + 1] = [row]  # it replaces its forerunner of another version, too
        self.unskip(row)
        self._save()
        shown = [
            f"{name} {row[key]['p50_s'] * 1e3:.1f} ms" for name, key in (("end to end", "end_to_end"), ("network", "network")) if row[key]
        ]
        print(f"{_title(row)}: {', '.join(shown)}, {row['peak_mib'] or float('nan'):.0f} MiB", flush=True)

    def skip(self, row: dict[str, Any], reason: str) -> None:
        """What was measured before, with another version, stays."""
        self.unskip(row)
        self.content["skipped"].append({**row, "reason": reason})
        self._save()
        print(f"{_title(row)}: skipped: {reason}", flush=True)

    def unskip(self, row: dict[str, Any]) -> None:
        """It is measured: forget why it was not. Nothing is written where nothing was noted."""
        others = [old for old in self.content["skipped"] if _place(old) != _place(row)]
        if len(others) < len(self.content["skipped"]):
            self.content["skipped"] = others
            self._save()

    def leave_out(self, model: str, reason: str | None) -> None:
        """A model that no runner can measure; None: it can be, now."""
        if reason is None:
            if self.content["left_out"].pop(model, None):
                self._save()
            return
        self.content["left_out"][model] = reason
        self._save()
        print(f"{model}: left out: {reason}", flush=True)

    def measure_ceilings(self, device: str, threads: int) -> None:
        """Once a run, with the first row of a device; the best of all runs is kept, since a ceiling is what was ever reached."""
        key = f"{device}, {threads} threads" if device == "cpu" else device
        if key in self._measured:
            return
        self._measured.add(key)
        known = self.content["ceilings"].setdefault(key, {})
        answer = in_process("export.roofline", device, str(threads), timeout=600)
        if reason := answer.get("skipped"):
            print(f"the ceilings of {key} are not measured: {reason}", flush=True)
        for precision, found in answer.items():
            if isinstance(found, dict) and _figure(found) > _figure(known.get(precision, {})):
                known[precision] = found
        self._save()

    @staticmethod
    def _same(row: dict[str, Any], stored: dict[str, Any]) -> bool:
        return all(row[key] == stored.get(key) for key in KEY)

    def _save(self) -> None:
        write_json(self.path.parent, self.path.stem, self.content)


def _place(row: dict[str, Any]) -> tuple:
    """What makes it the same line of the table."""
    return tuple(row[key] for key in KEY if key not in ("onnx_sha256", "version"))


def _figure(found: dict[str, Any]) -> float:
    return found.get("gflop_per_s", found.get("gb_per_s", 0.0))


def _title(row: dict[str, Any]) -> str:
    return f"{row['model']}, {row['runtime']}, {row['device'].split()[0]} {row['precision']}, {row['batch']}x{row['size']}x{row['size']}"


def chosen(runners: Sequence[Runner], words: Sequence[str] | None) -> list[Runner]:
    """Those whose name holds one of ``words``, in any case; all for None."""
    found = [runner for runner in runners if words is None or any(word.lower() in str(runner) for word in words)]
    if not found:
        raise ModelError(f"No runner is called {' or '.join(words or ())}; there are: {'; '.join(map(str, runners))}.")
    return found


def _cases(options: argparse.Namespace) -> Iterator[tuple[Runner, int, int]]:
    return product(chosen(RUNNERS, options.runners), options.sizes, options.batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["fast", "scan", "prl"], help="released models' names, or .onnx files; ratios are to the first"
    )
    parser.add_argument("--sizes", type=count, nargs="+", default=[512, 1024], help="sides of the square test pictures, px")
    parser.add_argument("--batches", type=count, nargs="+", default=[1], help="pictures at once")
    parser.add_argument("--runners", nargs="+", metavar="WORD", help="only those whose name holds such a word: cuda, 'openvino, cpu int8'")
    parser.add_argument("--repeats", type=count, default=5, help="fewer where they take longer than a minute, but no less than 3")
    parser.add_argument("--threads", type=count, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=1800, metavar="S", help="for one row, an engine's build included")
    parser.add_argument("--variants", type=Path, default=Path("runs/precision"), help="folder of export.precision's files")
    parser.add_argument("--again", action="store_true", help="measure rows that are there already, too")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    book = Book(options.output / "evaluations" / "benchmarks", machine())
    models = open_models(options.models, options.variants, book)
    benchmark(models, list(_cases(options)), options, book)
    print(f"\n{write_page(options.output)}")


if __name__ == "__main__":
    with said_plainly():
        main()
