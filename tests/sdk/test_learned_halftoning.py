"""``sdk.Halftoner`` by a network: black and white comes out, from one field of noise; the methods of the table stay as they are."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.catalog import released_for
from sdk.cli import main
from sdk.errors import ModelError, OptionError
from sdk.files import read, write
from sdk.headers import Header
from sdk.images import Picture, from_unit, to_unit
from sdk.metadata import ModelMetadata
from sdk.networks.direct_binary_search import search
from tests.sdk.conftest import DOTS, network_on_whole


@pytest.fixture(scope="module")
def halftoner(dots_onnx: Path) -> sdk.Halftoner:
    return sdk.Halftoner(dots_onnx, device="cpu", tile=256)


@pytest.fixture(scope="module")
def grey(photo: np.ndarray) -> np.ndarray:
    """uint8 61x90: padded to 64x96."""
    return photo[200:261, 300:390].copy()


@pytest.fixture(scope="module")
def rgb(photo: np.ndarray) -> np.ndarray:
    return np.stack([photo[y : y + 61, 300:390] for y in (100, 200, 300)], axis=-1)


def whole(model: Path, pixels: np.ndarray, seed: int, channel: int = 0) -> np.ndarray:
    return network_on_whole(model, pixels, seed, channel) > 0.5


# What comes out


def test_white_is_where_the_network_says_more_than_a_half(halftoner: sdk.Halftoner, dots_onnx: Path, grey: np.ndarray) -> None:
    for seed in (0, 1):
        white = halftoner.run(grey, seed=seed)
        assert white.dtype == bool
        np.testing.assert_array_equal(white, whole(dots_onnx, grey, seed))
    assert abs(white.mean() - grey.mean() / 255) < 0.1


def test_same_seed_same_dots(halftoner: sdk.Halftoner, grey: np.ndarray) -> None:
    np.testing.assert_array_equal(halftoner.run(grey, seed=1), halftoner.run(grey, seed=1))
    np.testing.assert_array_equal(halftoner.run(grey), halftoner.run(grey, seed=0))
    assert np.mean(halftoner.run(grey, seed=1) != halftoner.run(grey, seed=2)) > 0.05


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pictures_are_not_rounded_to_8_bits(halftoner: sdk.Halftoner, dots_onnx: Path, dtype: type) -> None:
    ramp = np.tile(np.linspace(0.3, 0.7, 256, dtype=np.float32), (256, 1))
    deep = from_unit(ramp, dtype)
    np.testing.assert_array_equal(halftoner.run(deep), whole(dots_onnx, deep, 0))
    assert (halftoner.run(deep) != halftoner.run(from_unit(ramp, np.uint8))).any()


@pytest.mark.parametrize("shape", [(128, 256), (263, 301)])
def test_tiled_equals_whole(dots_onnx: Path, photo: np.ndarray, shape: tuple[int, int]) -> None:
    region = photo[: shape[0], : shape[1]]
    tiled = sdk.Halftoner(dots_onnx, device="cpu")
    assert tiled.describe()["tile"] == 64
    assert np.mean(tiled.run(region, seed=2) != whole(dots_onnx, region, 2)) < 1e-4  # but for values that are 0.5 within rounding


def test_colour_is_halftoned_channel_by_channel(halftoner: sdk.Halftoner, dots_onnx: Path, rgb: np.ndarray) -> None:
    expected = np.stack([whole(dots_onnx, rgb[..., c], 3, channel=c) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(halftoner.run(rgb, seed=3), expected)


def test_grey_stored_as_rgb_stays_grey(halftoner: sdk.Halftoner, grey: np.ndarray) -> None:
    np.testing.assert_array_equal(halftoner.run(np.dstack([grey] * 3)), np.dstack([halftoner.run(grey)] * 3))


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_grey_option_takes_the_luma(dots_onnx: Path, rgb: np.ndarray, dtype: type) -> None:
    given = rgb > 128 if dtype == np.bool_ else from_unit(to_unit(rgb), dtype)
    halftoned = sdk.Halftoner(dots_onnx, grey=True, device="cpu").run(given, seed=1)
    luma = cv2.cvtColor(from_unit(to_unit(given), np.uint8) if dtype == np.bool_ else given, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(halftoned, whole(dots_onnx, luma, 1))


# Kinds of picture, files


def test_kinds_of_picture(halftoner: sdk.Halftoner, grey: np.ndarray, tmp_path: Path) -> None:
    expected = halftoner.run(grey, seed=5)
    image, stream = Image.fromarray(grey), io.BytesIO()
    image.save(stream, format="PNG")
    image.save(tmp_path / "photo.png")
    assert halftoner.run(image, seed=5).mode == "1"
    np.testing.assert_array_equal(np.asarray(halftoner.run(image, seed=5)), expected)
    np.testing.assert_array_equal(read(halftoner.run(stream.getvalue(), seed=5)).pages[0].pixels, expected)
    np.testing.assert_array_equal(halftoner.run(tmp_path / "photo.png", seed=5), expected)


def test_run_file_keeps_pages_and_dpi(halftoner: sdk.Halftoner, grey: np.ndarray, tmp_path: Path) -> None:
    pages = [grey, grey[::-1].copy()]
    write(tmp_path / "photo.tif", [Picture(page, header=Header(dpi=(300.0, 300.0))) for page in pages])
    halftoner.run_file(tmp_path / "photo.tif", tmp_path / "dots.tif", seed=4)
    written = read(tmp_path / "dots.tif")
    assert written.pages[0].header.dpi == (300, 300)
    for found, page in zip(written.pages, pages):
        assert found.pixels.dtype == bool
        np.testing.assert_array_equal(found.pixels, halftoner.run(page, seed=4))


def test_alpha_is_kept_in_pil_images(halftoner: sdk.Halftoner, rgb: np.ndarray) -> None:
    halftoned = halftoner.run(Image.fromarray(np.dstack([rgb, rgb[..., 1]])))
    np.testing.assert_array_equal(np.asarray(halftoned), np.dstack([255 * halftoner.run(rgb).astype(np.uint8), rgb[..., 1]]))


# By name, and without noise


def test_a_released_model_by_name(catalog_of: Callable[..., None], dots_onnx: Path, grey: np.ndarray) -> None:
    catalog_of(dots_onnx)
    assert released_for("halftoning") == ("dots",)
    np.testing.assert_array_equal(sdk.Halftoner("dots", device="cpu").run(grey, seed=1), whole(dots_onnx, grey, 1))
    with pytest.raises(OptionError, match=r"'dotz' is unknown\. Did you mean 'dots'\? Known: .*bayer.*dots"):
        sdk.Halftoner("dotz")
    with pytest.raises(OptionError, match=r"'bayr' is unknown\. Did you mean 'bayer'"):
        sdk.Halftoner("bayr")


def test_a_model_without_noise_takes_no_seed(two_plane_onnx: Callable[[ModelMetadata, float], Path], grey: np.ndarray) -> None:
    path = two_plane_onnx(replace(DOTS, name="sure", needs_noise=False), 0)
    sure = sdk.Halftoner(path, device="cpu")
    assert set(np.unique(sure.run(grey))) == {False, True}
    with pytest.raises(OptionError, match="'sure' takes none"):
        sure.run(grey, seed=0)


def test_describe(halftoner: sdk.Halftoner) -> None:
    described = halftoner.describe()
    assert (described["model"], described["backend"], described["needs_noise"]) == ("dots", "onnxruntime", True)
    defaults = {"dpi": 600.0, "angle": 45.0, "dot": "round", "levels": 2}
    assert sdk.Halftoner("am-screen", lpi=60).describe() == {"method": "am-screen", "lpi": 60, **defaults}


# Methods of the table


@pytest.mark.parametrize("method", ["white-noise", "blue-noise"])
def test_noise_methods_take_a_seed_both_ways(method: str, grey: np.ndarray, tmp_path: Path) -> None:
    halftoner, expected = sdk.Halftoner(method, seed=1), sdk.Halftoner(method, seed=2).run(grey)
    np.testing.assert_array_equal(halftoner.run(grey, seed=2), expected)
    assert (halftoner.run(grey) != expected).any()
    Image.fromarray(grey).save(tmp_path / "photo.png")
    halftoner.run_file(tmp_path / "photo.png", tmp_path / "dots.png", seed=2)
    np.testing.assert_array_equal(read(tmp_path / "dots.png").pages[0].pixels, expected)


def test_methods_without_noise_refuse_a_seed(grey: np.ndarray, tmp_path: Path) -> None:
    bayer = sdk.Halftoner("bayer")
    for call in (lambda: bayer.run(grey, seed=0), lambda: bayer.run_file("missing.png", tmp_path / "out.png", seed=0)):
        with pytest.raises(OptionError, match=r"method 'bayer' takes none.*Leave the seed out"):
            call()


def test_methods_run_without_onnxruntime() -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import numpy as np, sdk\n"
        "assert sdk.Halftoner('bayer').run(np.full((16, 16), 128, np.uint8)).dtype == bool\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


# Refusals


def test_each_model_runs_where_it_belongs(dots_onnx: Path) -> None:
    with pytest.raises(ModelError, match=r"dots\.onnx is a model for halftoning.*run it by sdk\.Halftoner"):
        sdk.InverseHalftoner(dots_onnx, device="cpu")
    with pytest.raises(ModelError, match=r"'fast' is a model for inverse-halftoning.*run it by sdk\.InverseHalftoner"):
        sdk.Halftoner("fast")


@pytest.mark.parametrize("seed", [-1, 0.5, False])
def test_wrong_seeds_are_refused(halftoner: sdk.Halftoner, grey: np.ndarray, seed: int) -> None:
    with pytest.raises(OptionError, match="whole number"):
        halftoner.run(grey, seed=seed)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"size": 4}, "no parameter 'size'.*Known: backend, device"),
        ({"tiles": 64}, "Did you mean 'tile'"),
        ({"seed": 1}, r"no parameter 'seed'. Give the seed to run\(\), or by --seed"),
        ({"tile": 100}, "multiple of 8"),
    ],
    ids=str,
)
def test_wrong_parameters_are_refused(dots_onnx: Path, parameters: dict, text: str) -> None:
    with pytest.raises(OptionError, match=text):
        sdk.Halftoner(dots_onnx, **parameters)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx cannot be read"):
        sdk.Halftoner("missing.onnx")


# Command line


def test_command_line_halftones_and_restores_by_seed(
    dots_onnx: Path, noisy_onnx: Path, grey: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(grey).save("photo.png")
    command = ["halftone", "photo.png", "--method", str(dots_onnx), "--tile", "64", "--device", "cpu"]
    assert main([*command, "-o", "1.png", "--seed", "1"]) == main([*command, "-o", "0.png"]) == 0
    halftoner = sdk.Halftoner(dots_onnx, device="cpu")
    for seed in (0, 1):
        white = read(f"{seed}.png").pages[0].pixels
        np.testing.assert_array_equal(white, halftoner.run(grey, seed=seed))
        assert main(["restore", f"{seed}.png", "-o", f"back{seed}.png", "--model", str(noisy_onnx), "--seed", "5"]) == 0
        restored = sdk.InverseHalftoner(noisy_onnx, device="cpu").run(white, seed=5)
        np.testing.assert_array_equal(read(f"back{seed}.png").pages[0].pixels, restored)
    assert main(["halftone", "photo.png", "-o", "white.png", "--method", "white-noise", "--seed", "2"]) == 0
    np.testing.assert_array_equal(read("white.png").pages[0].pixels, sdk.Halftoner("white-noise", seed=2).run(grey))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["restore", "--model", "fast", "--seed", "1"], "'fast' takes none"),
        (["restore", "--model", "NOISY", "--seed", "-1"], "whole number"),
        (["halftone", "--method", "bayer", "--seed", "1"], "method 'bayer' takes none"),
        (["halftone", "--method", "bayer", "--tile", "64"], "Method 'bayer' has no parameter 'tile'"),
        (["halftone", "--method", "DOTS", "--set", "size=4"], "has no parameter 'size'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line_ignores_nothing(
    dots_onnx: Path,
    noisy_onnx: Path,
    grey: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    text: str,
) -> None:
    Image.fromarray(grey).save(tmp_path / "photo.png")
    given = [{"NOISY": str(noisy_onnx), "DOTS": str(dots_onnx)}.get(option, option) for option in options]
    assert main([*given, str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert text in error
    assert not (tmp_path / "out.png").exists()


def test_command_line_lists_released_models_for_halftoning(
    catalog_of: Callable[..., None], dots_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog_of(dots_onnx)
    assert main(["models"]) == 0
    assert "dots: for tests" in capsys.readouterr().out
    assert main(["info", "dots"]) == 0
    assert "task: halftoning\n" in capsys.readouterr().out


def test_tones_are_mended_where_the_metadata_say_so(
    two_plane_onnx: Callable[[ModelMetadata, float], Path], dots_onnx: Path, grey: np.ndarray
) -> None:
    path = two_plane_onnx(replace(DOTS, name="mended", tone_search=True), 0.3)
    mended = sdk.Halftoner(path, device="cpu").run(grey, seed=1)
    np.testing.assert_array_equal(mended, search(whole(dots_onnx, grey, 1), to_unit(grey)))
    assert (mended != whole(dots_onnx, grey, 1)).any()
