"""Measure ``sdk.analyze``: ``python -m training.evaluate_analysis --data DIR -o docs``.

Pictures of every kind are made from DIR/test/kodak24 and DIR/test/cbsd68, with parameters that no recipe has. Writes a table
of kind x right / total, the errors of period and angle of screens, how often the method of a dither was named, and what was found
in the real scans in DIR/scans: <out>/analysis.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from sdk.analysis import Analysis, analyze, analyze_pixels
from sdk.analysis.methods import label_of
from sdk.analysis.turns import TURNS
from sdk.halftoning import halftone
from sdk.halftoning.error_diffusion import KERNELS
from sdk.images import from_unit, widened
from training.arguments import count
from training.config import load_recipe
from training.data import photo_paths, read_rgb
from training.errors import said_plainly
from training.pages import beside_text, jpeg, scanned, table_page, text_page, with_caption
from training.printing import choose, log_uniform
from training.results import software, write_page

SETS = ("kodak24", "cbsd68")
PERIOD_TOLERANCE = 0.03
"""As a share of the period. A print's own screens differ from its nominal period by up to 2 %."""
ANGLE_TOLERANCE = 2.0
"""Degrees."""
INK_ANGLES = {"black": (0,), "tint": (0,), "duotone": (0, 30), "process": (0, 30, 60, 45)}
"""Angles of an ink's screens against that of the last one, either way; the clearest screen need not be the darkest ink's."""


@dataclass(frozen=True)
class Case:
    """One picture, and what it is."""

    title: str
    kind: str
    pixels: np.ndarray
    period: float | None = None
    angles: tuple[float, ...] = ()
    facts: dict = field(default_factory=dict)
    """Other fields of the analysis that must be right."""
    method: str | None = None
    """Its name in ``sdk.analysis.methods.LABELS``. To find none is no mistake, to find another is one."""
    turn: int = 90
    """Degrees after which its screen is the same: 180 for lines."""


@dataclass
class Score:
    """One row of the table."""

    right: int = 0
    total: int = 0
    within: int = 0
    """Screens whose period and angle are right."""
    period_errors: list[float] = field(default_factory=list)
    """Shares of the period."""
    angle_errors: list[float] = field(default_factory=list)
    """Degrees."""
    named: int = 0
    """Dithers whose method was named, rightly or not."""
    rightly: int = 0
    missed: list[str] = field(default_factory=list)


def cases(photo: np.ndarray, rng: np.random.Generator) -> Iterator[Case]:
    """One case of each sort from uint8 HxWx3, with parameters drawn at random."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    yield from one_bit_cases(photo, grey, rng)
    yield from screen_cases(photo, grey, rng)
    yield from few_level_cases(photo, grey, rng)
    quality = int(rng.integers(30, 96))
    yield Case("photograph", "continuous", photo)
    yield Case("photograph, JPEG", "continuous", jpeg(photo, quality))
    width, height = (round(extent * rng.uniform(0.6, 1.7)) for extent in photo.shape[1::-1])
    yield Case("photograph, JPEG, resized", "continuous", cv2.resize(jpeg(photo, quality), (width, height), interpolation=cv2.INTER_CUBIC))
    text = text_page(grey.shape[0], grey.shape[1], rng)
    yield Case("text", "line-art", text > 127)
    yield Case("text, grey scan", "continuous", scanned(text, rng))
    yield from drawn_cases(grey.shape, rng)


def one_bit_cases(photo: np.ndarray, grey: np.ndarray, rng: np.random.Generator) -> Iterator[Case]:
    kernel = str(rng.choice(list(KERNELS)))
    serpentine = bool(rng.integers(2))
    label = label_of(kernel, {"serpentine": serpentine})
    diffused = halftone(grey, kernel, serpentine=serpentine)
    yield Case("error diffusion", "dither", diffused, facts={"bits": 1}, method=label)
    yield Case("error diffusion, JPEG", "dither", jpeg(diffused.astype(np.uint8) * 255, int(rng.integers(85, 98))), method=label)
    kernel = str(rng.choice(list(KERNELS)))
    yield Case("error diffusion, colour", "dither", halftone(photo, kernel), method=kernel)
    # Simple Floyd-Steinberg does the same to columns as to rows. Not drawn by ``rng``, so that what follows stays as it was.
    turn, kernel = TURNS[1 + int(grey.sum()) % 7], sorted(KERNELS.keys() - {"simple-floyd-steinberg"})[int(grey.sum()) % 8]
    turned = turn.apply(halftone(grey, kernel))
    facts = {"turned": turn.degrees, "mirrored": turn.mirrored}
    yield Case("error diffusion, turned", "dither", turned, facts=facts, method=kernel)
    own = np.random.default_rng(int(grey.sum()))
    size = tuple(round(extent * factor) for factor in [own.uniform(1.25, 3.5)] for extent in grey.shape[::-1])
    large = cv2.resize(widened(diffused), size, interpolation=int(own.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    coded, facts = jpeg(large, int(own.integers(70, 98))), {"smoothed_from": grey.shape}
    yield Case("error diffusion, smoothly enlarged, JPEG", "dither", coded, facts=facts, method=label)
    blue = halftone(grey, "blue-noise", size=int(rng.choice([32, 48, 64])), seed=int(rng.integers(200, 204)))
    yield Case("blue noise", "dither", blue, method="blue-noise")
    yield Case("white noise", "dither", halftone(grey, "white-noise", seed=int(rng.integers(1000))), method="white-noise")
    yield Case("error diffusion beside text", "dither", beside_text(diffused, rng), method=label)
    dark = halftone(grey // 4 if rng.random() < 0.5 else 192 + grey // 4, kernel)
    yield Case("error diffusion, dark or light", "dither", dark, method=kernel)
    yield Case("error diffusion with a caption", "dither", with_caption(diffused, rng), method=label)
    for title, method, sizes in (("Bayer", "bayer", (2, 4, 8, 16)), ("clustered dots", "clustered-dot", (3, 4, 5, 6, 7, 8))):
        size = int(rng.choice(sizes))
        yield Case(title, "ordered", halftone(grey, method, size=size), float(size), method=label_of(method, {"size": size}))


def screen_cases(photo: np.ndarray, grey: np.ndarray, rng: np.random.Generator) -> Iterator[Case]:
    period, angle = log_uniform(2.5, 40, rng), rng.uniform(0, 90)
    dot = str(rng.choice(["round", "diamond", "ellipse"]))
    screened = halftone(grey, "am-screen", lpi=600 / period, dpi=600.0, angle=angle, dot=dot)
    yield Case("screen, digital", "screen", screened, period, (angle,), {"bits": 1})
    period, angle = log_uniform(2.5, 16, rng), rng.uniform(8, 82)
    lines = halftone(grey, "am-screen", lpi=600 / period, dpi=600.0, angle=angle, dot="line")
    yield Case("line screen, digital", "screen", lines, period, (angle + 90,), turn=180)
    period, angle = log_uniform(3, 8, rng), rng.uniform(10, 80)
    screened = halftone(grey, "am-screen", lpi=600 / period, dpi=600.0, angle=angle)
    yield Case("screen beside text", "screen", beside_text(screened, rng), period, (angle,))
    prints = load_recipe("scan").data.prints[0]
    dots = {dot: chance for dot, chance in prints.print.dots.items() if dot not in ("blue-noise", "grain")}
    for ink in prints.print.inks:
        dot, period = choose(dots, rng), log_uniform(2.4, 13, rng)
        config = replace(prints, unscreened=0.0, print=replace(prints.print, inks={ink: 1.0}, dots={dot: 1.0}, lettering=0.0))
        scan, _, printed, factor = config.pair(photo, rng, period=period)
        angles = tuple(printed.angle + turn * way for turn in INK_ANGLES[ink] for way in (1, -1))
        yield Case(f"print, {ink}", "screen", scan, printed.period * factor, angles)
        if ink == "black":
            own = np.random.default_rng(int(grey.sum()))  # so that what follows stays as it was
            page = beside_text(from_unit(scan if scan.ndim == 2 else scan[..., 1], np.uint8), own)
            yield Case("print beside text, grey scan", "screen", page, printed.period * factor, angles)


def few_level_cases(photo: np.ndarray, grey: np.ndarray, rng: np.random.Generator) -> Iterator[Case]:
    for palette in ("median-cut", "octree", "web"):
        colors = int(2 ** rng.uniform(3, 8))
        yield Case(f"palette, {palette}", "palette", halftone(photo, "palette", colors=colors, palette=palette))
    page = np.full((2 * photo.shape[0], 2 * photo.shape[1], 3), rng.integers(200, 256), np.uint8)
    top, left = (int(rng.integers(extent)) for extent in photo.shape[:2])
    page[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    colors = int(2 ** rng.uniform(4, 8))
    yield Case("palette beside plain paper", "palette", halftone(page, "palette", colors=colors))
    rgb = np.repeat(grey[..., None], 3, axis=2)
    yield Case("palette, grey", "palette", halftone(rgb, "palette", colors=int(rng.integers(4, 17))))
    for title, image in (("few bits, grey", grey), ("few bits, colour", photo)):
        bits = int(rng.integers(2, 6))
        yield Case(title, "few-bit", halftone(image, "bit-depth", bits=bits), facts={"bits": bits})
        bits = int(rng.integers(2, 6))
        top = 2**bits - 1
        yield Case(f"{title}, rescaled", "few-bit", np.rint(np.rint(image / 255 * top) * 255 / top).astype(np.uint8), facts={"bits": bits})
    own = np.random.default_rng(int(grey.sum()))  # so that what follows stays as it was
    for title, image in (("grey", grey), ("colour", photo)):
        kernel, levels = str(own.choice(list(KERNELS))), int(own.choice([3, 4, 5, 6, 8, 16]))
        yield Case(f"few levels, error diffusion, {title}", "palette", halftone(image, kernel, levels=levels))
        size, levels = int(own.choice([2, 4, 8])), int(own.choice([3, 4, 5, 6, 8, 16]))
        yield Case(f"few levels, Bayer, {title}", "palette", halftone(image, "bayer", size=size, levels=levels))


def drawn_cases(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[Case]:
    """What is regular, or of few colours, and no halftone."""
    height, width = shape
    table = table_page(height, width, rng)
    yield Case("table", "line-art", table > 127)
    yield Case("table, grey scan", "continuous", scanned(table, rng))
    squares, paper = int(rng.integers(12, 40)), text_page(height, width, rng)
    paper[squares // 2 :: squares] = np.minimum(paper[squares // 2 :: squares], 170)
    paper[:, squares // 2 :: squares] = np.minimum(paper[:, squares // 2 :: squares], 170)
    yield Case("squared paper, grey scan", "continuous", scanned(paper, rng))
    ramp = np.linspace(rng.integers(60), rng.integers(190, 256), width)[None] + rng.uniform(0, 0.2) * np.arange(height)[:, None]
    yield Case("gradient", "continuous", np.clip(ramp, 0, 255).round().astype(np.uint8))
    chart = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(chart)
    for start in range(0, 360, 45):
        pure = tuple(int(level) * 255 for level in rng.integers(0, 2, 3))
        draw.pieslice((width // 4, height // 6, width // 4 + height // 2, height // 6 + height // 2), start, start + 45, fill=pure)
        draw.rectangle((width // 20, start, width // 20 + 12, start + 12), fill=pure)
    yield Case("drawing in pure colours", "line-art", np.array(chart))


def judge(case: Case, score: Score) -> None:
    """Add one case to its row."""
    found = analyze_pixels(case.pixels)
    right = found.kind == case.kind and all(getattr(found, name) == value for name, value in case.facts.items())
    score.total += 1
    score.right += right
    score.named += found.method is not None
    score.rightly += found.method is not None and found.method == case.method
    within = right
    if right and case.period and found.period:
        score.period_errors.append(abs(found.period / case.period - 1))
        within = score.period_errors[-1] <= PERIOD_TOLERANCE
        if found.angle is not None:
            score.angle_errors.append(min(_between(found.angle, angle, case.turn) for angle in case.angles))
            within = within and score.angle_errors[-1] <= ANGLE_TOLERANCE
    score.within += within
    if not within:
        truth = f"{case.period:.2f} px at {case.angles[0] % 90:.0f} degrees" if case.period and case.angles else case.period or ""
        score.missed.append(f"{case.title} {truth} {case.facts or ''}: {found}")


def _between(first: float, second: float, turn: int) -> float:
    """Degrees."""
    return abs((first - second + turn / 2) % turn - turn / 2)


def evaluate(data: Path, sets: tuple[str, ...] = SETS, every: int = 1, seed: int = 2024) -> dict[str, Score]:
    """Title -> score, over every ``every``-th photograph of the sets."""
    scores: dict[str, Score] = {}
    rng = np.random.default_rng(seed)
    paths = [path for name in sets for path in photo_paths(data / "test" / name)]
    for path in paths[::every]:
        for case in cases(read_rgb(path), rng):
            judge(case, scores.setdefault(f"{case.kind}: {case.title}", Score()))
    return scores


def table(scores: dict[str, Score]) -> str:
    """Markdown: a row a case, then one of each kind."""
    lines = [
        "| | right | period and angle, too | error of period, median; 95 % | of angle, degrees | method right / named |",
        "|---|---|---|---|---|---|",
    ]
    for title, score in sorted(scores.items()):
        within = f"{score.within} / {score.total}" if score.period_errors else ""
        period, angle = _errors(score.period_errors, ".2%"), _errors(score.angle_errors, ".2f")
        named = f"{score.rightly} / {score.named}" if score.named else ""
        lines.append(f"| {title} | {score.right} / {score.total} | {within} | {period} | {angle} | {named} |")
    for kind in sorted({title.split(":")[0] for title in scores}):
        rows = [score for title, score in scores.items() if title.startswith(kind + ":")]
        right, within, total = (sum(getattr(score, name) for score in rows) for name in ("right", "within", "total"))
        lines.append(f"| **{kind}** | {right} / {total} = {right / total:.1%} | {within / total:.1%} | | | |")
    return "\n".join(lines)


def _errors(errors: list[float], form: str) -> str:
    return "; ".join(f"{value:{form}}" for value in np.percentile(errors, (50, 95))) if errors else ""


def page(scores: dict[str, Score], scans: list[tuple[str, str, Analysis]], every: int) -> str:
    """analysis.md."""
    thinned = f" --every {every}" if every > 1 else ""
    lines = [
        "# What `analyze` says\n",
        f"By `python -m training.evaluate_analysis --data DIR{thinned} -o docs` ({software()}).\n",
        "Of each photograph of Kodak24 and CBSD68 one picture of every sort is made, with parameters that no recipe has. *right*: the",
        "kind (and bits, turns, where the sort has them); *period and angle, too*: within",
        f"{PERIOD_TOLERANCE:.0%} and {ANGLE_TOLERANCE:g} degrees.\n",
        table(scores),
    ]
    if scans:
        lines += ["\n## Real scans\n", "| scan | shows | found |\n|---|---|---|"]
        lines += [f"| {name} | {shows} | {found} |" for name, shows, found in scans]
    return "\n".join(lines) + "\n"


def judge_scans(folder: Path) -> Iterator[tuple[str, str, Analysis]]:
    """File, what INDEX.csv says it shows, and what was found."""
    with (folder / "INDEX.csv").open(newline="", encoding="utf-8") as index:
        for row in csv.DictReader(index):
            yield row["file"], row["shows"], analyze(folder / row["file"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with test/kodak24, test/cbsd68 and scans/")
    parser.add_argument("--every", type=count, default=1, metavar="N", help="take every Nth photograph (default: all)")
    parser.add_argument("--misses", action="store_true", help="list what was misjudged")
    parser.add_argument("-o", "--output", type=Path, help="folder for analysis.md (default: it is printed)")
    options = parser.parse_args()
    scores = evaluate(options.data, every=options.every)
    if options.misses:
        print(*(miss for score in scores.values() for miss in score.missed), sep="\n")
    scans = list(judge_scans(options.data / "scans")) if (options.data / "scans" / "INDEX.csv").is_file() else []
    text = page(scores, scans, options.every)
    if options.output:
        write_page(options.output / "analysis.md", text)
    else:
        print(text)


if __name__ == "__main__":
    with said_plainly():
        main()
