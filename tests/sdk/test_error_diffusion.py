"""``sdk.halftoning.error_diffusion``: every kernel as its paper has it, Floyd-Steinberg as Pillow, tones as they were."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from sdk.halftoning import even_levels, halftone
from sdk.halftoning.error_diffusion import KERNELS, Kernel, diffuse
from tests.sdk.pictures import flat

GREY_ARRAYS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))

PAPER_WEIGHTS = {  # divisor, rows as printed in the papers; X is the pixel being halftoned
    "floyd-steinberg": (16, "- X 7 / 3 5 1"),
    "simple-floyd-steinberg": (8, "- X 3 / - 3 2"),
    "jarvis-judice-ninke": (48, "- - X 7 5 / 3 5 7 5 3 / 1 3 5 3 1"),
    "stucki": (42, "- - X 8 4 / 2 4 8 4 2 / 1 2 4 2 1"),
    "atkinson": (8, "- - X 1 1 / - 1 1 1 - / - - 1 - -"),
    "burkes": (32, "- - X 8 4 / 2 4 8 4 2"),
    "sierra": (32, "- - X 5 3 / 2 4 5 4 2 / - 2 3 2 -"),
    "two-row-sierra": (16, "- - X 4 3 / 1 2 3 2 1"),
    "sierra-lite": (4, "- X 2 / 1 1 -"),
}


STEVENSON_ARCE = (200, "- - - X - 32 - / 12 - 26 - 30 - 16 / - 12 - 26 - 12 - / 5 - 12 - 12 - 5")


def slow_error_diffusion(grey: np.ndarray, weights_of: tuple[int, str], serpentine: bool) -> np.ndarray:
    """Error diffusion as the papers write it, with Pillow's integer arithmetic, pixel by pixel."""
    divisor, text = weights_of
    rows = [row.split() for row in text.split(" / ")]
    centre = rows[0].index("X")
    weights = {(dy, dx - centre): int(w) for dy, row in enumerate(rows) for dx, w in enumerate(row) if w.isdigit()}
    height, width = grey.shape
    white = np.zeros((height, width), bool)
    incoming = np.zeros((height, width), int)
    for y in range(height):
        direction = -1 if serpentine and y % 2 else 1
        for x in range(width)[::direction]:
            value = min(max(int(grey[y, x]) + int(incoming[y, x] / divisor), 0), 255)
            white[y, x] = value > 128
            error = value - 255 * int(white[y, x])
            for (dy, dx), weight in weights.items():
                row, column = y + dy, x + direction * dx
                if row < height and 0 <= column < width:
                    incoming[row, column] += error * weight
    return white


@pytest.mark.parametrize("name", sorted(KERNELS.keys() - {"atkinson"}))
@pytest.mark.parametrize("serpentine", [False, True])
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_error_diffusion_keeps_tone(name: str, serpentine: bool, grey: int) -> None:
    assert abs(halftone(flat(grey), name, serpentine=serpentine).mean() - grey / 255) <= 0.02


def test_atkinson_drops_a_quarter_of_the_error() -> None:
    assert halftone(flat(20), "atkinson").mean() < 20 / 255 - 0.02
    assert halftone(flat(235), "atkinson").mean() > 235 / 255 + 0.02


def test_floyd_steinberg_equals_pillow_on_a_photo(photo: np.ndarray, white: np.ndarray) -> None:
    ours = halftone(photo, "floyd-steinberg")
    np.testing.assert_array_equal(ours, np.asarray(Image.fromarray(photo).convert("1")))
    np.testing.assert_array_equal(ours, white)  # the sample that is handed out


@settings(max_examples=200, deadline=None)
@given(grey=GREY_ARRAYS)
def test_floyd_steinberg_equals_pillow(grey: np.ndarray) -> None:
    np.testing.assert_array_equal(halftone(grey, "floyd-steinberg"), np.asarray(Image.fromarray(grey).convert("1")))


def test_every_kernel_has_a_reference() -> None:
    assert KERNELS.keys() == PAPER_WEIGHTS.keys()


@pytest.mark.parametrize("name", PAPER_WEIGHTS)
@pytest.mark.parametrize("serpentine", [False, True])
def test_kernels_follow_their_papers(photo: np.ndarray, name: str, serpentine: bool) -> None:
    grey = photo[100:160, 200:280]
    np.testing.assert_array_equal(halftone(grey, name, serpentine=serpentine), slow_error_diffusion(grey, PAPER_WEIGHTS[name], serpentine))


@pytest.mark.parametrize("name", PAPER_WEIGHTS)
@settings(max_examples=25, deadline=None)
@given(grey=GREY_ARRAYS, serpentine=st.booleans())
def test_kernels_follow_their_papers_on_any_array(name: str, grey: np.ndarray, serpentine: bool) -> None:
    np.testing.assert_array_equal(halftone(grey, name, serpentine=serpentine), slow_error_diffusion(grey, PAPER_WEIGHTS[name], serpentine))


@pytest.mark.parametrize("serpentine", [False, True])
def test_kernels_may_reach_further_than_ours(photo: np.ndarray, serpentine: bool) -> None:
    """Stevenson & Arce 1985, for hexagonal grids: three px sideways, three rows down."""
    kernel = Kernel(200, ((0, 32, 0), (12, 0, 26, 0, 30, 0, 16), (0, 12, 0, 26, 0, 12, 0), (5, 0, 12, 0, 12, 0, 5)), "")
    grey = photo[100:160, 200:280]
    np.testing.assert_array_equal(
        diffuse(grey, kernel, serpentine, even_levels(2)) > 0, slow_error_diffusion(grey, STEVENSON_ARCE, serpentine)
    )


@pytest.mark.parametrize("name", KERNELS)
def test_serpentine_differs_from_raster(photo: np.ndarray, name: str) -> None:
    raster, serpentine = halftone(photo, name), halftone(photo, name, serpentine=True)
    np.testing.assert_array_equal(raster[0], serpentine[0])  # the first row is read forwards by both
    assert np.mean(raster != serpentine) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_error_diffusion_takes_under_40_ms_a_megapixel(photo: np.ndarray, name: str) -> None:
    grey = np.tile(photo, (2, 2))[:1024, :1024]
    halftone(grey, name)  # compiles
    times = []
    for _ in range(7):
        start = time.thread_time()  # not the clock on the wall, which a busy machine would spoil
        halftone(grey, name)
        times.append(time.thread_time() - start)
    assert min(times) < 0.040


def test_error_diffusion_where_nothing_can_be_kept() -> None:
    """Neither beside the package nor in a home, as in a container with a read-only root."""
    code = (
        "import numpy as np, sdk\n"
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "print(sdk.Halftoner('floyd-steinberg').run(np.full((16, 16), 128, np.uint8)).mean())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 0.4 < float(done.stdout) < 0.6
