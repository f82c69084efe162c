"""``sdk.networks.few_bits``: every usual way to store few bits is known, its levels are told right, and nothing else passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.errors import OptionError, UnsupportedImageError
from sdk.images import to_unit
from sdk.networks.few_bits import Depth, check_bits, cut, find_depth, is_few_bit

WAYS = {
    "cut": lambda k, bits: k << (8 - bits),
    "rounded": lambda k, bits: np.rint(k * 255 / (2**bits - 1)),
    "truncated": lambda k, bits: k * 255 // (2**bits - 1),
    "replicated": lambda k, bits: sum((k << 8 >> shift) & 255 for shift in range(bits, 8 + bits, bits)),
}
"""Level k of so many bits -> 0..255."""

STORED = {
    "8 bits": lambda levels: levels,
    "16 bits": lambda levels: levels.astype(np.uint16) * 257,
    "16 bits, low bytes empty": lambda levels: levels.astype(np.uint16) << 8,
    "float": lambda levels: (levels / 255).astype(np.float32),
}


def picture(levels: np.ndarray) -> np.ndarray:
    """16x16 px with all of them, in disorder."""
    return np.random.default_rng(0).permutation(np.resize(levels, 256)).reshape(16, 16)


def refused(pixels: np.ndarray, bits: int | None = None) -> str:
    with pytest.raises(UnsupportedImageError, match="Accepted: 1 to 5 bits a channel") as caught:
        find_depth(pixels, bits)
    assert not is_few_bit(pixels) or bits is not None
    return str(caught.value)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bits", range(1, 6))
def test_each_way_to_store_few_bits(bits: int, way: str, stored: str) -> None:
    k = picture(np.arange(2**bits))
    pixels = STORED[stored](WAYS[way](k, bits).astype(np.uint8))
    assert find_depth(pixels) == find_depth(pixels, bits) == Depth(bits, (bits,))
    np.testing.assert_array_equal(cut(to_unit(pixels), bits), k)


@pytest.mark.parametrize("bits", range(1, 6))
def test_levels_of_16_bits_and_floats_of_their_own(bits: int) -> None:
    k = picture(np.arange(2**bits))
    for pixels in (
        (k << (16 - bits)).astype(np.uint16),
        np.rint(k * 65535 / (2**bits - 1)).astype(np.uint16),
        (k / 2**bits).astype(np.float32),
        (k / (2**bits - 1)).astype(np.float32),
    ):
        assert find_depth(pixels) == Depth(bits, (bits,))
        np.testing.assert_array_equal(cut(to_unit(pixels), bits), k)


def test_a_bilevel_picture_has_one_bit() -> None:
    assert find_depth(np.zeros((8, 8), bool)).bits == find_depth(np.eye(8, dtype=bool)).bits == 1


@settings(deadline=None)
@given(st.sets(st.integers(0, 31), min_size=2), st.integers(0, 1))
def test_not_all_levels_need_occur(levels: set[int], stretched: int) -> None:
    """The fewest bits that have them, and never more than the 5 they were made with; the same levels at those bits."""
    k = picture(np.array(sorted(levels)))
    pixels = (k << 3 | (k >> 2) * stretched).astype(np.uint8)
    bits = find_depth(pixels).bits
    assert bits <= find_depth(pixels, 5).bits == 5
    np.testing.assert_array_equal(cut(to_unit(pixels), bits), k >> (5 - bits))


def test_channels_are_judged_together() -> None:
    k = picture(np.arange(8))
    pixels = np.dstack([k << 5, (k & 4) << 5, np.full_like(k, 64)]).astype(np.uint8)
    assert find_depth(pixels) == Depth(3, (3, 3, 3))


@pytest.mark.parametrize("stretched", [False, True])
def test_rgb565(stretched: bool) -> None:
    k = picture(np.arange(64))
    red, green = (k >> 1) << 3, k << 2
    pixels = np.dstack([red | red >> 5, green | green >> 6, red | red >> 5] if stretched else [red, green, red]).astype(np.uint8)
    assert find_depth(pixels) == find_depth(pixels, 5) == Depth(5, (5, 6, 5))
    assert str(find_depth(pixels)) == "5, 6, 5 bits (RGB565)"
    refused(pixels, 4)
    refused(np.ascontiguousarray(pixels[..., ::-1].swapaxes(0, 1)[..., [1, 0, 2]]))  # six bits in another channel


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.arange(256, dtype=np.uint8).reshape(16, 16), "more than 64 levels: continuous tone"),
        (np.random.default_rng(0).random((16, 16), dtype=np.float32), "more than 64 levels: continuous tone"),
        (np.resize(np.arange(64, dtype=np.uint8) * 4, (16, 16)), r"64 levels (0, 4, 8, 12, 16 ..), those of 6 bits"),
        (np.resize(np.uint8([0, 3, 90]), (16, 16)), "3 levels (0, 3, 90), those of no number of bits"),
        (np.resize(np.uint8([0, 32, 96, 109, 255]), (16, 16)), "5 levels (0, 32, 96, 109, 255), those of no number of bits"),
        (np.resize(np.uint8([8, 24, 25]), (16, 16)), "3 levels (8, 24, 25), those of no number of bits"),
    ],
    ids=["ramp", "floats", "6 bits", "no grid", "cut and stretched", "noise"],
)
def test_other_levels_are_refused_with_what_was_found(pixels: np.ndarray, found: str) -> None:
    assert f"Found {found}" in refused(pixels)
    assert f"Found {found}" in refused(np.dstack([pixels] * 3))


def test_continuous_tone_below_few_bits_is_found() -> None:
    """The whole picture is counted, not its first rows."""
    pixels = np.zeros((1000, 64), np.uint8)
    pixels[900:] = np.arange(6400).reshape(100, 64) % 256
    refused(pixels)


def test_one_level_tells_nothing() -> None:
    for pixels in (np.full((8, 8), 255, np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(UnsupportedImageError, match=r"one level only .*bits=3, --bits 3"):
            find_depth(pixels)
        assert find_depth(pixels, 3).bits == 3


def test_given_bits_that_the_levels_contradict_are_refused() -> None:
    five = np.resize(np.arange(32, dtype=np.uint8) * 8, (16, 16))
    assert "32 levels (0, 8, 16, 24, 32 ..), those of 5 bits a channel, but bits=3 was given" in refused(five, 3)
    stretched = np.rint(picture(np.arange(4)) * 85).astype(np.uint8)
    assert "those of 2 bits a channel, but bits=3 was given" in refused(stretched, 3)
    assert find_depth(np.resize(np.arange(4, dtype=np.uint8) * 64, (16, 16)), 5).bits == 5, "fewer levels than the bits have"


@pytest.mark.parametrize("bits", [0, 6, 8, -1, 3.0, "3", True])
def test_bits_out_of_range_are_refused(bits: object) -> None:
    with pytest.raises(OptionError, match=r"bits is .*1\.\.5"):
        check_bits(bits)


def test_good_bits_are_taken() -> None:
    for bits in (None, 1, 5, np.int64(3)):
        check_bits(bits)


def test_a_depth_in_words() -> None:
    assert str(Depth(1, (1,))) == "1 bit a channel"
    assert str(Depth(3, (3, 3, 3))) == "3 bits a channel"
