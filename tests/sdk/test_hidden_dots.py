"""Dots that were blurred, smoothly enlarged, or coded with colour at half size are told apart, and restored as plain ones are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sdk
from sdk.analysis import analyze_pixels
from sdk.analysis.hidden_dots import find_hidden_dots
from sdk.halftoning import halftone
from sdk.images import widened
from sdk.metrics import psnr
from training.pages import jpeg, text_page

METHODS = ("floyd-steinberg", "stucki", "atkinson", "bayer", "clustered-dot", "blue-noise")
KERNELS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def enlarged(dots: np.ndarray, factor: float, kernel: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    size = (round(dots.shape[1] * factor), round(dots.shape[0] * factor))
    return np.array(Image.fromarray(widened(dots)).resize(size, kernel))


def share_wrong(found: np.ndarray | None, dots: np.ndarray) -> float:
    assert found is not None
    assert found.shape == dots.shape
    return float(np.mean((found > found.max() / 2) != dots))


@given(
    method=st.sampled_from(METHODS),
    factor=st.floats(1.25, 4),
    kernel=st.sampled_from(KERNELS),
    quality=st.none() | st.integers(60, 95),
    height=st.integers(150, 200),
)
@settings(max_examples=25, deadline=None)
def test_enlarged_dots_are_found(
    photo: np.ndarray, method: str, factor: float, kernel: Image.Resampling, quality: int | None, height: int
) -> None:
    dots = halftone(photo[100 : 100 + height, 200:421], method)
    large = enlarged(dots, factor, kernel)
    assert share_wrong(find_hidden_dots(jpeg(large, quality) if quality else large), dots) < 0.002


@pytest.mark.parametrize("sigma", [0.55, 0.65, 0.7])
@pytest.mark.parametrize("method", ["floyd-steinberg", "stucki", "bayer"])
def test_blurred_dots_are_found(photo: np.ndarray, method: str, sigma: float) -> None:
    dots = halftone(photo[100:300, 200:420], method)
    blurred = cv2.GaussianBlur(widened(dots), (0, 0), sigma)
    assert share_wrong(find_hidden_dots(blurred), dots) < 0.002


@pytest.mark.parametrize(("quality", "most_wrong"), [(95, 0.01), (85, 0.03), (75, 0.06)])
@pytest.mark.parametrize("method", ["floyd-steinberg", "atkinson", "bayer"])
@pytest.mark.parametrize("size", [(240, 320), (221, 251)])
def test_colour_dots_are_found_where_colour_is_at_half_size(
    colour: np.ndarray, size: tuple[int, int], method: str, quality: int, most_wrong: float
) -> None:
    dots = halftone(colour[: size[0], : size[1]], method)
    coded = jpeg(widened(dots), quality)  # OpenCV's is 4:2:0
    assert share_wrong(find_hidden_dots(coded), dots) < most_wrong
    assert analyze_pixels(coded).smoothed_from == size


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dots_of_other_levels_keep_them_and_their_dtype(photo: np.ndarray, dtype: type) -> None:
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    dots = halftone(photo[:180, :240], "floyd-steinberg")
    plain = np.where(dots, 0.8, 0.3).astype(np.float32)
    large = (cv2.resize(plain, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR) * white).astype(dtype)
    found = find_hidden_dots(large)
    assert found is not None
    assert found.dtype == dtype
    np.testing.assert_allclose(found / white, plain, atol=0.01)


def other_pictures(photo: np.ndarray, colour: np.ndarray) -> dict[str, np.ndarray]:
    dots = widened(halftone(photo, "floyd-steinberg"))
    return {
        "photograph": photo,
        "colour photograph": colour,
        "enlarged photograph": enlarged(photo[:200, :300], 1.5),
        "plain dots": dots,
        "bool": dots > 127,
        "dots after JPEG": jpeg(dots, 80),
        "reduced dots": cv2.resize(dots, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA),
        "flat": np.full((64, 64), 90, np.uint8),
        "one row": np.zeros((1, 300), np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8),
    }


def test_other_pictures_have_none(photo: np.ndarray, colour: np.ndarray) -> None:
    for name, pixels in other_pictures(photo, colour).items():
        assert find_hidden_dots(pixels) is None, name


@pytest.mark.parametrize("seed", range(4))
def test_letters_are_no_dots(seed: int) -> None:
    """Antialiased, they are two levels that were smoothed, too."""
    page = text_page(300, 400, np.random.default_rng(seed))
    for pixels in (page, enlarged(page, 1.5), cv2.GaussianBlur(page, (0, 0), 0.6)):
        assert analyze_pixels(pixels).smoothed_from is None


DISGUISES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "doubled": lambda dots: enlarged(dots, 2),
    "enlarged by a half, JPEG": lambda dots: jpeg(enlarged(dots, 1.5), 75),
    "by an odd factor": lambda dots: enlarged(dots, 3.37, Image.Resampling.LANCZOS),
    "blurred": lambda dots: cv2.GaussianBlur(dots, (0, 0), 0.65),
}


@pytest.mark.parametrize("how", DISGUISES)
@pytest.mark.parametrize("model", ["auto", "fast"])
def test_they_are_restored_as_well_as_plain_ones(
    model: str, how: str, clean_dots: np.ndarray, clean_photo: np.ndarray, recwarn: pytest.WarningsRecorder
) -> None:
    restorer = sdk.InverseHalftoner(model, device="cpu")
    plain = psnr(restorer.run(clean_dots), clean_photo)
    smooth = DISGUISES[how](widened(clean_dots))
    restored = restorer.run(smooth)
    assert restored.shape == smooth.shape
    small = cv2.resize(restored, clean_photo.shape[::-1], interpolation=cv2.INTER_AREA)
    assert psnr(small, clean_photo) > plain - 0.5
    assert not recwarn.list
    found = analyze_pixels(smooth)
    assert (found.kind, found.method, found.smoothed_from) == ("dither", "floyd-steinberg", clean_dots.shape)
    assert f"smoothed from {clean_dots.shape[1]}x{clean_dots.shape[0]} dots" in str(found)


def test_colour_at_half_size_is_restored_nearly_as_well(colour: np.ndarray) -> None:
    part = colour[100:300, 200:420]
    dots = widened(halftone(part, "floyd-steinberg"))
    auto = sdk.InverseHalftoner("auto", device="cpu")
    plain, coded = auto.run(dots), jpeg(dots, 92)
    assert psnr(auto.run(coded), part) > psnr(plain, part) - 1
    assert auto.choice is not None
    assert auto.choice.model == "colour"
