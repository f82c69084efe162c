"""Measure made halftones: ``python -m training.evaluate_halftones cdh --data DIR -o docs``.

Tone: the error that is left when halftone and photograph are smoothed as the eye does. Spectrum: the radially averaged power of
halftones of constant greys (Ulichney 1987); blue noise has little below its principal frequency. Against Floyd-Steinberg and
void-and-cluster. With ``--teachers`` also the diffusion models before distillation, with and without meta-halftones, as they are and
after the direct binary search by which the SDK mends the tones of released models.
Writes evaluations/halftones/halftones.json, halftones.md and images/halftone_spectra.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

import sdk
from sdk.catalog import metadata_of
from sdk.images import to_unit
from sdk.networks.direct_binary_search import search
from training.checkpoints import load_model
from training.data import photo_paths, read_grey
from training.errors import TrainingError, said_plainly
from training.metrics import TONE_SIGMA, tone_error
from training.models.cdh import HalftoneCDH
from training.precision import accelerated
from training.results import software, weights_of, write
from training.testsets import centre_256
from training.whole_pictures import runner

Halftone = Callable[[np.ndarray, int], np.ndarray]
"""(uint8 HxW, seed) -> bool HxW."""

GREYS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
SIDE, MARGIN, SEEDS = 128, 16, 4
LOW = 0.5
"""Frequencies below this share of the principal one count as low."""


@cache
def spectrum(halftone: Halftone, grey: float) -> tuple[np.ndarray, np.ndarray]:
    """Radial frequencies (cycles a px) and the power there, in units of the variance g (1 - g), whose white noise is 1."""
    flat = np.full((SIDE + 2 * MARGIN, SIDE + 2 * MARGIN), round(255 * grey), np.uint8)
    window = np.outer(*2 * [np.hanning(SIDE + 1)[:-1]])  # without it, masks whose side divides SIDE would have the least leakage
    power = np.zeros((SIDE, SIDE))
    for seed in range(SEEDS):
        pattern = halftone(flat, seed)[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float64)
        uneven = pattern - np.average(pattern, weights=window)
        power += np.abs(np.fft.fft2(uneven * window)) ** 2 / ((window**2).sum() * grey * (1 - grey)) / SEEDS
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    rings = np.round(np.hypot(fy, fx) * SIDE).astype(int)
    count = SIDE // 2
    means = np.bincount(rings.ravel(), power.ravel())[1 : count + 1] / np.bincount(rings.ravel())[1 : count + 1]
    return np.arange(1, count + 1) / SIDE, means


def low_frequency_power(halftone: Halftone, grey: float) -> float:
    """dB of the mean power below ``LOW`` times the principal frequency, sqrt(g) or sqrt(1 - g) cycles a px (Ulichney 1987)."""
    frequencies, power = spectrum(halftone, grey)
    return float(10 * np.log10(power[frequencies < LOW * min(grey, 1 - grey) ** 0.5].mean() + 1e-6))


def teacher(path: Path, steps: int = 50) -> Halftone:
    """A halftone diffusion model as it is before distillation."""
    model, recipe, _ = load_model(path)
    if not isinstance(model, HalftoneCDH):
        raise TrainingError(f"{path} is a {recipe.architecture}; give weights of a cdh-halftone.")
    model.steps = steps
    run = runner(model, accelerated())

    @cache
    def halftone(photo: bytes, width: int, seed: int) -> np.ndarray:
        return run(np.frombuffer(photo, np.uint8).reshape(-1, width), seed) > 0.5

    return lambda photo, seed: halftone(photo.tobytes(), photo.shape[1], seed)


def searched(halftone: Halftone) -> Halftone:
    """Followed by the SDK's direct binary search."""
    return lambda photo, seed: search(halftone(photo, seed), to_unit(photo))


def _run(halftoner: sdk.Halftoner, photo: np.ndarray, seed: int) -> np.ndarray:
    return np.asarray(halftoner.run(photo, seed=seed))


def measured(title: str, halftone: Halftone, photos: list[np.ndarray], model: str | None = None) -> dict:
    """A row; ``psnr`` is that of the tones, ``model`` the weights."""
    flat, error = np.full((SIDE, SIDE), 96, np.uint8), float(np.mean([tone_error(halftone(photo, 0), photo) for photo in photos]))
    return {
        "restorer": title,
        "model": model,
        "dither": "tones",
        "set": "kodak24",
        "psnr": round(20 * float(np.log10(255 / error)), 3),
        "tone_error": round(error, 3),
        "low_frequency_dB": {str(grey): round(low_frequency_power(halftone, grey), 2) for grey in GREYS},
        "differs_by_seed": round(float(np.mean(halftone(flat, 0) != halftone(flat, 1))), 4),
    }


def plot(halftones: dict[str, Halftone], target: Path, greys: tuple[float, ...] = (0.1, 0.3, 0.5)) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(greys), figsize=(4 * len(greys), 3.4), sharey=True, constrained_layout=True)
    for axis, grey in zip(axes, greys):
        for title, halftone in halftones.items():
            frequencies, power = spectrum(halftone, grey)
            axis.plot(frequencies, 10 * np.log10(power + 1e-4), label=title, linewidth=1.2)
        axis.axvline(min(grey, 1 - grey) ** 0.5, color="grey", linewidth=0.6, linestyle=":")
        axis.set(title=f"grey {grey:g}", xlabel="cycles a pixel", ylim=(-40, 15))
    axes[0].set_ylabel("power, dB (white noise = 0)")
    axes[-1].legend(fontsize=7)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def page(result: dict) -> str:
    rows = {row["restorer"]: row for row in result["rows"]}
    reference = rows["blue-noise"]["low_frequency_dB"]
    lines = [
        "# Halftones made by networks\n",
        f"By `{result['command']}` ({result['software']}).\n"
        f"Tone: root mean square error after a Gaussian of {TONE_SIGMA:g} px, in grey levels, on kodak24 at 256x256.\n"
        f"Low frequencies: mean power of halftones of constant greys below {LOW:g} of the principal frequency, above that of\n"
        f"void-and-cluster; the greatest of greys {', '.join(f'{grey:g}' for grey in GREYS)}.\n"
        "Seeds: share of the pixels that another seed changes in a flat grey. Where a model's metadata say so, as those of `cdh` do, the\n"
        "SDK mends its tones by direct binary search (DBS); the diffusion models before distillation are measured with it and without.\n",
        "| | tone error (PSNR, dB) | against Floyd-Steinberg | low frequencies, dB above void-and-cluster | changed by the seed |",
        "|---|---|---|---|---|",
    ]
    for title, row in rows.items():
        ratio = row["tone_error"] / rows["floyd-steinberg"]["tone_error"]
        above = max(row["low_frequency_dB"][grey] - reference[grey] for grey in reference)
        tones = f"{row['tone_error']:.2f} ({row['psnr']:.2f}) | {ratio:.2f}"
        lines.append(f"| {title} | {tones} | {above:+.1f} | {100 * row['differs_by_seed']:.0f} % |")
    lines.append("\n![Radially averaged power spectra of halftones of three greys](images/halftone_spectra.png)")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="released halftoning models, or .onnx files")
    parser.add_argument("--teachers", nargs="*", type=Path, default=[], metavar="WEIGHTS", help="diffusion models before distillation")
    parser.add_argument("--data", type=Path, required=True, help="folder with test/kodak24")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), help="folder for the results (default: runs)")
    options = parser.parse_args()
    photos = [centre_256(read_grey(path)) for path in photo_paths(options.data / "test" / "kodak24")]
    classical = {name: sdk.Halftoner(name) for name in ("floyd-steinberg", "blue-noise")}
    halftones: dict[str, Halftone] = {
        "floyd-steinberg": lambda photo, seed: np.asarray(classical["floyd-steinberg"].run(photo)),
        "blue-noise": partial(_run, classical["blue-noise"]),
    }
    weights: dict[str, str] = {}
    for model in options.models:
        learned = sdk.Halftoner(model, device="cpu")
        halftones[learned.describe()["model"]] = partial(_run, learned)
        weights[learned.describe()["model"]] = weights_of(metadata_of(model).training)
    for path in options.teachers:
        recipe = load_model(path)[1]
        guided = "with" if recipe.model.get("guided") else "without"
        title = f"{recipe.name}, 50 DDIM steps, {guided} meta-halftones"
        if title in halftones:
            raise TrainingError(f"{path} is a {recipe.name!r}, as another of --teachers is; give one of them.")
        halftones[title] = teacher(path)
        halftones[f"{title}, DBS"] = searched(halftones[title])
    rows = [measured(title, halftone, photos, weights.get(title)) for title, halftone in halftones.items()]
    teachers = f" --teachers {' '.join(map(str, options.teachers))}" if options.teachers else ""
    command = f"python -m training.evaluate_halftones {' '.join(options.models)}{teachers} --data DIR -o docs"
    result = {"model": "halftones", "command": command, "software": software(), "rows": rows}
    write(options.output, "halftones", result, page(result))
    plot(halftones, options.output / "images" / "halftone_spectra.png")


if __name__ == "__main__":
    with said_plainly():
        main()
