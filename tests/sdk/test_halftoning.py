"""``sdk.halftoning``: every method against its definition, on flat tones, photographs and random arrays."""

from __future__ import annotations

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from sdk.errors import OptionError, UnsupportedImageError
from sdk.halftoning import METHODS, halftone, thresholds
from sdk.halftoning.error_diffusion import KERNELS
from sdk.halftoning.palettes import PALETTE_DITHERS

BINARY = sorted(METHODS.keys() - {"palette", "bit-depth"})
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


def flat(grey: int, size: int = 128) -> np.ndarray:
    return np.full((size, size), grey, np.uint8)


def slow_error_diffusion(grey: np.ndarray, name: str, serpentine: bool) -> np.ndarray:
    """Error diffusion as the papers write it, with Pillow's integer arithmetic, pixel by pixel."""
    divisor, text = PAPER_WEIGHTS[name]
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


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(37, 50), (37, 50, 3)])
def test_shape_and_dtype(name: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    halftoned = halftone(image, name)
    assert halftoned.dtype == (bool if name in BINARY else np.uint8)
    assert halftoned.shape == ((37, 50, 3) if name == "palette" else shape)


@pytest.mark.parametrize("name", METHODS)
def test_input_is_left_alone(name: str) -> None:
    image = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    before = image.copy()
    halftone(image, name)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", METHODS)
def test_black_stays_black_and_white_white(name: str) -> None:
    brightest = {"palette": 255, "bit-depth": 224}.get(name, True)  # eq. 2 of Hou & Qiu does not rescale
    assert (halftone(flat(0, 40), name) == 0).all()
    assert (halftone(flat(255, 40), name) == brightest).all()


# ---- mean tone of flat areas


@pytest.mark.parametrize("name", sorted(KERNELS.keys() - {"atkinson"}))
@pytest.mark.parametrize("serpentine", [False, True])
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_error_diffusion_keeps_tone(name: str, serpentine: bool, grey: int) -> None:
    assert abs(halftone(flat(grey), name, serpentine=serpentine).mean() - grey / 255) <= 0.02


def test_atkinson_drops_a_quarter_of_the_error() -> None:
    assert halftone(flat(20), "atkinson").mean() < 20 / 255 - 0.02
    assert halftone(flat(235), "atkinson").mean() > 235 / 255 + 0.02


@pytest.mark.parametrize(
    ("name", "size"),
    [("bayer", 2), ("bayer", 4), ("bayer", 8), ("bayer", 16), ("clustered-dot", 4), ("clustered-dot", 8), ("blue-noise", 32)],
)
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_ordered_dither_keeps_tone_within_one_level(name: str, size: int, grey: int) -> None:
    assert abs(halftone(flat(grey), name, size=size).mean() - grey / 255) <= 1 / size**2


@pytest.mark.parametrize("dot", thresholds.DOTS)
@pytest.mark.parametrize(("angle", "tolerance"), [(20, 0.005), (45, 0.04)])  # at 45 degrees few heights of the dot fall on pixels
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_am_screen_keeps_tone(dot: str, angle: float, tolerance: float, grey: int) -> None:
    assert abs(halftone(flat(grey, 256), "am-screen", dot=dot, angle=angle).mean() - grey / 255) <= tolerance


@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255), seed=st.integers(0, 2**32))
def test_white_noise_keeps_tone(grey: int, seed: int) -> None:
    sigmas = 6
    assert abs(halftone(flat(grey, 256), "white-noise", seed=seed).mean() - grey / 255) <= sigmas * 0.5 / 256


@pytest.mark.parametrize("palette", ["median-cut", "octree", "web"])
@settings(max_examples=30, deadline=None)
@given(grey=st.integers(0, 255))
def test_palette_keeps_tone(palette: str, grey: int) -> None:
    assert abs(halftone(flat(grey), "palette", palette=palette).mean() - grey) <= 0.02 * 255


@pytest.mark.parametrize("dither", ["floyd-steinberg", "bayer"])
def test_dithered_palette_keeps_the_mean_of_a_gradient(dither: str) -> None:
    """Also the ordered one, though Pillow looks colours up by the lowest of four levels."""
    ramp = np.tile(np.arange(40, 216, dtype=np.uint8), (64, 1))
    reduced = halftone(np.dstack([ramp] * 3), "palette", palette="web", dither=dither)
    assert reduced.mean() == pytest.approx(ramp.mean(), abs=0.5)


# ---- error diffusion


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
    np.testing.assert_array_equal(halftone(grey, name, serpentine=serpentine), slow_error_diffusion(grey, name, serpentine))


@pytest.mark.parametrize("name", PAPER_WEIGHTS)
@settings(max_examples=25, deadline=None)
@given(grey=GREY_ARRAYS, serpentine=st.booleans())
def test_kernels_follow_their_papers_on_any_array(name: str, grey: np.ndarray, serpentine: bool) -> None:
    np.testing.assert_array_equal(halftone(grey, name, serpentine=serpentine), slow_error_diffusion(grey, name, serpentine))


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


# ---- ordered dither and screens


def ranks(threshold: np.ndarray) -> np.ndarray:
    """Thresholds as 0 .. size-1, checking that they are evenly spaced and each occurs once."""
    values = threshold.astype(np.float64) * threshold.size - 0.5
    np.testing.assert_allclose(np.sort(values.ravel()), np.arange(threshold.size), atol=1e-2)
    return values.round().astype(int)


def test_bayer_matrices() -> None:
    assert ranks(thresholds.bayer(2)).tolist() == [[0, 2], [3, 1]]
    assert ranks(thresholds.bayer(4)).tolist() == [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]


@pytest.mark.parametrize("size", [2, 4, 8, 16])
def test_bayer_is_a_permutation(size: int) -> None:
    assert ranks(thresholds.bayer(size)).shape == (size, size)


@pytest.mark.parametrize("size", range(2, 17))
def test_clustered_dot_is_a_permutation(size: int) -> None:
    assert ranks(thresholds.clustered_dot(size)).shape == (size, size)


@pytest.mark.parametrize("size", range(2, 17))
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_clustered_dot_is_one_connected_dot(size: int, share: float) -> None:
    """A white dot at 25 %, a black one at 75 % (it lies on the corners, so the periodic tile is shifted to its middle)."""
    dot = (
        (thresholds.clustered_dot(size) < 0.25)
        if share == 0.25
        else np.roll(thresholds.clustered_dot(size) > 0.75, (size // 2,) * 2, (0, 1))
    )
    count, _ = cv2.connectedComponents(dot.astype(np.uint8), connectivity=4)
    assert count == 2  # the background and the dot


@pytest.mark.parametrize("dot", ["round", "diamond", "line"])
@pytest.mark.parametrize(("lpi", "dpi", "angle"), [(85, 600, 45), (60, 300, 15), (133, 1200, 75), (100, 600, 0), (75, 600, 108)])
def test_am_screen_has_its_period_and_angle(lpi: float, dpi: float, angle: float, dot: str) -> None:
    """The strongest frequency is lpi/dpi; it lies along the screen's second axis, or its first for dots."""
    size = 512
    white = halftone(flat(110, size), "am-screen", lpi=lpi, dpi=dpi, angle=angle, dot=dot).astype(np.float64)
    window = np.hanning(size)
    spectrum = np.abs(np.fft.fft2((white - white.mean()) * window[:, None] * window[None, :]))
    fy, fx = (np.fft.fftfreq(size)[i] for i in np.unravel_index(spectrum.argmax(), spectrum.shape))
    assert np.hypot(fx, fy) == pytest.approx(lpi / dpi, abs=1 / size)
    found = np.degrees(np.arctan2(-fy, fx))  # y runs down, angles count anticlockwise
    turn = 180 if dot == "line" else 90  # lines lie along the angle, so they repeat at right angles to it
    off = (found - angle - 90 + turn / 2) % turn - turn / 2
    assert abs(off) < np.degrees(dpi / lpi / size)


def test_blue_noise_is_a_permutation() -> None:
    assert ranks(thresholds.blue_noise(32, 1)).shape == (32, 32)


@pytest.mark.parametrize("level", [0.03, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_blue_noise_has_little_energy_at_low_frequencies(level: float) -> None:
    """Below half its principal frequency (Ulichney), the share that white noise of the same tone would have."""
    size = 64
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    low = (frequency > 0) & (frequency < min(0.25, 0.5 * np.sqrt(min(level, 1 - level))))

    def share(white: np.ndarray) -> float:
        return float(np.mean(np.abs(np.fft.fft2(white)[low]) ** 2) / (size**2 * level * (1 - level)))

    assert share(thresholds.white_noise(size, size, 0) < level) > 0.7
    assert share(thresholds.blue_noise(size, 0) < level) < 0.15


def test_blue_noise_depends_on_its_seed_only() -> None:
    make = thresholds.blue_noise.__wrapped__  # not the cached one
    np.testing.assert_array_equal(make(16, 3), make(16, 3))
    assert (make(16, 3) != make(16, 4)).any()


def test_blue_noise_is_made_once() -> None:
    assert thresholds.blue_noise(16, 5) is thresholds.blue_noise(16, 5)


def test_white_noise_depends_on_its_seed_only() -> None:
    first, again, other = (halftone(flat(128), "white-noise", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


# ---- palettes and bit depth


@pytest.mark.parametrize("palette", ["median-cut", "octree"])
@pytest.mark.parametrize("colors", [2, 5, 16, 100, 256])
@pytest.mark.parametrize("dither", PALETTE_DITHERS)
def test_palette_has_at_most_so_many_colours(palette: str, colors: int, dither: str) -> None:
    y, x = np.mgrid[:96, :96].astype(np.uint8)
    rgb = np.stack([2 * x, 2 * y, x + y], axis=-1)
    reduced = halftone(rgb, "palette", colors=colors, palette=palette, dither=dither)
    assert colors / 2 <= len(np.unique(reduced.reshape(-1, 3), axis=0)) <= colors


@settings(max_examples=25, deadline=None)
@given(rgb=arrays(np.uint8, (12, 12, 3)), dither=st.sampled_from(PALETTE_DITHERS))
def test_web_palette_is_the_cube(rgb: np.ndarray, dither: str) -> None:
    reduced = halftone(rgb, "palette", palette="web", dither=dither)
    assert set(np.unique(reduced)) <= {0, 51, 102, 153, 204, 255}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_bit_depth_is_equation_2(dtype: type, data: st.DataObject) -> None:
    depth = np.iinfo(dtype).bits
    image = data.draw(arrays(dtype, (4, 4)))
    bits = data.draw(st.integers(1, depth))
    step = 2 ** (depth - bits)
    kept = halftone(image, "bit-depth", bits=bits)
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, np.floor(image / step) * step)


# ---- errors


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"floyd-stienberg.*Did you mean 'floyd-steinberg'"):
        halftone(flat(0), "floyd-stienberg")


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"'serpentin'.*Did you mean 'serpentine'"):
        halftone(flat(0), "stucki", serpentin=True)


def test_kernel_is_no_parameter() -> None:
    assert METHODS["stucki"].parameters == {"serpentine": False}
    with pytest.raises(OptionError, match="kernel"):
        halftone(flat(0), "stucki", kernel="burkes")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bayer", {"size": 3}),
        ("clustered-dot", {"size": 1}),
        ("am-screen", {"lpi": 0}),
        ("am-screen", {"dpi": -300}),
        ("am-screen", {"lpi": 600, "dpi": 300}),
        ("am-screen", {"dot": "star"}),
        ("blue-noise", {"size": 7}),
        ("palette", {"colors": 1}),
        ("palette", {"palette": "windows"}),
        ("bit-depth", {"bits": 0}),
        ("bit-depth", {"bits": 9}),
    ],
)
def test_values_out_of_range(name: str, parameters: dict) -> None:
    with pytest.raises(OptionError):
        halftone(flat(0), name, **parameters)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((16, 16), np.float32),
        np.zeros((16, 16), bool),
        np.zeros((16, 16), np.int64),
        np.zeros(16, np.uint8),
        np.zeros((16, 16, 1), np.uint8),
        np.zeros((16, 16, 4), np.uint8),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_wrong_arrays_are_refused(name: str, image: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError, match=str(image.dtype)):
        halftone(image, name)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"bit-depth"}))
def test_only_bit_depth_takes_16_bits(name: str) -> None:
    with pytest.raises(UnsupportedImageError, match="uint16"):
        halftone(np.zeros((16, 16), np.uint16), name)


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
