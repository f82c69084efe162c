"""What suffixes promise, and what is told of kinds of files that are not read."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

import sdk
from sdk.errors import ImageReadError, UnsupportedImageError
from sdk.files import encode, read
from sdk.files.formats import FORMATS, why_not
from sdk.files.jpeg2000 import icc_profile
from sdk.headers import Header
from sdk.images import Picture, picture_from_array, picture_from_pil, picture_to_array
from sdk.same_kind import restore_image

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


@pytest.mark.parametrize(
    ("suffix", "pixels", "fits"),
    [
        (".pbm", GREY > 99, True), (".pbm", GREY, False), (".pbm", COLOUR > 99, False),
        (".pgm", GREY, True), (".pgm", GREY.astype(np.uint16), True), (".pgm", COLOUR, False),
        (".ppm", COLOUR, True), (".ppm", GREY, True), (".ppm", COLOUR.astype(np.uint16), False),
    ],
)  # fmt: skip
def test_netpbm_suffixes_keep_their_promise(suffix: str, pixels: np.ndarray, fits: bool) -> None:
    page = Picture(pixels)
    assert (why_not([page], FORMATS[suffix]) is None) == fits
    if fits:
        np.testing.assert_array_equal(read(encode([page], FORMATS[suffix])).pages[0].pixels, pixels)


@pytest.mark.parametrize("with_alpha", range(3))
@pytest.mark.parametrize("in_colour", [None, 0, 2])
def test_no_frame_of_an_animated_png_loses_its_alpha_or_colour(with_alpha: int, in_colour: int | None) -> None:
    frames = []
    for number in range(3):
        pixels = COLOUR if number == in_colour else GREY
        alpha = GREY.T.copy() if number == with_alpha else None
        frames.append(Picture(np.roll(pixels, number, axis=0), alpha, duration=100.0))
    for before, after in zip(frames, read(encode(frames, "PNG")).pages):
        as_rgb = before.pixels if before.pixels.ndim == 3 else np.repeat(before.pixels[..., None], 3, axis=-1)
        got = after.pixels if after.pixels.ndim == 3 else np.repeat(after.pixels[..., None], 3, axis=-1)
        np.testing.assert_array_equal(got, as_rgb)
        wanted = 255 if before.alpha is None else before.alpha
        np.testing.assert_array_equal(255 if after.alpha is None else after.alpha, np.broadcast_to(wanted, GREY.shape))


@pytest.mark.parametrize("shown", [0, 2, 5])
@pytest.mark.parametrize(("source", "target"), [("GIF", "PNG"), ("GIF", "WEBP"), ("PNG", "GIF"), ("GIF", "GIF")])
def test_animations_are_shown_as_often_whatever_the_format(source: str, target: str, shown: int) -> None:
    frames = [Picture(np.full((16, 16), level, np.uint8), duration=100.0) for level in (10, 90, 200)]
    first = read(encode(frames, source, shown))
    assert first.loop == shown
    data = encode(first.pages, target, first.loop)
    assert read(data).loop == shown
    if target == "GIF":  # which counts what follows the first time
        assert Image.open(io.BytesIO(data)).info["loop"] == max(0, shown - 1)


def tiff(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def test_the_fourth_channel_of_deep_tiff_is_what_the_file_says() -> None:
    four = np.full((16, 16, 4), 30_000, np.uint16)
    four[..., 3] = 40_000
    straight = read(tiff(four, photometric="rgb", extrasamples=["unassalpha"])).pages[0]
    premultiplied = read(tiff(four, photometric="rgb", extrasamples=["assocalpha"])).pages[0]
    assert straight.pixels[0, 0].tolist() == [30_000] * 3
    assert premultiplied.pixels[0, 0].tolist() == [round(30_000 * 65_535 / 40_000)] * 3
    for page in (straight, premultiplied):
        assert page.alpha is not None
        assert (page.alpha == 40_000).all()
    with pytest.raises(UnsupportedImageError, match="infrared"):
        read(tiff(four, photometric="rgb", extrasamples=["unspecified"]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiff_of_a_kind_that_is_not_read_is_not_called_no_picture(dtype: type) -> None:
    with pytest.raises(UnsupportedImageError, match="TIFF of a kind that is not read"):
        read(tiff(np.zeros((16, 16, 3), dtype), photometric="rgb"))


def test_plain_text_ppm_of_16_bits_is_refused() -> None:
    values = b" ".join(b"%d" % value for value in range(16 * 16 * 3))
    assert read(b"P3 16 16 255\n" + b" ".join(b"%d" % (value % 256) for value in range(16 * 16 * 3))).pages[0].pixels.dtype == np.uint8
    with pytest.raises(UnsupportedImageError, match="plain text"):
        read(b"P3 16 16 65535\n" + values)


def test_webp_keeps_its_resolution() -> None:
    page = Picture(GREY, header=Header(dpi=(300.0, 150.0)))
    assert read(encode([page], "WEBP")).pages[0].header.dpi == (300.0, 150.0)
    assert read(encode([Picture(GREY)], "WEBP")).pages[0].header.dpi is None


@pytest.mark.parametrize("level", [9, b"\0\xff"])
def test_what_conversion_leaves_of_transparency_makes_nothing_transparent(level: object) -> None:
    palette = Image.fromarray(GREY).convert("P")
    palette.info["transparency"] = level
    assert picture_from_pil(palette.convert("1")).alpha is None


def test_text_of_1_bit_stays_so_in_bytes_as_in_files() -> None:
    page = Image.new("1", (400, 300), 1)
    ImageDraw.Draw(page).text((20, 20), "A page of text, which no model restores,\nstays what it is.", fill=0)
    stream = io.BytesIO()
    page.save(stream, "TIFF", compression="group4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.NoHalftoneWarning)
        after = sdk.InverseHalftoner("auto", device="cpu").run(stream.getvalue())
    with Image.open(io.BytesIO(after)) as kept:
        assert kept.mode == "1"
        np.testing.assert_array_equal(np.array(kept), np.array(page))


# What scanners, libraries and cameras leave in files


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "tiff_adobe_deflate"])
def test_a_tiff_that_is_cut_short_is_called_so(compression: str) -> None:
    """Its directory stands behind its pixels, so nothing tells what it was."""
    stream = io.BytesIO()
    dots = Image.fromarray(np.random.default_rng(0).random((200, 200)) > 0.5)
    dots.save(stream, "TIFF", compression=compression)
    whole = stream.getvalue()
    assert read(whole).pages[0].pixels.shape == (200, 200)
    for cut in (whole[: len(whole) * 9 // 10], whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)):
        with pytest.raises(ImageReadError, match="damaged or cut short"):
            read(cut)


def jpeg_2000_with(profile: bytes) -> bytes:
    """As libraries keep them: Pillow writes the box of colour without a profile."""
    stream = io.BytesIO()
    Image.fromarray(np.tile(COLOUR, (4, 4, 1))).save(stream, "JPEG2000")
    data = stream.getvalue()
    colour, header = data.find(b"colr") - 4, data.find(b"jp2h") - 4
    old, whole = (int.from_bytes(data[at : at + 4], "big") for at in (colour, header))
    new = (11 + len(profile)).to_bytes(4, "big") + b"colr\2\0\0" + profile
    size = (whole - old + len(new)).to_bytes(4, "big")
    return data[:header] + size + data[header + 4 : colour] + new + data[colour + old :]


def test_jpeg_2000_keeps_its_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = jpeg_2000_with(profile)
    assert read(data).pages[0].header.icc_profile == profile
    assert read(encode(read(data).pages, "PNG")).pages[0].header.icc_profile == profile


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_boxes_of_any_bytes_are_no_fault(data: bytes, cut: int) -> None:
    assert icc_profile(data) is None or b"colr" in data
    whole = jpeg_2000_with(b"profile")
    assert icc_profile(whole) == b"profile"
    assert icc_profile(whole[:cut]) in (None, b"profile")


@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_accents_in_the_folders_of_exif_are_kept(target: str) -> None:
    owner, image, stream = 0xA430, Image.fromarray(COLOUR), io.BytesIO()
    exif = image.getexif()
    exif[0x8769] = {owner: "Biblioth\u00e8que"}
    image.save(stream, "JPEG", exif=exif.tobytes().replace(b"Biblioth?que", "Biblioth\u00e8que".encode("latin-1")))
    restored = encode(read(stream.getvalue()).pages, target)
    with Image.open(io.BytesIO(restored)) as image:
        assert image.getexif().get_ifd(0x8769)[owner] == "Biblioth\u00e8que"


def test_exif_tells_the_new_size_in_its_main_directory_too() -> None:
    exif = Image.Exif()
    exif[256], exif[257] = 480, 400
    found = Header(exif=exif.tobytes()).exif_for(60, 50)
    assert found is not None
    assert (found[256], found[257]) == (60, 50)


def test_large_profiles_go_through_png() -> None:
    profile = bytes(132) + np.random.default_rng(0).bytes(1_500_000)
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, "TIFF", icc_profile=profile)
    assert read(encode(read(stream.getvalue()).pages, "PNG")).pages[0].header.icc_profile == profile


@pytest.mark.parametrize("channels", [4, 5])
def test_an_unknown_channel_of_8_bits_is_refused_as_that_of_16(channels: int) -> None:
    pixels = np.full((16, 16, channels), 99, np.uint8)
    with pytest.raises(UnsupportedImageError, match="not said to be alpha"):
        read(tiff(pixels, photometric="rgb", extrasamples=["unspecified"] * (channels - 3)))
    page = read(tiff(pixels[..., :4], photometric="rgb", extrasamples=["unassalpha"])).pages[0]
    assert page.alpha is not None
    assert (page.alpha == 99).all()


@pytest.mark.parametrize("palette", [[0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0], [9, 9, 9, 200, 0, 0]])
def test_two_colours_in_a_bmp_of_8_bits(palette: list[int]) -> None:
    image = Image.fromarray((GREY > 99).astype(np.uint8), "P")
    image.putpalette(palette)
    stream = io.BytesIO()
    image.save(stream, "BMP")
    found = picture_to_array(read(stream.getvalue()).pages[0])
    found = found * 255 if found.dtype == bool else found
    assert np.array_equal(np.broadcast_to(found if found.ndim == 3 else found[..., None], COLOUR.shape), np.array(image.convert("RGB")))


def test_pages_at_fault_are_named() -> None:
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(COLOUR).convert("CMYK")])
    with pytest.raises(UnsupportedImageError, match=r"Page 2 of 2: Found colour mode CMYK"):
        read(stream.getvalue())
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(COLOUR.astype(np.float32), photometric="rgb")
    with pytest.raises(UnsupportedImageError, match="has a page of one, such as colour in floats"):
        read(stream.getvalue())


@pytest.mark.parametrize("pixels", [np.tile(GREY, (8, 8)), np.tile(COLOUR, (8, 8, 1)).astype(np.uint16) * 257], ids=["8 bits", "16 bits"])
def test_smaller_copies_within_a_tiff_are_left_out(pixels: np.ndarray) -> None:
    """Restored by themselves, they would be copies no longer."""
    stream = io.BytesIO()
    kind = "rgb" if pixels.ndim == 3 else "minisblack"
    with tifffile.TiffWriter(stream) as writer:
        for page, reduced in ((pixels, 0), (pixels[::4, ::4], 1), (pixels[:, ::-1], 0), (pixels[::16, ::16], 1)):
            writer.write(page, photometric=kind, subfiletype=reduced)
    found = read(stream.getvalue())
    assert [page.pixels.shape for page in found.pages] == [outline.pixels.shape for outline in found.outlines] == [pixels.shape] * 2
    assert np.array_equal(found.pages[1].pixels, pixels[:, ::-1])
    assert np.array_equal(read(tiff(pixels, photometric=kind, subfiletype=1)).pages[0].pixels, pixels), "it is all there is"


def test_pictures_of_programs_may_say_anything_of_their_resolution() -> None:
    for said, kept in ((300, None), ((float("nan"), 1), None), ("x", None), ((72, 96), (144.0, 192.0))):
        image = Image.fromarray(GREY)
        image.info["dpi"] = said
        assert restore_image(image, lambda picture: picture, scale=2.0).info.get("dpi") == kept


def test_matrices_are_arrays() -> None:
    assert type(picture_from_array(np.asmatrix(GREY)).pixels) is np.ndarray
