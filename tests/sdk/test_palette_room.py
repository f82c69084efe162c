"""``sdk.networks.palette_room``: what a palette cannot have done is taken back; dither still goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.analysis.levels import distinct_colors
from sdk.errors import OptionError
from sdk.images import from_unit, to_unit
from sdk.networks import palette_room
from sdk.networks.halftone import HalftoneNetwork
from sdk.networks.palette_room import STRIP, cells, find_palette, is_even, keep_to_palette, repeats

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rgb(photo: np.ndarray) -> np.ndarray:
    """A colour photograph, nearly: a grey one, its mirror image and a mixture."""
    tile = photo[:192, :256]
    return np.stack([tile, np.flip(tile, axis=1), tile // 2 + np.flip(tile, axis=0) // 2], axis=-1)


@pytest.fixture(scope="module")
def gif() -> sdk.InverseHalftoner:
    return sdk.InverseHalftoner("gif", device="cpu")


def smoothed(picture: np.ndarray) -> np.ndarray:
    """What a careless network makes of it."""
    unit = to_unit(picture)
    return (unit + np.roll(unit, 1, 0) + np.roll(unit, 1, 1) + np.roll(unit, -1, 1)) / 4


def changed(restored: np.ndarray, picture: np.ndarray) -> float:
    """Levels, root mean square."""
    return 255 * float(np.sqrt(np.mean((restored - to_unit(picture)) ** 2)))


def test_the_palette_and_its_map_give_the_picture(rgb: np.ndarray) -> None:
    few = sdk.Halftoner("palette", colors=200).run(rgb)
    for picture in (few, few.astype(np.uint16) * 257, to_unit(few), few[..., 0], few > 100):
        found = find_palette(picture)
        assert found is not None
        colors, index = found
        assert len(colors) == len(np.unique(picture.reshape(-1, picture.shape[2] if picture.ndim == 3 else 1), axis=0))
        np.testing.assert_allclose(colors[index].reshape(picture.shape), to_unit(picture), atol=1e-6)


def test_more_colours_than_256_are_no_palette(rgb: np.ndarray) -> None:
    assert distinct_colors([rgb]) is None
    restored = smoothed(rgb)
    assert keep_to_palette(restored, rgb) is restored
    sixteen_bits = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)
    assert find_palette(sixteen_bits) is None
    restored = smoothed(sixteen_bits)
    assert keep_to_palette(restored, sixteen_bits) is restored


def test_cells_of_greys_have_one_dimension_and_those_of_a_cube_three() -> None:
    greys = np.repeat(np.arange(0, 256, 5)[:, None], 3, axis=1) / np.float32(255)
    error, width = cells(greys)
    apart = np.sqrt(3) * 5 / 255
    np.testing.assert_allclose(error[1:-1], apart**2 / 12, rtol=1e-3)
    np.testing.assert_allclose(width[1:-1], apart, rtol=1e-3)
    steps = np.arange(6) / np.float32(5)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    error, width = cells(cube)
    inside = ((cube > 0.1) & (cube < 0.9)).all(axis=1)
    np.testing.assert_allclose(error[inside], 3 * 0.2**2 / 12, rtol=1e-3)
    np.testing.assert_allclose(width[inside], 0.2, rtol=1e-3)


def test_exact_greys_hardly_change(photo: np.ndarray) -> None:
    assert changed(smoothed(photo), photo) > 4
    assert changed(keep_to_palette(smoothed(photo), photo), photo) < 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_drawings_come_back(dtype: type, gif: sdk.InverseHalftoner) -> None:
    """Flat colours, hard edges, squares of 4x4 px: none of them dithered."""
    colors = np.random.default_rng(0).integers(0, 256, (8, 3))
    art = np.kron(np.random.default_rng(1).integers(0, 8, (32, 32)), np.ones((4, 4), int))
    picture = from_unit(to_unit(colors[art].astype(np.uint8)), dtype)
    np.testing.assert_array_equal(gif.run(picture), picture)


def test_a_picture_of_one_colour_comes_back() -> None:
    flat = np.full((40, 50, 3), 77, np.uint8)
    np.testing.assert_array_equal(keep_to_palette(to_unit(flat) + np.float32(0.1), flat), to_unit(flat))


@pytest.mark.parametrize("matrix", [2, 4, 8, 16])
def test_changes_that_repeat_with_a_matrix_are_ordered_dither(matrix: int) -> None:
    rng = np.random.default_rng(0)
    tile = rng.permutation(np.linspace(-1.7, 1.7, matrix**2, dtype=np.float32)).reshape(matrix, matrix)
    change = np.tile(tile, (128 // matrix, 160 // matrix)) + rng.normal(scale=0.7, size=(128, 160)).astype(np.float32)
    assert repeats(change)
    assert repeats(np.repeat(change[..., None], 3, axis=-1))
    assert not repeats(rng.normal(size=(128, 160)).astype(np.float32))
    assert not repeats(np.zeros((128, 160), np.float32))
    assert not repeats(change[:16, :16])


def test_ordered_dither_goes_as_before(rgb: np.ndarray) -> None:
    bayer = sdk.Halftoner("palette", colors=27, dither="bayer").run(rgb)
    truth = to_unit(rgb)
    assert changed(keep_to_palette(truth, bayer), rgb) < 0.2 * changed(to_unit(bayer), rgb)


def test_halftones_of_two_levels_are_left_to_the_network(rgb: np.ndarray) -> None:
    dots = from_unit(to_unit(sdk.Halftoner("floyd-steinberg").run(rgb)), np.uint8)
    restored = smoothed(dots)
    assert keep_to_palette(restored, dots) is restored
    grey = np.ascontiguousarray(restored[..., 0])
    assert keep_to_palette(grey, dots[..., 0] > 0) is grey


def test_strips_show_no_seams(rgb: np.ndarray) -> None:
    few = np.tile(sdk.Halftoner("palette", colors=64).run(rgb), (3, 1, 1))[: STRIP + 90]
    restored = smoothed(few)
    whole = keep_to_palette(restored, few)
    turned = keep_to_palette(np.ascontiguousarray(restored.swapaxes(0, 1)), np.ascontiguousarray(few.swapaxes(0, 1)))
    np.testing.assert_allclose(whole, turned.swapaxes(0, 1), atol=1e-4)


def test_strips_change_nothing(rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the picture is dithered, half is flat: what a row depends on changes from one to the other."""
    few = np.tile(sdk.Halftoner("palette", colors=64).run(rgb), (3, 1, 1))[: 2 * STRIP + 90]
    few[:, : few.shape[1] // 2] &= 0xC0
    restored = smoothed(few)
    strips = keep_to_palette(restored, few)
    monkeypatch.setattr(palette_room, "STRIP", len(few))
    np.testing.assert_allclose(strips, keep_to_palette(restored, few), atol=1e-7)


def test_dither_is_restored_and_what_is_nearly_exact_is_kept(photo: np.ndarray, gif: sdk.InverseHalftoner) -> None:
    """Of a grey photograph: 16 greys leave much to restore, 80 nearly nothing."""
    error = {}
    for colors in (16, 256):
        few = sdk.Halftoner("palette", colors=colors).run(np.repeat(photo[..., None], 3, axis=-1))
        truth = np.repeat(photo[..., None], 3, axis=-1)
        error[colors] = changed(to_unit(gif.run(few)), truth) / changed(to_unit(few), truth)
    assert error[16] < 0.95
    assert error[256] < 1.005


def test_the_same_for_every_depth(rgb: np.ndarray, gif: sdk.InverseHalftoner) -> None:
    few = sdk.Halftoner("palette", colors=256).run(rgb)
    deep, unit = gif.run(few.astype(np.uint16) * 257), gif.run(to_unit(few))
    assert np.abs(gif.run(few) / 255 - unit).max() <= 0.51 / 255
    assert np.abs(deep / 65535 - unit).max() < 1e-4


def test_a_threshold_makes_pictures_of_no_palette(rgb: np.ndarray) -> None:
    few = sdk.Halftoner("palette", colors=8).run(rgb)
    cut = HalftoneNetwork("gif", device="cpu", threshold=0.5)
    assert changed(to_unit(cut.restore(few)), few) > changed(to_unit(HalftoneNetwork("gif", device="cpu").restore(few)), few)


class HostPipeline:
    """Stands in for ``GpuPipeline``: answers with its input, smoothed and a little darker."""

    def run(self, picture: np.ndarray, *, unclipped: bool = False, condition: Any = 0.0) -> np.ndarray:
        assert unclipped
        return smoothed(picture) * np.float32(0.9)


def test_what_a_gpu_restores_is_held_to_the_palette_too(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    network = HalftoneNetwork("gif", device="cpu")
    monkeypatch.setattr(network, "_pipeline", HostPipeline())
    assert changed(smoothed(photo) * 0.9, photo) > 8
    assert changed(to_unit(network.restore(photo)), photo) < 2
    with pytest.raises(OptionError, match="palette of each picture on the CPU"):
        network.restore_in_gpu_memory(photo)


@pytest.mark.parametrize("method", ["floyd-steinberg", "bayer", "blue-noise"])
def test_dithers_of_a_few_even_levels_are_left_to_the_network(rgb: np.ndarray, method: str) -> None:
    """Cut to the same levels without dither, they are not."""
    for photo in (rgb, rgb[..., 0].copy()):
        dots = sdk.Halftoner(method, levels=4).run(photo)
        restored = smoothed(dots)
        assert keep_to_palette(restored, dots) is restored
        cut = (photo // 64 * 85).astype(np.uint8)
        assert changed(keep_to_palette(smoothed(cut), cut), cut) < 0.9 * changed(smoothed(cut), cut)


def test_even_levels() -> None:
    greys = np.linspace(0, 1, 16, dtype=np.float32)[:, None]
    assert is_even(greys)
    assert not is_even(greys[[0, 15]])  # a halftone, which is another matter
    assert not is_even(np.linspace(0, 1, 17, dtype=np.float32)[:, None])
    assert not is_even(np.array([[0.0], [0.13], [0.47], [1.0]], np.float32))
    assert is_even(np.array([[0, 0, 0], [1, 0.5, 1], [0, 1, 0]], np.float32))
