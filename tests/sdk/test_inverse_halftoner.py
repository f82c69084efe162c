"""``InverseHalftoner``: the dots are gone, the pixels are the same every time, and options are checked."""

from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.files import read
from sdk.metrics import psnr
from tests.conftest import SAMPLES
from tests.sdk.pictures import as_dtype

# Quality


@pytest.fixture(scope="module")
def restored_sample(restorer: sdk.InverseHalftoner, white: np.ndarray) -> np.ndarray:
    return restorer.run(white)


def test_the_sample_is_restored(restored_sample: np.ndarray, photo: np.ndarray) -> None:
    assert restored_sample.dtype == np.uint8
    assert psnr(restored_sample, photo) > 29


def test_the_sample_is_restored_better_than_by_a_blur(restored_sample: np.ndarray, photo: np.ndarray, white: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(white * np.float32(255), (0, 0), 1.2)
    assert psnr(restored_sample, photo) > psnr(blurred, photo) + 2


def test_threshold_mends_a_smoothed_halftone(photo: np.ndarray, white: np.ndarray) -> None:
    region = np.s_[100:228, 100:228]
    soft = cv2.GaussianBlur(as_dtype(white[region], np.uint8), (0, 0), 0.5)
    soft[:, :16] = 128  # a mat, so that no two levels explain it
    with pytest.warns(sdk.NotTwoLevelsWarning):
        as_it_is = sdk.InverseHalftoner("fast", device="cpu").run(soft)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mended = sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(soft)
    inside = np.s_[:, 32:]
    assert psnr(mended[inside], photo[region][inside]) > psnr(as_it_is[inside], photo[region][inside]) + 0.5


def test_threshold_cuts_at_its_level(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    faint = np.where(dots, np.uint8(120), np.uint8(90))
    for level, same in ((0.4, True), (0.3, False), (0.5, False)):
        result = sdk.InverseHalftoner("fast", device="cpu", threshold=level).run(faint)
        assert np.array_equal(result, restorer.run(dots)) == same


def test_the_press_scan_is_restored_with_a_threshold() -> None:
    """A real scan, cut to two levels: smoother than the dots, with their mean."""
    scan = read(SAMPLES / "gallica_press_1910s.jpg").pages[0].pixels
    scan = (scan if scan.ndim == 2 else scan[..., 0])[:128, :128]
    result = sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(np.ascontiguousarray(scan)).astype(float)
    cut = (scan > 127) * 255.0
    assert abs(result.mean() - cut.mean()) < 12
    assert np.abs(np.diff(result)).mean() < 0.7 * np.abs(np.diff(cut)).mean()


# The warning


def test_grey_input_is_warned_about_with_what_to_do(restorer: sdk.InverseHalftoner) -> None:
    with pytest.warns(sdk.NotTwoLevelsWarning, match=r"no clean 1-bit.*threshold=0\.5.*--threshold 0\.5.*original size") as caught:
        restorer.run(np.full((64, 64), 128, np.uint8))
    assert caught[0].filename == __file__  # it points at the caller


def test_many_grey_pictures_print_one_warning(restorer: sdk.InverseHalftoner) -> None:
    """By Python's own filter: the text is the same for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("once")
        for level in (128, 64):
            restorer.run(np.full((64, 64, 3), level, np.uint8))
    assert len(caught) == 1


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_two_levels_are_not_warned_about(dots: np.ndarray, dtype: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sdk.InverseHalftoner("fast", device="cpu").run(as_dtype(dots, dtype))


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"threads": -1},
        {"threads": "4"},
        {"threads": 2.5},
        {"backend": None},
        {"threshold": "0.5"},
        {"threshold": np.float32(1.5)},
        {"tile": 128.0},
        {"overlap": 1.5},
        {"model": None},
        {"model": 3},
        {"model": b"fast"},
    ],
)
def test_options_of_a_wrong_kind_are_refused(options: dict) -> None:
    with pytest.raises(sdk.errors.OptionError):
        sdk.InverseHalftoner(**{"model": "fast", "device": "cpu", **options})


def test_numbers_of_numpy_are_numbers(dots: np.ndarray) -> None:
    options = {
        "tile": np.int64(96),
        "overlap": np.int32(16),
        "threshold": np.float32(0.5),
        "scale": np.float64(0.5),
        "threads": np.int64(1),
    }
    assert sdk.InverseHalftoner("fast", device="cpu", **options).run(dots).shape == (dots.shape[0] // 2, dots.shape[1] // 2)


def test_describe_says_what_runs() -> None:
    described = sdk.InverseHalftoner("fast", device="cpu", tile=128, overlap=40, threshold=0.3).describe()
    assert described == {
        "model": "fast",
        "backend": "onnxruntime",
        "device": "cpu",
        "precision": "fp32",
        "tile": 128,
        "overlap": 40,
        "threshold": 0.3,
        "method": None,
    }


# Same pixels


def test_same_input_same_pixels(restorer: sdk.InverseHalftoner, dots: np.ndarray) -> None:
    given = as_dtype(dots, np.float32)
    first = restorer.run(given)
    np.testing.assert_array_equal(restorer.run(given), first)
    np.testing.assert_array_equal(sdk.InverseHalftoner("fast", device="cpu").run(given), first)


def test_threads_give_what_serial_calls_give(restorer: sdk.InverseHalftoner, white: np.ndarray) -> None:
    pictures = [white[y : y + 64, x : x + 64 + 8 * (x // 100)] for y in (0, 200, 400) for x in (0, 100, 300, 500)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(restorer.run, pictures))
    for found, picture in zip(together, pictures):
        np.testing.assert_array_equal(found, restorer.run(picture))


@pytest.mark.parametrize("shape", [(320, 448), (263, 300)])
def test_tiled_equals_whole(restorer: sdk.InverseHalftoner, white: np.ndarray, shape: tuple[int, int]) -> None:
    region = white[100 : 100 + shape[0], 200 : 200 + shape[1]].astype(np.float32)
    tiled = sdk.InverseHalftoner("fast", device="cpu", tile=256)
    assert tiled.describe()["tile"] < max(region.shape) <= restorer.describe()["tile"]
    assert np.abs(tiled.run(region) - restorer.run(region)).max() <= 1 / 255


# Faults and memory


def test_a_failing_runtime_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = sdk.InverseHalftoner("fast", device="cpu")

    class Broken:
        def get_inputs(self) -> list:
            return [type("Input", (), {"name": "halftone"})]

        def run(self, *_: object) -> None:
            raise RuntimeError("bad allocation")

    monkeypatch.setattr(restorer._network._backend, "session", Broken())
    with pytest.raises(sdk.errors.InferenceError, match="smaller tile"):
        restorer.run(np.zeros((32, 32), bool))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_24_megapixel_page_needs_less_than_1500_megabytes(tmp_path: Path) -> None:
    """A 1-bit TIFF through the CLI, with nothing left out, in a process of its own."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 2, (4000, 6000), np.uint8) * 255).convert("1").save(tmp_path / "page.tif", dpi=(400, 400))
    program = """
import sys
from sdk.cli import main
status = main(["restore", "page.tif", "-o", "restored.tif", "--device", "cpu"])
# of this program alone: ru_maxrss would begin with what the process that started it held
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    peak = int(result.stdout.split()[-1])
    print(f"peak memory of a 24-megapixel page: {peak / 1e9:.2f} GB")
    assert peak < 1.5e9
    with Image.open(tmp_path / "restored.tif") as restored:
        assert (restored.size, restored.mode, restored.info["dpi"]) == ((6000, 4000), "L", (400, 400))
