"""The kernels of ``kernels.cu``: found or compiled, and launched with one struct.

They are compiled by NVRTC for the GPU at hand, in a fraction of a second, unless ``kernels-<hash>.fatbin`` lies beside the source;
``python -m sdk.cuda.kernels`` makes it by nvcc. The hash is the source's, so that a stale one is not taken.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from sdk.cuda.driver import Driver, Extent
from sdk.errors import DeviceError, MissingDependencyError

SOURCE = Path(__file__).with_name("kernels.cu")
NAMES = ("find_colour", "count_patterns", "unpack", "blend")
ARCHITECTURES = ((7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0))
"""Compute capabilities that a prebuilt file holds (8.7 is Jetson Orin); as PTX the first serves all newer GPUs."""
BLOCK = (32, 8, 1)

POINTER, LONG, INT, FLOAT = "u8", "i8", "i4", "f4"


def _struct(*fields: tuple[str, np.typing.DTypeLike]) -> np.dtype:
    """Fields as (names, type); several names of one type stand together, as in C."""
    return np.dtype([(name, kind) for names, kind in fields for name in names.split()], align=True)


AXIS = _struct(("starts first weights", POINTER), ("length tiles tile extent", INT))
"""``struct Axis`` of kernels.cu; pointers are addresses."""
JOB = _struct(
    ("rows columns", AXIS),
    ("source target inputs results has_colour patterns", POINTER),
    ("source_row source_column source_plane result_batch", LONG),
    ("source_kind target_kind colours channels has_alpha planes conditions half_inputs half_results batch first_tile every_nth", INT),
    ("threshold condition", FLOAT),
)
"""``struct Job`` of kernels.cu."""

BITS, BOOL, UINT8, UINT16, FLOAT32, UNCLIPPED = range(6)
KINDS = {np.dtype(np.bool_): BOOL, np.dtype(np.uint8): UINT8, np.dtype(np.uint16): UINT16, np.dtype(np.float32): FLOAT32}

_loaded: dict[tuple[str, int, bytes | str], dict[str, Any]] = {}
"""(driver layer, GPU, code) -> kernels: all drivers of a GPU share its primary context, and so what was loaded into it."""


class Kernels:
    """The kernels on one GPU; make and use it within ``with driver:``. A job is a ``JOB``."""

    def __init__(self, driver: Driver):
        prebuilt = prebuilt_path()
        code = prebuilt.read_bytes() if prebuilt.exists() else SOURCE.read_text(encoding="utf-8")
        key = driver.name, driver.device, code
        if key not in _loaded:
            _loaded[key] = driver.load_kernels(code, NAMES)
        self._driver = driver
        self._kernels = _loaded[key]

    def find_colour(self, job: np.void) -> None:
        """Queue: ``has_colour`` becomes 1 where the source's three planes differ."""
        self._launch("find_colour", job, job["columns"]["length"], job["rows"]["length"])

    def count_patterns(self, job: np.void) -> None:
        """Queue: adds to ``patterns`` how often each occurs, as ``sdk.analysis.methods.count_patterns``, but none of plain surroundings."""
        self._launch("count_patterns", job, job["columns"]["length"], job["rows"]["length"], job["colours"])

    def unpack(self, job: np.void) -> None:
        """Queue: source -> one batch of tiles, from ``first_tile`` on."""
        self._launch("unpack", job, job["columns"]["extent"], job["rows"]["extent"], job["batch"] * (job["planes"] + job["conditions"]))

    def blend(self, job: np.void) -> None:
        """Queue: the results of all batches -> target."""
        self._launch("blend", job, job["columns"]["length"], job["rows"]["length"])

    def _launch(self, name: str, job: np.void, width: np.integer, height: np.integer, depth: int | np.integer = 1) -> None:
        grid: Extent = (-(-int(width) // BLOCK[0]), -(-int(height) // BLOCK[1]), int(depth))
        self._driver.launch(self._kernels[name], grid, BLOCK, job)


def prebuilt_path() -> Path:
    """Where the compiled form of this very source would lie."""
    return SOURCE.with_name(f"kernels-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.fatbin")


def build_fatbin(target: Path) -> str:
    """Compile for all ``ARCHITECTURES`` that nvcc knows (10.0 and 12.0 came with CUDA 12.8); gives its report of registers and spills.

    Raises ``DeviceError`` with its errors.
    """
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise MissingDependencyError(
            "nvcc is not on the PATH. Install the CUDA toolkit; without it NVRTC compiles the kernels at first use."
        )
    known = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True).stdout.split()
    numbers = [f"{major}{minor}" for major, minor in ARCHITECTURES if f"sm_{major}{minor}" in known]
    if not numbers:
        raise DeviceError(f"nvcc failed on {SOURCE.name}: of our GPUs it lists none ({', '.join(known) or 'it lists nothing'}).")
    codes = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in numbers] + [f"-gencode=arch=compute_{numbers[0]},code=compute_{numbers[0]}"]
    command = [nvcc, "-std=c++17", "-fatbin", "-Xptxas=-v", *codes, "-o", str(target), str(SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise DeviceError(f"nvcc failed on {SOURCE.name}. {result.stderr.strip()}")
    return result.stderr


if __name__ == "__main__":
    print(build_fatbin(prebuilt_path()))
