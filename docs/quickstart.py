"""What `make run` shows: a bundled 1-bit halftone and bundled scans of print restored, with the bare install (no torch)."""

import time
from pathlib import Path

import sdk
from sdk.files import read
from sdk.metrics import psnr

SAMPLES = Path(__file__).parent / "samples"
OUTPUT = Path("output")
SCANS = ("gallica_press_1910s.jpg", "gallica_ad_truck4.jpg", "page_85lpi_300dpi.jpg")


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    restorer = sdk.InverseHalftoner("auto", on_choice=lambda choice: print(f"  {choice}"))

    print("Kodak picture 23, 1-bit Floyd-Steinberg")
    source, target = SAMPLES / "kodim23_floyd-steinberg.png", OUTPUT / "kodim23_restored.png"
    started = time.perf_counter()
    restorer.run_file(source, target, overwrite=True)
    seconds = time.perf_counter() - started
    halftone, restored, photo = (read(path).pages[0].pixels for path in (source, target, SAMPLES / "kodim23_grey.png"))
    print(f"  Floyd-Steinberg: {psnr(restored, photo):.2f} dB (the dots themselves: {psnr(halftone * 255, photo):.2f} dB), {seconds:.2f} s")

    for name in SCANS:
        print(f"{name} (Source gallica.bnf.fr / BnF)" if name.startswith("gallica") else name)
        restorer.run_file(SAMPLES / name, OUTPUT / f"{Path(name).stem}_restored.png", overwrite=True)
    print(f"Before: {SAMPLES}/  after: {OUTPUT.resolve()}/")


if __name__ == "__main__":
    main()
