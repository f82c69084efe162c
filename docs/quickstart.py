"""What `make run` shows: two bundled halftones restored, with the bare install (no torch)."""

import time
import warnings
from pathlib import Path

import numpy as np

import sdk
from sdk.files import read

SAMPLES = Path(__file__).parent / "samples"
OUTPUT = Path("output")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    restorer = sdk.InverseHalftoner("fast")

    halftone, photo = SAMPLES / "kodim23_floyd-steinberg.png", read(SAMPLES / "kodim23_grey.png").pages[0].pixels
    started = time.perf_counter()
    restored = restorer.run(halftone)
    seconds = time.perf_counter() - started
    restorer.run_file(halftone, OUTPUT / "kodim23_restored.png", overwrite=True)
    dots = read(halftone).pages[0].pixels * 255
    gain = f"{psnr(restored, photo):.2f} dB (the dots themselves: {psnr(dots, photo):.2f} dB)"
    print(f"Kodak picture 23, 1-bit Floyd-Steinberg: {gain}, {seconds:.2f} s")

    # A grey scan of print is not what `fast` was trained on (the SDK says so), yet coarse screens like this one come out well.
    warnings.simplefilter("ignore", sdk.NotTwoLevelsWarning)
    restorer.run_file(SAMPLES / "gallica_press_1910s.jpg", OUTPUT / "gallica_press_1910s_restored.png", overwrite=True)
    print("Press scan of the 1910s (Source gallica.bnf.fr / BnF): restored")
    print(f"Before: {SAMPLES}/  after: {OUTPUT.resolve()}/")


if __name__ == "__main__":
    main()
