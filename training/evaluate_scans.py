"""Measure a model for scans of print: ``python -m training.evaluate_scans scan --data DIR -o docs``.

Two parts. Simulated prints of the test pictures (fixed seed; the recipe's simulator on photographs it never saw), where
the true tone is known: PSNR, SSIM, LPIPS beside a Gaussian blur, non-local means and an FFT notch, all tuned on val and
told the true screen period. Real scans in DIR/scans, where it is not: residual and acutance (``training.descreening``).
Writes <out>/evaluations/scans/<model>.json and <out>/scans.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import sdk
from sdk.analysis.spectrum import PERIODS
from sdk.images import from_unit
from training.arguments import count
from training.config import load_recipe
from training.data import evenly, photo_paths, read_rgb
from training.descreening import acutance, notch, residual, screen_peaks
from training.errors import said_plainly
from training.metrics import Lpips
from training.results import by_key, cell, lpips_of, mean_scores, parser, present, result_of, write
from training.scanning import PrintScan
from training.tuning import Filters, tune

PICTURES = """![Each row: the scan, a Gaussian blur that hides its screen, the FFT notch, scan.](images/scans.jpg)

*Each row: the scan, a Gaussian blur of 0.45 periods, the FFT notch, `scan`; every pixel as 2x2. Source gallica.bnf.fr / BnF,
but for the last row, a page printed and scanned by our simulator. Made by `python -m docs.make_docs`.*
"""

NOTES = """What fails, and why:

- Strong screens (`ad_airplane6`, `ad_moto3`, `ad_truck4`, `mag_3`, `press_macro`, `iph_kahanamoku`) keep 10 to 16 dB: waves of one or
  two grey levels, which the spectrum shows more clearly than the eye, since everything around them is smooth.
- `ftp_portrait_bw` was enlarged pixel by pixel: its dots of 10 px are blocks. They go, and so does what they pretended of sharpness.
- `ftp_leaf_pattern` is an embossed pattern and `gab_ship_moire` is moire, both without a lattice of dots; they stay in part.
- In dark, ragged newsprint (`press1930s_05`, `_10`) fine texture goes with the dots, and edges look painted at twice the size.
- Where the screen is finer than about 2.5 px, texture nearly as fine (grass, plaid, the spokes of wheels) is taken for dots: a mild blur
  leaves more of it."""
"""Of the scans that the released model was measured on; the last written after looking at the pictures."""

SETS = ("kodak24", "cbsd68")
COLOURS = ("grey", "colour")
AM_DOTS = ("round", "ellipse", "diamond", "line")


def simulator(colour: str) -> PrintScan:
    """The recipe's, with a screen all over every print and each photograph as it is; one black ink for ``grey``, four for ``colour``."""
    prints = load_recipe("scan").data.prints[0]
    inks = {"black": 1.0} if colour == "grey" else {"process": 1.0}
    dots = {dot: prints.print.dots[dot] for dot in AM_DOTS}
    return replace(
        prints,
        unscreened=0.0,
        detail=(0.0, 0.0),
        print=replace(prints.print, inks=inks, dots=dots, lettering=0.0),
        scan=replace(prints.scan, grey=float(colour == "grey"), thresholded=0.0),
    )


def simulated_prints(folder: Path, colour: str, limit: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """(scan, true tone, period): uint8 HxW (grey) or HxWx3, and px; of ``limit`` evenly chosen pictures. No two sets share draws."""
    simulate = simulator(colour)
    paths = photo_paths(folder)
    draws = zlib.crc32(f"{folder.name}, {colour}".encode())
    for i, path in enumerate(paths if limit is None else evenly(paths, limit)):
        scan, tone, printed, enlarged = simulate.pair(read_rgb(path), np.random.default_rng((draws, i)))
        planes = 0 if colour == "grey" else slice(None)
        yield from_unit(scan, np.uint8)[..., planes].copy(), from_unit(tone, np.uint8)[..., planes].copy(), printed.period * enlarged


def gaussian(scan: np.ndarray, period: float, spread: float) -> np.ndarray:
    """A blur whose standard deviation is ``spread`` periods."""
    return cv2.GaussianBlur(scan, (0, 0), spread * period)


def non_local_means(scan: np.ndarray, period: float, spread: float, strength: float) -> np.ndarray:
    blurred = gaussian(scan, period, spread)
    if scan.ndim == 2:
        return cv2.fastNlMeansDenoising(blurred, None, strength, 7, 21)
    bgr = cv2.cvtColor(blurred, cv2.COLOR_RGB2BGR)  # it goes to Lab and back
    return cv2.cvtColor(cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 7, 21), cv2.COLOR_BGR2RGB)


def fft_notch(scan: np.ndarray, period: float, threshold: float, width: float, sigma: float) -> np.ndarray:
    return notch(scan, threshold, width, protect=0.5 / period, sigma=sigma)


FILTERS: Filters = {
    "Gaussian": (gaussian, {"spread": (0.16, 0.2, 0.25, 0.32, 0.4, 0.5)}),
    "non-local means": (non_local_means, {"spread": (0.16, 0.25, 0.4), "strength": (5, 10, 20)}),
    "FFT notch": (fft_notch, {"threshold": (6, 9, 13.5), "width": (1, 2, 4), "sigma": (0.4, 0.8, 1.6)}),
}


def measure_prints(data: Path, restorer: sdk.InverseHalftoner, lpips: Lpips, limit: int | None) -> Iterator[dict]:
    """One row a restorer, colour and set."""
    name = restorer.metadata.name
    sets = present(SETS, [folder.name for folder in (data / "test").glob("*")], data)
    for colour in COLOURS:
        restorers = {name: ({}, lambda scan, period: restorer.run(scan))}
        tuning = simulated_prints(data / "val", colour, limit=12)
        restorers |= tune(FILTERS, [((scan, period), tone) for scan, tone, period in tuning])
        for set_name in sets:
            prints = list(simulated_prints(data / "test" / set_name, colour, limit))
            for title, (settings, restore) in restorers.items():
                means = mean_scores(((restore(scan, period), tone) for scan, tone, period in prints), lpips)
                yield {"restorer": title, "dither": f"{colour} print", "set": set_name, "settings": settings, **means}


def measure_scans(folder: Path, restorer: sdk.InverseHalftoner) -> Iterator[dict]:
    """One row a real scan that shows a screen."""
    for path in photo_paths(folder):
        scan = read_rgb(path)
        found = screen_peaks(scan)
        if not found:
            continue
        restored = restorer.run(scan)
        notched = notch(scan, protect=0.5 / max(peak.period for peak in found))
        yield {
            "scan": path.name,
            "period": round(found[0].period, 2),
            "before": round(max(peak.prominence for peak in found), 1),
            "residual": round(residual(scan, restored, found), 1),
            "acutance": round(acutance(scan, restored, found), 2),
            "notch_residual": round(residual(scan, notched, found), 1),
            "notch_acutance": round(acutance(scan, notched, found), 2),
        }


def page(result: dict) -> str:
    """scans.md from the JSON."""
    model, rows, scans = result["model"], result["rows"], result["scans"]
    titles = list(dict.fromkeys(row["restorer"] for row in rows))
    score = by_key(rows)
    ours = any("ad_airplane6" in row["scan"] for row in scans)
    low, high = load_recipe("scan").data.prints[0].print.period
    limit = f" --limit {result['limit']}" if result["limit"] else ""
    lines = [
        f"# `{model}` on prints\n",
        f"By `python -m training.evaluate_scans {model} --data DIR{limit} -o docs` ({result['software']}).\n",
        *([PICTURES] if ours else []),
        "## Simulated prints: PSNR (dB) / SSIM / LPIPS\n",
        f"{f'{limit[9:]} evenly chosen pictures of each set' if limit else 'All test pictures'}, printed and scanned by the simulator\n"
        f"(periods {low:g}..{high:g} px, AM screens, fixed seed).\n"
        "The Gaussian, non-local means and the FFT notch are tuned on val and told the true period. *gain*: PSNR above the best of them;\n"
        "*LPIPS ratio*: to the lowest of theirs.\n",
        f"| | {' | '.join(titles)} | gain, dB | LPIPS ratio |\n|---|{'---|' * (len(titles) + 2)}",
    ]
    for dither, set_name in dict.fromkeys((row["dither"], row["set"]) for row in rows):
        found = [score[title, dither, set_name] for title in titles]
        cells = " | ".join(map(cell, found))
        gain = found[0]["psnr"] - max(row["psnr"] for row in found[1:])
        ratio = found[0]["lpips"] / min(row["lpips"] for row in found[1:])
        lines.append(f"| {set_name}, {dither} | {cells} | {gain:+.2f} | {ratio:.2f} |")
    if scans:
        lines += [
            "\n## Real scans with a screen\n",
            "*before*, *residual*: dB of the strongest screen peak above its surroundings, of periods from "
            f"{PERIODS[0]:g} to {PERIODS[1]:g} px\n"
            "(some scans have a stronger one below, which `inverse-halftoner analyze` names); *acutance*: sharpness against the blur of\n"
            "equal effect. The notch removes the peaks and nothing else: raggedness of dots, grain of paper and ringing stay, and count\n"
            "as sharpness here; the pictures above show the difference.\n",
            "| scan | period, px | before | residual | acutance | FFT notch: residual | acutance |\n" + 7 * "|---" + "|",
        ]
        keys = ("period", "before", "residual", "acutance", "notch_residual", "notch_acutance")
        lines += [f"| {row['scan']} | {' | '.join(str(row[key]) for key in keys)} |" for row in scans]
        medians = [f"{np.median([row[key] for row in scans]):.2f}" for key in keys[1:]]
        lines += [f"| **median of {len(scans)}** | | {' | '.join(medians)} |", *([f"\n{NOTES}"] if ours else [])]
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = parser(__doc__, "folder with val/, test/kodak24, test/cbsd68, and scans/ if there are any")
    arguments.add_argument("--limit", type=count, help="pictures of each set (default: all)")
    options = arguments.parse_args()
    restorer = sdk.InverseHalftoner(options.model, device="cpu")
    scans = options.data / "scans"
    if not scans.is_dir():
        print(f"{scans} is missing: no real scans are measured, and the page will have none.")
    rows = list(measure_prints(options.data, restorer, lpips_of(options.data), options.limit))
    found = list(measure_scans(scans, restorer)) if scans.is_dir() else []
    result = {**result_of(restorer.metadata, rows), "limit": options.limit, "scans": found}
    write(options.output, "scans", result, page(result))


if __name__ == "__main__":
    with said_plainly():
        main()
