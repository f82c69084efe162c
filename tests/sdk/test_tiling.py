"""``sdk.tiling``: tiles cover a plane, their weights add up to one, and a local network sees no seams."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdk.errors import OptionError
from sdk.tiling import infer_tiled, padded, spans


@dataclass(frozen=True)
class Layout:
    length: int
    tile: int
    overlap: int
    multiple: int


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Everything that ``spans`` can keep its promises for: tiles that start at multiples share at most tile - multiple."""
    multiple = draw(st.sampled_from([1, 2, 4, 8, 16]))
    tile = multiple * draw(st.integers(1, 16))
    overlap = draw(st.integers(0, min(tile // 3, tile - multiple)))
    return Layout(multiple * draw(st.integers(1, 80)), tile, overlap, multiple)


def tiles_of(layout: Layout):
    return spans(layout.length, layout.tile, layout.overlap, layout.multiple)


@settings(max_examples=300, deadline=None)
@given(layouts())
@example(Layout(length=48, tile=32, overlap=10, multiple=8))  # a third tile begins where the first still fades
def test_weights_add_up_to_one(layout: Layout) -> None:
    total = np.zeros(layout.length)
    for span in tiles_of(layout):
        total[span.slice] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-5)


@settings(max_examples=300, deadline=None)
@given(layouts())
def test_neighbours_share_the_overlap(layout: Layout) -> None:
    for left, right in pairwise(tiles_of(layout)):
        assert left.start < right.start <= left.start + layout.tile - layout.overlap


@settings(max_examples=300, deadline=None)
@given(layouts())
def test_tiles_are_whole_and_start_at_multiples(layout: Layout) -> None:
    tiles = tiles_of(layout)
    assert tiles[0].start == 0
    assert tiles[-1].slice.stop == layout.length
    assert {tile.start % layout.multiple for tile in tiles} == {0}
    sizes = {tile.weights.size for tile in tiles}
    assert len(sizes) == 1
    assert sizes.pop() <= layout.tile


def test_tiles_are_no_larger_than_the_picture_needs() -> None:
    """Two tiles of 560 px, not of 1024, for 1040 px with an overlap of 64."""
    assert [tile.weights.size for tile in spans(1040, tile=1024, overlap=64, multiple=8)] == [560, 560]


@settings(max_examples=50, deadline=None)
@given(layouts())
def test_outer_quarters_of_the_overlap_count_for_nothing(layout: Layout) -> None:
    tiles, context = tiles_of(layout), layout.overlap // 4
    for left, right in pairwise(tiles):
        assert (right.weights[:context] == 0).all()
        assert (left.weights[left.weights.size - context :] == 0).all()


def test_one_tile_fades_smoothly_into_the_next() -> None:
    """A squared sine over the middle half of the 40 px that these two share."""
    left, right = spans(length=200, tile=120, overlap=40)
    expected = np.zeros(120)
    expected[10:30] = np.sin(np.pi / 2 * (np.arange(20) + 0.5) / 20) ** 2
    expected[30:] = 1
    np.testing.assert_allclose(right.weights, expected, atol=1e-6)
    np.testing.assert_allclose(left.weights, expected[::-1], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 2, 8]), st.integers(0, 10))
def test_identity_gives_the_plane_back(height: int, width: int, multiple: int, overlap: int) -> None:
    plane = np.random.default_rng(0).random((height, width), dtype=np.float32)
    restored = infer_tiled(plane, lambda x: x, tile=64, overlap=overlap, multiple=multiple)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, plane, atol=1e-6)


@pytest.mark.parametrize(("radius", "multiple"), [(1, 1), (3, 1), (3, 8), (5, 2)])
def test_tiled_box_filter_equals_whole(radius: int, multiple: int) -> None:
    """Where a network reaches ``radius`` px and tiles share 4 times that, nothing of the tiling is seen."""

    def box(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x[0, 0], (2 * radius + 1,) * 2, borderType=cv2.BORDER_CONSTANT)[None, None]

    plane = np.random.default_rng(0).random((200, 264), dtype=np.float32)
    tiled = infer_tiled(plane, box, tile=64, overlap=4 * radius, multiple=multiple)
    whole = box(plane[None, None])[0, 0]
    inside = np.s_[radius:-radius, radius:-radius]
    np.testing.assert_allclose(tiled[inside], whole[inside], atol=1e-5)


def test_too_small_an_overlap_shows_seams() -> None:
    """The test above would notice: without overlap the same filter differs."""

    def box(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x[0, 0], (7, 7), borderType=cv2.BORDER_CONSTANT)[None, None]

    plane = np.ones((192, 192), np.float32)  # three whole tiles of 64 px
    seams = np.abs(infer_tiled(plane, box, tile=64, overlap=0) - box(plane[None, None])[0, 0])
    assert seams[3:-3, 3:-3].max() > 0.1


@pytest.mark.parametrize(("tile", "overlap"), [(64, 22), (63, 22), (64, -1)])
def test_overlap_over_a_third_is_refused(tile: int, overlap: int) -> None:
    with pytest.raises(OptionError, match="overlap"):
        spans(200, tile, overlap)


def test_overlap_that_multiples_cannot_give_is_refused() -> None:
    """Tiles of 8 px that start at multiples of 8 share nothing."""
    assert [span.start for span in spans(16, 8, 0, 8)] == [0, 8]
    with pytest.raises(OptionError, match="overlap"):
        spans(16, 8, 1, 8)


@pytest.mark.parametrize("shape", [(50, 61), (64, 64), (8, 8)])
def test_picture_that_fits_is_computed_whole(shape: tuple[int, int]) -> None:
    seen = []

    def infer(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x

    plane = np.random.default_rng(0).random(shape, dtype=np.float32)
    restored = infer_tiled(plane, infer, tile=64, overlap=16, multiple=8)
    assert len(seen) == 1
    assert seen[0].shape == (1, 1, -(-shape[0] // 8) * 8, -(-shape[1] // 8) * 8)
    np.testing.assert_array_equal(restored, plane)


def test_tiles_are_cut_where_the_picture_is_too_large() -> None:
    shapes = []

    def infer(x: np.ndarray) -> np.ndarray:
        shapes.append(x.shape)
        return x

    infer_tiled(np.zeros((40, 150), np.float32), infer, tile=64, overlap=16, multiple=8)
    assert len(shapes) > 2
    assert len(set(shapes)) == 1
    assert shapes[0][3] <= 64


@pytest.mark.parametrize("shape", [(40, 150), (201, 75), (64, 64), (9, 8)])
def test_what_lies_beside_is_cut_where_the_picture_is(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    beside = rng.random([padded(side, 8) for side in shape], dtype=np.float32)

    def infer(part: np.ndarray, noise: np.ndarray) -> np.ndarray:
        assert (part.dtype, noise.dtype) == (np.uint8, np.float32)
        assert part.shape == noise.shape
        return part + 2 * noise

    restored = infer_tiled(pixels, infer, tile=64, overlap=16, multiple=8, beside=beside)
    np.testing.assert_allclose(restored, pixels + 2 * beside[: shape[0], : shape[1]], rtol=1e-5)
