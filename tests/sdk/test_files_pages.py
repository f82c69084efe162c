"""Pages and frames on disk: kinds, sizes and timing stay, and pages never become an animation."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdk
from sdk.errors import ImageWriteError
from sdk.files import encode, read, write
from sdk.headers import Header
from sdk.images import Picture
from sdk.same_kind import restore_file
from tests.sdk.pictures import COLOUR, COLOUR16, DPI, GREY, GREY16, ICC, ORIENTATION, TURN_CLOCKWISE, WHITE, files_below, frames, saved


def dots(count: int) -> list[Image.Image]:
    return [Image.fromarray(frame > 120).convert("P") for frame in frames(count)]


# Pages


def test_tiff_pages_of_different_sizes_round_trip(tmp_path: Path) -> None:
    pages = [GREY, GREY[:16], GREY[:, :20]]
    write(tmp_path / "pages.tif", [Picture(page, header=Header(dpi=DPI)) for page in pages])
    file = read(tmp_path / "pages.tif")
    assert file.pages[0].header.dpi == DPI
    for found, page in itertools.zip_longest(file.pages, pages):
        np.testing.assert_array_equal(found.pixels, page)


@pytest.mark.parametrize("kinds", list(itertools.permutations(["1", "L", "RGB"], 2)), ids="-".join)
def test_tiff_pages_of_different_kinds_round_trip(kinds: tuple[str, str]) -> None:
    pages = [{"1": WHITE, "L": GREY, "RGB": COLOUR}[kind] for kind in kinds]
    file = read(encode([Picture(page) for page in pages], "TIFF"))
    for found, page in itertools.zip_longest(file.pages, pages):
        np.testing.assert_array_equal(found.pixels, page)


@pytest.mark.parametrize("array", [WHITE, GREY, GREY16, np.dstack([GREY] * 3)], ids=["1", "L", "I;16", "RGB of equal channels"])
def test_tiff_pages_keep_their_kind(array: np.ndarray) -> None:
    for page in read(encode([Picture(array, header=Header(icc_profile=ICC))] * 2, "TIFF")).pages:
        assert page.pixels.dtype == array.dtype
        np.testing.assert_array_equal(page.pixels, array)


def test_pages_of_1_bit_beside_grey_ones_are_coded_as_such() -> None:
    data = encode([Picture(WHITE), Picture(GREY)], "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
    first, second = read(data).pages
    np.testing.assert_array_equal(first.pixels, WHITE)
    np.testing.assert_array_equal(second.pixels, GREY)


@pytest.mark.parametrize("format", ["JPEG", "BMP", "PPM"])
def test_several_pages_do_not_fit(format: str) -> None:
    with pytest.raises(ImageWriteError, match=r"one picture, but there are 2 pages; write \.tif"):
        encode([Picture(GREY), Picture(GREY)], format)


def test_the_first_page_alone_can_be_read() -> None:
    data = encode([Picture(GREY), Picture(GREY)], "TIFF")
    assert len(read(data, first_page_only=True).pages) == 1


def test_a_phone_photograph_with_two_views_is_one_jpeg() -> None:
    views = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    file = read(saved(views[0], "MPO", save_all=True, append_images=views[1:]))
    assert (file.format, len(file.pages)) == ("JPEG", 1)


def test_a_page_can_be_asked_for_again_and_in_any_order() -> None:
    """Pillow forgets how a page lay once it has turned it."""
    turned = {"tiffinfo": {ORIENTATION: TURN_CLOCKWISE}, "dpi": DPI}
    pages = [Image.fromarray(frame) for frame in frames(3)]
    book = read(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:], **turned)).pages
    for i in (2, 2, 0, 0, 1, 2, 1):
        np.testing.assert_array_equal(book[i].pixels, np.rot90(frames(3)[i], -1))
        assert book[i].header.dpi == DPI[::-1]
    with pytest.raises(IndexError):
        book[3]


# Frames


def test_animated_gif_is_read_with_its_timing() -> None:
    images = dots(3)
    data = saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=[100, 250, 40], loop=2)
    file = read(data)
    assert [page.duration for page in file.pages] == [100, 250, 40]
    assert file.loop == 3  # GIF says how often it is shown again
    for page, image in zip(file.pages, images):
        white = page.pixels if page.pixels.ndim == 2 else page.pixels[..., 0]
        np.testing.assert_array_equal(white > 0, np.asarray(image.convert("1")))


def test_all_frames_of_a_grey_gif_are_grey() -> None:
    images = dots(3)
    file = read(saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=100))
    assert [page.pixels.ndim for page in file.pages] == [2, 2, 2]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_animation_round_trip(format: str) -> None:
    pages = [Picture(frame, duration=duration) for frame, duration in zip(frames(3), (100.0, 250.0, 40.0))]
    file = read(encode(pages, format, loop=3))
    assert [page.duration for page in file.pages] == [100, 250, 40]
    assert file.loop == 3
    for found, page in zip(file.pages, pages):
        grey = found.pixels if found.pixels.ndim == 2 else found.pixels[..., 1]
        np.testing.assert_array_equal(grey, page.pixels)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_frames_of_black_and_white_and_of_grey_fit_one_animation(format: str) -> None:
    pages = [Picture(WHITE, duration=50.0), Picture(GREY, duration=50.0)]
    assert len(read(encode(pages, format)).pages) == 2


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_a_frame_shown_twice_takes_its_full_time(format: str) -> None:
    """Pillow joins equal neighbours; the animation must still last as long."""
    pages = [Picture(frame, duration=100.0) for frame in (GREY, GREY, GREY[::-1])]
    file = read(encode(pages, format))
    assert sum(page.duration or 0 for page in file.pages) == 300


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_pages_of_different_sizes_do_not_become_an_animation(format: str) -> None:
    with pytest.raises(ImageWriteError, match="differ in size"):
        encode([Picture(GREY, duration=40.0), Picture(GREY[:16, :20], duration=40.0)], format)


def test_an_animation_that_is_shown_once_stays_one() -> None:
    first, second = frames(2)
    once = saved(Image.fromarray(first), "GIF", save_all=True, append_images=[Image.fromarray(second)], duration=100)
    assert read(once).loop is None
    for format in ("PNG", "WEBP"):
        assert read(encode(read(once).pages, format, read(once).loop)).loop == 1
    assert read(encode(read(once).pages, "GIF", read(once).loop)).loop is None


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "MP4"])
def test_pages_are_no_animation(format: str) -> None:
    """Of equal neighbours, such as blank pages, encoders of animations make one frame."""
    with pytest.raises(ImageWriteError, match=r"holds animations, but these are 3 pages.*write \.tif"):
        encode([Picture(GREY), Picture(GREY), Picture(GREY)], format)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pages_of_16_bits_are_none_either(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "deep.tif"
    write(source, [Picture(COLOUR16)] * 3)
    assert [page.duration for page in read(source).pages] == [None] * 3
    for work in (sdk.Halftoner("bayer").run_file, lambda source, target: restore_file(source, target, lambda page: page)):
        with pytest.raises(ImageWriteError, match=r"3 pages.*write \.tif"):
            work(source, tmp_path / f"out{suffix}")
    assert files_below(tmp_path) == ["deep.tif"]


def test_frames_of_a_gif_that_tells_no_durations_stay_an_animation() -> None:
    first, second = (Image.fromarray(frame) for frame in frames(2))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    assert [page.duration for page in read(data).pages] == [0, 0]
    assert len(read(encode(read(data).pages, "PNG")).pages) == 2


def test_a_transparent_colour_that_no_frame_uses_is_no_alpha() -> None:
    """Optimisers declare one for the frames that only tell what changes; Pillow makes RGBA of those."""
    images = [Image.fromarray(np.roll(COLOUR, 3 * i, axis=0)).quantize(32) for i in range(3)]
    data = saved(images[0], "GIF", save_all=True, append_images=images[1:], duration=50, transparency=255)
    pages = read(data).pages
    assert [(page.pixels.shape, page.alpha) for page in pages] == [(COLOUR.shape, None)] * 3
