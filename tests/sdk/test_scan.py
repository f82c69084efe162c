"""The released ``scan`` through the SDK: colour in one go, coarse screens at a fitting scale, results of another size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.networks.halftone import fitting_scale
from sdk.resizing import resize
from tests.conftest import SAMPLES
from training.pages import text_page


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """uint8 500x292x3: a newspaper face on yellowed paper."""
    return np.asarray(Image.open(SAMPLES / "gallica_press1930s_06.jpg"))


@pytest.fixture(scope="module")
def restorer() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("scan", device="cpu")


def test_scan_is_a_colour_model_for_screens(restorer: sdk.InverseHalftoner) -> None:
    metadata = restorer.metadata
    assert (metadata.input_color, metadata.output_color) == ("rgb", "rgb")
    assert metadata.kinds == ("screen",)
    assert metadata.periods is not None


def test_grey_stays_grey_and_equals_grey_as_colour(restorer: sdk.InverseHalftoner, scan: np.ndarray) -> None:
    grey = np.asarray(Image.fromarray(scan).convert("L"))[:256, :256]
    restored = restorer.run(grey)
    assert restored.shape == grey.shape
    as_colour = restorer.run(np.repeat(grey[..., None], 3, axis=2))
    assert np.abs(as_colour.mean(axis=2) - restored).max() <= 1


@pytest.mark.parametrize("size", [(500, 292), (333, 217)])
def test_tiled_equals_whole_in_colour(scan: np.ndarray, size: tuple[int, int]) -> None:
    part = np.ascontiguousarray(scan[: size[0], : size[1]])
    whole, tiled = (sdk.InverseHalftoner("scan", device="cpu", tile=tile).run(part) for tile in (1024, 288))
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_paper_and_tone_stay(restorer: sdk.InverseHalftoner, scan: np.ndarray) -> None:
    restored = restorer.run(scan)
    means = [resize(image, 10, 6).astype(int) for image in (scan, restored)]
    assert np.abs(means[0] - means[1]).mean() < 4


def test_paper_ink_and_lettering_stay_beside_a_screen_that_goes(restorer: sdk.InverseHalftoner, photo: np.ndarray) -> None:
    """Held against a Gaussian blur that takes the dots away as well: of the letters it leaves little."""
    letters = text_page(384, 320, np.random.default_rng(0))
    page = np.full((384, 640), 255, np.uint8)
    page[:, :320] = letters
    page[32:352, 336:624] = 255 * sdk.Halftoner("am-screen", lpi=85, dpi=300, angle=45).run(photo[100:420, 200:488].copy())
    scanned = np.rint(20 + cv2.GaussianBlur(page, (0, 0), 0.7) / 255 * 220).astype(np.uint8)
    restored, blurred = (image.astype(int) for image in (restorer.run(scanned), cv2.GaussianBlur(scanned, (0, 0), 1.5)))
    dots = [(image - cv2.GaussianBlur(image.astype(float), (0, 0), 2))[48:336, 352:608].std() for image in (scanned, restored, blurred)]
    assert dots[1] < 1.2 * dots[2] < 0.3 * dots[0]
    before, after, blurred = (image[:, :320].astype(int) for image in (scanned, restored, blurred))
    paper = cv2.erode((letters > 127).astype(np.uint8), np.ones((7, 7))) > 0  # away from edges
    ink = cv2.erode((letters < 128).astype(np.uint8), np.ones((3, 3))) > 0
    assert paper.sum() > 10_000
    assert ink.sum() > 1000
    assert np.median(after[paper]) >= 238  # of 240
    assert np.percentile(after[paper], 1) >= 225
    assert np.median(after[ink]) <= 45  # of 20; blurred: 89
    cut = [image < 130 for image in (before, after)]
    assert (cut[0] & cut[1]).sum() > 0.93 * (cut[0] | cut[1]).sum(), "the same letters"
    assert np.abs(after - before).mean() < 0.5 * np.abs(blurred - before).mean()


@pytest.mark.parametrize(("period", "expected"), [(None, 1), (2.2, 1), (6.0, 1), (13.0, 1), (26.0, (2.2 * 13) ** 0.5 / 26), (1.1, 2.0)])
def test_fitting_scale(period: float | None, expected: float) -> None:
    assert fitting_scale(period, (2.2, 13.0)) == pytest.approx(expected)


def test_a_coarse_screen_is_restored_at_a_fitting_scale(restorer: sdk.InverseHalftoner, photo: np.ndarray) -> None:
    enlarged = np.asarray(Image.fromarray(photo[:300, :400]).resize((1200, 900), Image.Resampling.BICUBIC))
    dots = sdk.Halftoner("am-screen", lpi=30, dpi=600, angle=45).run(enlarged)  # 20 px
    restored = restorer.run(dots)
    assert restored.shape == dots.shape
    error = restored.astype(float) - enlarged
    assert np.sqrt((error**2).mean()) < 20, "the dots are gone"


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_results_of_another_size(scan: np.ndarray, scale: float, tmp_path: Path) -> None:
    restorer = sdk.InverseHalftoner("scan", device="cpu", scale=scale)
    assert restorer.run(scan).shape == (round(500 * scale), round(292 * scale), 3)
    source, target = tmp_path / "in.png", tmp_path / "out.tif"
    alpha = Image.fromarray(scan[:64, :96]).convert("RGBA")
    alpha.save(source, dpi=(300, 300))
    restorer.run_file(source, target)
    with Image.open(target) as written:
        assert written.size == (round(96 * scale), round(64 * scale))
        assert written.mode == "RGBA"
        assert [float(value) for value in written.info["dpi"]] == pytest.approx([300 * scale] * 2, abs=0.1)


@pytest.mark.parametrize("scale", [0, -1, 5, "2"])
def test_bad_scales_are_refused(scale: object) -> None:
    with pytest.raises(sdk.errors.OptionError, match="scale"):
        sdk.InverseHalftoner("scan", device="cpu", scale=scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_resize_keeps_kind_and_range(dtype: type, scan: np.ndarray) -> None:
    unit = scan[..., 0] / 255
    pixels = (
        unit > 0.5 if dtype == np.bool_ else unit.astype(np.float32) if dtype == np.float32 else (unit * np.iinfo(dtype).max).astype(dtype)
    )
    for height, width in ((250, 146), (700, 400)):
        resized = resize(pixels, height, width)
        assert resized.shape == (height, width)
        assert resized.dtype == (np.uint8 if dtype == np.bool_ else dtype)
    assert resize(pixels, *pixels.shape) is pixels
