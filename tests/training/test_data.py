"""``training.data``: batches are reproducible and within range; unusable folders are explained."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sdk.analysis.methods import LABELS
from training.config import load_recipe
from training.contact_sheet import GAP, contact_sheet
from training.data import LARGEST, DataError, Pairs, augment, evenly, photo_paths, read_grey, read_photos
from training.degradations import HalftoneFamily

MIX = (
    HalftoneFamily(("floyd-steinberg", "stucki"), 1.0, choose={"serpentine": [False, True]}),
    HalftoneFamily(("am-screen",), 1.0, between={"lpi": (75.0, 150.0), "angle": (0.0, 90.0)}),
)


@pytest.fixture
def folder(tmp_path: Path, photo: np.ndarray) -> Path:
    """Three photographs of 96x128 px, one of them in a sub-folder."""
    (tmp_path / "more").mkdir()
    for name, left in (("a.png", 0), ("b.PNG", 200), ("more/c.png", 400)):
        cv2.imwrite(str(tmp_path / name), photo[200:296, left : left + 128])
    return tmp_path


def pairs(folder: Path, seed: int = 0, batch: int = 4, steps: int = 100) -> Pairs:
    return Pairs(folder, MIX, crop=32, batch=batch, steps=steps, seed=seed)


def test_shapes_and_ranges(folder: Path) -> None:
    data = pairs(folder)
    assert len(data) == 100
    for step in range(5):
        halftones, photos = data[step]
        for tensor in (halftones, photos):
            assert tensor.shape == (4, 1, 32, 32)
            assert tensor.dtype == torch.float32
        assert set(halftones.unique().tolist()) == {0.0, 1.0}
        assert 0 <= photos.min() < photos.max() <= 1
        assert photos.unique().numel() > 10


def test_batches_depend_on_seed_and_step_only(folder: Path) -> None:
    visited, fresh = pairs(folder, seed=7), pairs(folder, seed=7, steps=10)
    _ = [visited[step] for step in (9, 2, 5)]
    for one, other in zip(visited[3], fresh[3]):
        assert torch.equal(one, other)


def test_batches_differ_by_seed_and_step(folder: Path) -> None:
    halftones, photos = pairs(folder, seed=7)[3]
    for other_halftones, other_photos in (pairs(folder, seed=8)[3], pairs(folder, seed=7)[4]):
        assert not torch.equal(halftones, other_halftones)
        assert not torch.equal(photos, other_photos)


def test_halftones_show_their_photographs(folder: Path) -> None:
    """Blurred, they are near their own crops, and far from these shifted or mirrored."""
    halftones, photos = (tensor[:, 0].numpy() for tensor in pairs(folder, batch=32)[0])
    blurred = np.stack([cv2.GaussianBlur(dots, (0, 0), 3) for dots in halftones])
    own, *others = (np.mean((blurred - p) ** 2) for p in (photos, np.roll(photos, 1, 0), photos[:, ::-1], photos[:, :, ::-1]))
    assert own < 0.3 * min(others)


def test_augment_makes_all_eight_orientations() -> None:
    region = np.arange(9).reshape(3, 3)
    rng = np.random.default_rng(0)
    seen = {augment(region, rng).tobytes() for _ in range(200)}
    rotated = [np.rot90(region, k) for k in range(4)]
    assert seen == {np.ascontiguousarray(r).tobytes() for r in (*rotated, *(r[:, ::-1] for r in rotated))}


def test_every_family_of_a_recipe_is_drawn() -> None:
    mix = load_recipe("fast").data.mix
    rng = np.random.default_rng(0)
    for family in mix:
        drawn = [family.draw(rng) for _ in range(300)]
        assert {name for name, _ in drawn} == set(family.methods)
        for key, values in family.choose.items():
            assert {parameters[key] for _, parameters in drawn} == set(values)
        for key, (low, high) in family.between.items():
            values = [parameters[key] for _, parameters in drawn]
            assert low <= min(values) < low + 0.1 * (high - low)
            assert high - 0.1 * (high - low) < max(values) <= high


def test_networks_are_told_the_method_now_and_then(folder: Path) -> None:
    families = (
        HalftoneFamily(("stucki",), 1.0, told=0.5),
        HalftoneFamily(("am-screen",), 1.0, told=1.0),  # it has no name
    )
    halftones, photos = Pairs(folder, families, crop=32, batch=64, steps=1)[0]
    assert (halftones.shape[1], photos.shape[1]) == (2, 1)
    numbers = 256 * halftones[:, 1]
    assert (numbers.amin((1, 2)) == numbers.amax((1, 2))).all()
    found = numbers[:, 0, 0].unique(return_counts=True)
    number = 1 + LABELS.index("stucki")
    assert found[0].tolist() == [0, number]
    assert 6 < found[1][1] < 26
    assert set(halftones[:, 0].unique().tolist()) == {0, 1}


def test_photo_paths_are_sorted_and_deep(folder: Path) -> None:
    (folder / "notes.txt").write_text("no picture")
    assert [path.relative_to(folder).as_posix() for path in photo_paths(folder)] == ["a.png", "b.PNG", "more/c.png"]


def test_colour_is_read_as_luma(tmp_path: Path) -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[..., 0] = 255
    cv2.imwrite(str(tmp_path / "red.png"), rgb[..., ::-1])
    assert (read_grey(tmp_path / "red.png") == 76).all()  # 0.299 * 255


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train is not a folder.*Give --data"):
        pairs(tmp_path / "train")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no photographs.*\.png"):
        pairs(tmp_path)


def test_too_small_photographs(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((63, 200), np.uint8))
    with pytest.raises(DataError, match=r"64x64 px.*crops of 32 px"):
        pairs(tmp_path)


def test_small_photographs_are_left_out(folder: Path) -> None:
    cv2.imwrite(str(folder / "small.png"), np.zeros((63, 200), np.uint8))
    assert len(pairs(folder).photos) == 3


def test_smallest_photograph_that_fits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "just.png"), np.full((64, 64), 128, np.uint8))
    assert pairs(tmp_path)[0][1].shape == (4, 1, 32, 32)


def test_unreadable_photograph(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"torn\.png cannot be read.*remove it"):
        pairs(tmp_path)


@pytest.mark.parametrize("name", ["scan", "companding", "cdh-halftone", "fast"])
def test_contact_sheets_show_what_is_given_and_wanted(photos: Path, name: str) -> None:
    sheet = contact_sheet(load_recipe(name), photos, rows=1, columns=2, crop=64)
    assert sheet.shape[:2] == (64 + GAP, 2 * (2 * 64 + GAP))
    given, wanted = sheet[3:67, 3:67], sheet[3:67, 67:131]
    assert not np.array_equal(given, wanted)
    if name == "cdh-halftone":
        assert set(np.unique(wanted)) == {0, 255}
        assert len(np.unique(given)) > 20


def test_photographs_cut_short_are_all_named(folder: Path, photo: np.ndarray) -> None:
    encoded = cv2.imencode(".jpg", photo)[1].tobytes()
    (folder / "whole.jpg").write_bytes(encoded)
    (folder / "half.jpg").write_bytes(encoded[: len(encoded) // 2])
    (folder / "text.png").write_text("no picture")
    assert cv2.imread(str(folder / "half.jpg")) is not None  # OpenCV fills what is missing with grey
    with pytest.raises(DataError) as told:
        pairs(folder)
    assert "half.jpg" in str(told.value)
    assert "text.png" in str(told.value)
    assert "whole.jpg" not in str(told.value)


def test_hidden_files_and_folders_with_a_picture_s_name_are_no_photographs(folder: Path) -> None:
    (folder / "._a.png").write_bytes(b"of a Macintosh")
    (folder / "album.jpg").mkdir()
    assert [path.name for path in photo_paths(folder)] == ["a.png", "b.PNG", "c.png"]


def test_large_photographs_are_shrunk(tmp_path: Path, photo: np.ndarray) -> None:
    large = cv2.resize(photo, None, fx=3, fy=3)
    for name, picture in (("large.png", large), ("small.png", photo[:96, :128])):
        cv2.imwrite(str(tmp_path / name), picture)
    shrunk, small = read_photos([tmp_path / "large.png", tmp_path / "small.png"], planes=1)
    assert min(shrunk.shape) == LARGEST
    assert max(shrunk.shape) == round(max(large.shape) * LARGEST / min(large.shape))
    assert small.shape == (96, 128)


def test_those_too_small_for_a_crop_are_counted(folder: Path, photo: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(folder / "tiny.png"), photo[:50, :90])
    assert len(pairs(folder).photos) == 3
    assert "3 of 4 photographs are used: 1 are smaller than 64 px" in capsys.readouterr().out


def test_pictures_are_chosen_from_all_of_them() -> None:
    assert evenly(range(68), 24)[::8] == [0, 22, 45]
    assert evenly(range(24), 20)[-1] == 22
    assert list(evenly(range(3), 20)) == [0, 1, 2]
