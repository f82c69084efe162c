"""``InverseHalftoner("auto")``: each picture goes to the model made for its kind, and what is none stays as it is."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import sdk
from sdk import catalog
from sdk.cli import main
from sdk.errors import OptionError
from sdk.halftoning import halftone
from sdk.halftoning.palettes import quantise_bits
from sdk.metrics import psnr
from sdk.networks.auto import model_for
from tests.conftest import SAMPLES
from tests.sdk.conftest import SMALL
from training.pages import text_page


@pytest.fixture(scope="module")
def auto() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("auto", device="cpu")


def test_every_release_says_what_it_is_for() -> None:
    assert model_for("dither") == model_for("ordered") == "fast"
    assert model_for("dither", colour=True) == "colour"
    assert model_for("ordered", colour=True) == "fast"
    assert model_for("palette") == model_for("palette", colour=True) == "gif"
    assert model_for("screen") == "scan"
    assert model_for("few-bit") == model_for("few-bit", colour=True) == "companding"
    assert model_for("continuous") is None


@pytest.mark.parametrize(
    ("factor", "model"),
    [(1.5, "fast"), (0.75, "scan"), (None, "fast")],
    ids=["enlarged by a half", "at three quarters", "turned by a degree"],
)
def test_dots_that_were_resized_or_turned_a_little(photo: np.ndarray, factor: float | None, model: str) -> None:
    """They came back as they were, for a palette or a photograph."""

    def changed(image: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
        if factor:
            how = cv2.INTER_AREA if factor < 1 else how
            return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)
        return cv2.warpAffine(
            image, cv2.getRotationMatrix2D((128, 128), 1.0, 1), image.shape[::-1], flags=how, borderMode=cv2.BORDER_REFLECT
        )

    part = np.ascontiguousarray(photo[120:376, 260:516])
    dots = changed(halftone(part, "floyd-steinberg").astype(np.uint8) * np.uint8(255))
    truth = changed(part, cv2.INTER_CUBIC)
    restorer = sdk.InverseHalftoner("auto", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.NotTwoLevelsWarning)
        restored = restorer.run(dots)
    assert restorer.choice is not None
    assert restorer.choice.model == model
    blurred = max(psnr(cv2.GaussianBlur(dots, (0, 0), sigma), truth) for sigma in (1.2, 1.6, 2.0))
    assert psnr(restored, truth) > blurred - (0.5 if model == "scan" else 0)


def test_the_manifest_says_what_the_models_take() -> None:
    for name, release in sdk.releases().items():
        assert release.input_color == catalog.metadata_of(name).input_color


def test_colour_goes_to_the_model_for_all_channels(
    catalog_of: Callable[..., None], small_onnx: bytes, tmp_path: Path, photo: np.ndarray
) -> None:
    """Where the channels differ, after the threshold; grey stored as RGB is grey."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_onnx)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, axis in (("first_fp16", 1), ("second_fp16", 0)):
        wide = np.repeat(onnx.numpy_helper.to_array(weights[name]), 3, axis=axis)
        weights[name].CopyFrom(onnx.numpy_helper.from_array(wide, name))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[1].dim_value = 3
    joint = replace(SMALL, name="joint", input_color="rgb", output_color="rgb", kinds=("dither",))
    onnx.helper.set_model_props(model, joint.to_props())
    onnx.save(model, str(tmp_path / "joint.onnx"))
    catalog_of(tmp_path / "joint.onnx")
    assert (model_for("dither"), model_for("dither", colour=True)) == ("fast", "joint")
    assert model_for("ordered", colour=True) == "fast"
    auto, cutting = (sdk.InverseHalftoner("auto", device="cpu", threshold=threshold) for threshold in (None, 0.5))
    grey = halftone(photo[:128, :128], "floyd-steinberg")
    colour = halftone(np.dstack([photo[:128, :128], photo[128:256, :128], photo[:128, 128:256]]), "floyd-steinberg")
    dirty = colour ^ (np.random.default_rng(0).random(colour.shape) < 0.2)  # of no method that has a name
    tinted = np.dstack([np.where(grey, 255, 0), np.where(grey, 250, 5), np.where(grey, 255, 0)]).astype(np.uint8)
    for restorer, picture, expected in (
        (auto, grey, "fast"),
        (auto, colour, "joint"),
        (auto, dirty, "fast"),
        (auto, np.dstack([grey] * 3), "fast"),
        (cutting, tinted, "fast"),
    ):
        restorer.run(picture)
        assert restorer.choice is not None
        assert restorer.choice.model == expected


def test_a_page_of_text_stays_one_of_1_bit(auto: sdk.InverseHalftoner, tmp_path: Path) -> None:
    text = text_page(200, 300, np.random.default_rng(0)) > 127
    pages = [Image.fromarray(text), Image.fromarray(~text)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:], compression="group4", dpi=(300, 300))
    with pytest.warns(sdk.NoHalftoneWarning):
        auto.run_file(tmp_path / "pages.tif", tmp_path / "same.tif")
    with Image.open(tmp_path / "same.tif") as same:
        assert (same.mode, same.n_frames) == ("1", 2)
        assert np.array_equal(np.asarray(same), text)
    Image.fromarray(text).save(tmp_path / "page.png")
    with pytest.warns(sdk.NoHalftoneWarning):
        auto.run_file(tmp_path / "page.png", tmp_path / "page.jpg")  # which holds no single bits
    with pytest.warns(sdk.NoHalftoneWarning):
        assert auto.run(text).dtype == np.uint8
    with Image.open(tmp_path / "page.jpg") as jpeg:
        assert jpeg.mode == "L"


def test_dithers_go_to_fast(auto: sdk.InverseHalftoner, restorer: sdk.InverseHalftoner, white: np.ndarray) -> None:
    part = white[:256, :256]
    assert np.array_equal(auto.run(part), restorer.run(part))
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("dither", "fast")


def test_grey_dithers_stored_as_rgb_stay_grey(auto: sdk.InverseHalftoner, restorer: sdk.InverseHalftoner, white: np.ndarray) -> None:
    part = white[:256, :256, None]
    restored = auto.run(np.repeat(part, 3, axis=2))
    assert auto.choice is not None
    assert auto.choice.model == "fast"
    assert np.array_equal(restored, np.repeat(restorer.run(part[..., 0])[..., None], 3, axis=2))


def test_scans_go_to_scan(auto: sdk.InverseHalftoner) -> None:
    scan = np.asarray(Image.open(SAMPLES / "gallica_press1930s_06.jpg"))
    restored = auto.run(scan)
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("screen", "scan")
    assert np.array_equal(restored, sdk.InverseHalftoner("scan", device="cpu").run(scan))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_photographs_come_back_unchanged_with_a_warning(auto: sdk.InverseHalftoner, photo: np.ndarray, dtype: type) -> None:
    same = (photo / 255).astype(np.float32) if dtype == np.float32 else photo.astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    with pytest.warns(sdk.NoHalftoneWarning, match="continuous"):
        restored = auto.run(same)
    assert restored.dtype == dtype
    assert np.array_equal(restored, same)
    assert auto.choice is not None
    assert auto.choice.model is None


@pytest.fixture
def few_bit_release(bits_onnx: Path, catalog_of: Callable[..., None]) -> str:
    """The name of a model for few bits in a catalog that has, besides, only ``fast``."""
    catalog_of(bits_onnx)
    return bits_onnx.stem


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_go_to_the_model_for_them(few_bit_release: str, photo: np.ndarray, bits: int) -> None:
    assert catalog.released_for("bit-depth-expansion") == (few_bit_release,)
    auto = sdk.InverseHalftoner("auto", device="cpu", threshold=0.5)
    few = quantise_bits(photo, bits)
    restored = auto.run(few)
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("few-bit", few_bit_release)
    assert auto.choice.analysis.bits == bits
    assert np.array_equal(restored, sdk.BitDepthExpander(few_bit_release, device="cpu").run(few))
    assert [model["model"] for model in auto.describe()["loaded"]] == ["fast", few_bit_release]


def test_even_steps_of_no_number_of_bits_are_left_alone(few_bit_release: str, photo: np.ndarray) -> None:
    smooth = cv2.GaussianBlur(photo, (0, 0), 3)
    poster = np.rint(np.rint(smooth / 255 * 4) * 63.75).astype(np.uint8)  # 0, 64, 128, 191, 255
    auto = sdk.InverseHalftoner("auto", device="cpu")
    with pytest.warns(sdk.NoHalftoneWarning, match="few-bit") as caught:
        assert np.array_equal(auto.run(poster), poster)
    assert caught[0].filename == __file__, "it points at the caller"
    assert auto.choice is not None
    assert auto.choice.model is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_a_threshold_leaves_is_looked_at(white: np.ndarray, dtype: type) -> None:
    """A dither that JPEG or a scaler blurred is no dither any more, until it is cut."""
    blurred = cv2.GaussianBlur(white[:256, :256].astype(np.float32), (0, 0), 0.6)
    given = blurred if dtype == np.float32 else np.rint(blurred * np.iinfo(dtype).max).astype(dtype)
    auto = sdk.InverseHalftoner("auto", device="cpu", threshold=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = auto.run(given)
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("dither", "fast")
    assert np.array_equal(restored, sdk.InverseHalftoner("fast", device="cpu", threshold=0.5).run(given))


def test_a_threshold_makes_no_halftone_of_a_photograph(photo: np.ndarray) -> None:
    auto = sdk.InverseHalftoner("auto", device="cpu", threshold=0.5)
    with pytest.warns(sdk.NoHalftoneWarning, match="continuous"):
        assert np.array_equal(auto.run(photo), photo)


def test_a_threshold_leaves_the_choice_for_scans(auto: sdk.InverseHalftoner) -> None:
    scan = np.asarray(Image.open(SAMPLES / "gallica_ad_truck4.jpg").convert("L"))[:512, :512]
    cutting = sdk.InverseHalftoner("auto", device="cpu", threshold=0.5)
    auto.run(scan)
    cutting.run(scan)
    assert auto.choice is not None
    assert cutting.choice == auto.choice


def test_models_load_when_first_needed_and_are_described(white: np.ndarray) -> None:
    auto = sdk.InverseHalftoner("auto", device="cpu", tile=512)
    auto.run(white[:128, :128])
    loaded = auto.describe()["loaded"]
    assert [model["model"] for model in loaded] == ["fast"]
    assert loaded[0]["tile"] == 512
    assert auto.metadata.name == "auto"


def test_threads_get_what_one_after_another_gives(white: np.ndarray, photo: np.ndarray) -> None:
    """Also while models are loaded."""
    part = photo[:128, :128]
    colour = np.dstack([part, photo[128:256, :128], photo[:128, 128:256]])
    pictures = [white[:128, :128], halftone(colour, "floyd-steinberg"), sdk.Halftoner("palette", colors=32).run(colour)]
    pictures += [quantise_bits(part, 3), white[100:196, 200:360]]
    alone: list[sdk.Choice] = []
    expected = sdk.InverseHalftoner("auto", device="cpu", threads=1, on_choice=alone.append).run_batch(pictures)
    assert [choice.model for choice in alone] == ["fast", "colour", "gif", "companding", "fast"]
    together: list[sdk.Choice] = []
    auto = sdk.InverseHalftoner("auto", device="cpu", threads=1, on_choice=together.append)
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(auto.run, pictures * 3))
    for restored, same in zip(found, expected * 3):
        np.testing.assert_array_equal(restored, same)
    assert Counter(together) == Counter(alone * 3)


def test_options_are_refused_at_once() -> None:
    with pytest.raises(sdk.errors.OptionError, match="tile is 63"):
        sdk.InverseHalftoner("auto", device="cpu", tile=63)


def test_tiles_are_checked_for_every_model_at_once() -> None:
    """Not by the first picture of the kind that needs larger ones, hours later."""
    with pytest.raises(OptionError, match="tile is 256 px, but below"):
        sdk.InverseHalftoner("auto", device="cpu", tile=256)
    assert sdk.InverseHalftoner("auto", device="cpu", tile=np.int64(512)).describe()["loaded"][0]["tile"] == 512


def test_what_is_left_alone_is_a_copy(auto: sdk.InverseHalftoner, photo: np.ndarray) -> None:
    """A camera's buffer is filled again, and a read-only picture is no reason for a read-only result."""
    given = photo[:96, :96]
    given.setflags(write=False)
    with pytest.warns(sdk.NoHalftoneWarning):
        found = auto.run(given)
    assert np.array_equal(found, given)
    assert not np.shares_memory(found, given)
    found[:] = 0


def test_each_choice_is_reported(white: np.ndarray, photo: np.ndarray) -> None:
    seen: list[sdk.Choice] = []
    auto = sdk.InverseHalftoner("auto", device="cpu", on_choice=seen.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.NoHalftoneWarning)
        auto.run_batch([white[:160, :160], photo])
    assert [choice.model for choice in seen] == ["fast", None]
    assert "fast" in str(seen[0])
    assert "unchanged" in str(seen[1])


def test_command_line_says_what_it_picked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.png"
    assert main(["restore", str(SAMPLES / "gallica_press1930s_06.jpg"), "-o", str(target), "-v"]) == 0
    shown = capsys.readouterr().out
    assert "screen" in shown
    assert "'scan'" in shown
    assert target.is_file()


def test_command_line_analyzes_and_goes_past_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert main(["analyze", str(tmp_path / "bad.png"), str(SAMPLES / "kodim23_floyd-steinberg.png")]) == 1
    captured = capsys.readouterr()
    assert "dither" in captured.out
    assert "not a picture" in captured.err


def test_command_line_analyzes_folders_and_globs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(SAMPLES / "kodim23*.png")]) == 0
    assert capsys.readouterr().out.count("kodim23") == 2
    assert main(["analyze", str(SAMPLES)]) == 0
    assert "kodim23_floyd-steinberg.png: 1-bit dither" in capsys.readouterr().out
    assert main(["analyze", str(SAMPLES / "no*.png")]) == 1
    assert "No pictures found" in capsys.readouterr().err


def test_colour_dithers_are_better_for_all_channels_at_once_by_03_db(restorer: sdk.InverseHalftoner) -> None:
    """Of a colour print without its screen: what ``auto`` takes, against ``fast`` on each channel."""
    with Image.open(SAMPLES / "gallica_colour_print_2.jpg") as opened:
        colour = np.asarray(opened.convert("RGB").reduce(3))[:256, :256].copy()
    dots = sdk.Halftoner("floyd-steinberg").run(colour)
    auto = sdk.InverseHalftoner("auto", device="cpu")
    restored = auto.run(dots)
    assert auto.choice is not None
    assert auto.choice.model == "colour"
    assert psnr(restored, colour) >= psnr(restorer.run(dots), colour) + 0.3


def test_command_line_analyzes_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(SAMPLES / name) for name in ("kodim23_floyd-steinberg.png", "gallica_ad_truck4.jpg")]
    assert main(["analyze", *names, "--dpi", "300", "--json"]) == 0
    dither, screen = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (dither["file"], dither["kind"]) == (names[0], "dither")
    assert dither["method"] == "floyd-steinberg"
    assert dither["period"] is None
    assert screen["kind"] == "screen"
    assert screen["lpi"] == pytest.approx(300 / screen["period"])


def test_few_colours_go_to_the_model_for_palettes_without_a_warning(photo: np.ndarray) -> None:
    colour = np.stack([photo, photo[::-1], photo[:, ::-1]], axis=-1)[:256, :384]
    reduced = sdk.Halftoner("palette", colors=64).run(colour)
    auto = sdk.InverseHalftoner("auto", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = auto.run(reduced)
    assert auto.choice is not None
    assert (auto.choice.analysis.kind, auto.choice.model) == ("palette", "gif")
    error = [np.mean((picture.astype(float) - colour) ** 2) for picture in (restored, reduced)]
    assert error[0] < 0.8 * error[1]
