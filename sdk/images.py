"""Pictures in memory: what comes in as an array or a PIL image, and goes out as the same kind.

Arrays are HxW or HxWx3/4 in RGB(A) order: bool, uint8, uint16, or float32 in [0, 1]. Nothing is converted in silence; what
is not on this list is an ``UnsupportedImageError`` that says what was found and how to convert it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from sdk.errors import ImageReadError, UnsupportedImageError
from sdk.headers import BITS_PER_SAMPLE, PHOTOMETRIC, Header
from sdk.turn import Turn

MIN_SIDE = 8
"""px; a smaller picture holds too few dots to say anything about tone."""

WHITE_IS_ZERO = 0
"""A value of the TIFF tag PHOTOMETRIC."""

ACCEPTED = "Accepted: HxW, HxWx3 or HxWx4 (RGB, RGBA), of bool, uint8, uint16, or float32 in [0, 1]."


ImageLike: TypeAlias = str | os.PathLike | bytes | Image.Image | np.ndarray


def no_picture(image: object) -> UnsupportedImageError:
    """What to raise for anything else."""
    return UnsupportedImageError(f"Found a {type(image).__name__}; give a path, bytes, a PIL image or a numpy array. {ACCEPTED}")


@dataclass(frozen=True)
class Picture:
    """One picture or page. ``pixels``: HxW or HxWx3 (RGB) of bool, uint8, uint16 or float32; ``alpha``: HxW of the same dtype."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    duration: float | None = None
    """Milliseconds a frame of an animation is shown."""
    header: Header = Header()
    """Of a page of a file: resolution, ICC profile, EXIF, XMP, IPTC."""

    def with_pixels(self, pixels: np.ndarray) -> Picture:
        """The same picture with other pixels; the rest stays, alpha in the dtype of the new pixels.

        A profile does not, where colour became grey or grey colour: it would be of the wrong kind.
        """
        alpha, header = self.alpha, self.header
        if alpha is not None and alpha.dtype != pixels.dtype:
            alpha = from_unit(to_unit(alpha), pixels.dtype)
        if pixels.ndim != self.pixels.ndim:
            header = replace(header, icc_profile=None)
        return replace(self, pixels=pixels, alpha=alpha, header=header)

    def outline(self) -> Picture:
        """A picture of this shape and kind without values, which takes no memory."""

        def bare(plane: np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.zeros((), plane.dtype), plane.shape)

        return replace(self, pixels=bare(self.pixels), alpha=None if self.alpha is None else bare(self.alpha))


def white_of(dtype: np.dtype) -> float:
    """The value of white: 1, 255 or 65535."""
    return 1.0 if dtype in (np.bool_, np.float32) else float(np.iinfo(dtype).max)


def is_grey(pixels: np.ndarray) -> bool:
    """Whether HxW or HxWx3 is grey, or grey stored as RGB: three equal channels."""
    return pixels.ndim == 2 or all(np.array_equal(pixels[..., 0], pixels[..., c]) for c in (1, 2))


def cut_at(pixels: np.ndarray, threshold: float) -> np.ndarray:
    """bool: what is above ``threshold``, in [0, 1]."""
    return pixels if pixels.dtype == np.bool_ else pixels > threshold * white_of(pixels.dtype)


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], whatever the dtype."""
    if pixels.dtype == np.float32:
        return pixels
    return pixels.astype(np.float32) / np.float32(white_of(pixels.dtype))


def from_unit(values: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Clip to [0, 1], round half to even, and store as ``dtype``; bool becomes uint8, since restored tone is continuous."""
    if dtype == np.float32:
        return np.clip(values, 0, 1).astype(np.float32, copy=False)
    integer = np.uint8 if dtype == np.bool_ else np.dtype(dtype).type
    white = np.float32(np.iinfo(integer).max)
    scaled = values * white
    np.clip(scaled, 0, white, out=scaled)
    return np.rint(scaled, out=scaled).astype(integer)


def widened(pixels: np.ndarray) -> np.ndarray:
    """bool as uint8, black and white; all else as it is."""
    return from_unit(to_unit(pixels), np.uint8) if pixels.dtype == np.bool_ else pixels


def as_8_bits(pixels: np.ndarray) -> np.ndarray | None:
    """The same values as uint8; None where these are too coarse."""
    if pixels.dtype in (np.bool_, np.uint8):
        return widened(pixels)
    values = to_unit(pixels)
    levels = from_unit(values, np.uint8)
    return levels if np.abs(to_unit(levels) - values).max() <= 1e-4 else None


def picture_from_array(array: np.ndarray) -> Picture:
    """Check an array and split off its alpha channel."""
    array = np.asarray(array)  # no matrix, nor another kind with rules of its own
    if array.dtype not in (np.bool_, np.uint8, np.uint16, np.float32):
        advice = " Convert it with array.astype(np.float32)." if array.dtype.kind == "f" else ""
        raise UnsupportedImageError(f"Found an array of dtype {array.dtype}.{advice} {ACCEPTED}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        advice = " Drop the last axis: array[..., 0]." if array.ndim == 3 and array.shape[2] == 1 else ""
        raise UnsupportedImageError(f"Found an array of shape {array.shape}.{advice} {ACCEPTED}")
    check_size(*array.shape[:2])
    if array.dtype == np.float32:
        if not np.isfinite(array).all():
            raise UnsupportedImageError(f"Found {np.count_nonzero(~np.isfinite(array))} NaN or infinite values; replace them first.")
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1:
            raise UnsupportedImageError(f"Found float values in [{low:g}, {high:g}]; they must lie in [0, 1]. Divide by the white level.")
    if array.ndim == 3 and array.shape[2] == 4:
        return Picture(array[..., :3], array[..., 3])
    return Picture(array)


def picture_to_array(picture: Picture) -> np.ndarray:
    """HxW, HxWx3 or HxWx4; a grey picture with alpha becomes RGBA."""
    if picture.alpha is None:
        return picture.pixels
    rgb = picture.pixels if picture.pixels.ndim == 3 else np.repeat(picture.pixels[..., None], 3, axis=-1)
    return np.concatenate([rgb, picture.alpha[..., None]], axis=-1)


def check_size(height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise UnsupportedImageError(f"Found a picture of {width}x{height} px; each side must be at least {MIN_SIDE} px.")


def picture_from_pil(image: Image.Image) -> Picture:
    """Check a PIL image; palettes become RGB (or grey, if all their colours are grey), transparency becomes alpha."""
    check_size(image.height, image.width)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageReadError(f"The PIL image cannot be decoded ({error}); its file is damaged or cut short, or was closed.") from error
    duration = image.info.get("duration")
    if image.mode in ("P", "PA"):
        image = _without_palette(image)
    elif _has_transparent_level(image):
        return _with_transparent_level(image, image.info["transparency"], duration)
    if image.mode == "1":
        return Picture(np.array(image, dtype=bool), duration=duration)
    if image.mode in ("L", "RGB"):
        return Picture(np.array(image), duration=duration)
    if image.mode in ("LA", "RGBA"):
        channels = np.array(image)
        pixels = channels[..., 0] if image.mode == "LA" else channels[..., :3]
        return Picture(np.ascontiguousarray(pixels), np.ascontiguousarray(channels[..., -1]), duration)
    if image.mode.startswith("I"):
        values = _of_16_bits(image)
        if values.min() >= 0 and values.max() <= 65535:
            return Picture(values.astype(np.uint16), duration=duration)
        raise UnsupportedImageError(f"Found integers in [{values.min()}, {values.max()}]; scale them to 0..65535 (16 bit).")
    if image.mode == "F":
        return replace(picture_from_array(np.array(image, dtype=np.float32)), duration=duration)
    raise UnsupportedImageError(
        f"Found colour mode {image.mode}. Accepted: 1-bit, grey, RGB, palettes, each with or without alpha, and 16-bit grey. "
        'Convert it with its ICC profile to RGB first, for example in Pillow by ImageCms.profileToProfile(..., outputMode="RGB").'
    )


def _of_16_bits(image: Image.Image) -> np.ndarray:
    """The integers of an image; Pillow leaves those of TIFF as they are stored, which may be 12 bits deep, or have white at 0."""
    values, tags = np.array(image), getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        if tags.get(BITS_PER_SAMPLE) == (12,):
            values = from_unit(values / np.float32(4095), np.uint16)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            values = 65535 - values
    return values


def upright(picture: Picture, orientation: int) -> Picture:
    """Apply an EXIF orientation, 1..8."""
    if orientation == 1:
        return picture
    turn = Turn({3: 180, 4: 180, 5: 90, 6: 270, 7: 270, 8: 90}.get(orientation, 0), mirrored=orientation in (2, 4, 5, 7))
    return replace(picture, pixels=turn.apply(picture.pixels), alpha=None if picture.alpha is None else turn.apply(picture.alpha))


def _has_transparent_level(image: Image.Image) -> bool:
    """Whether one of its levels or colours is called transparent. Pillow's ``convert`` leaves that of a palette or of greys to images of
    1 bit, where it says nothing any more."""
    level = image.info.get("transparency")
    return isinstance(level, (int, tuple)) and (image.mode != "1" or image.format is not None)


def _with_transparent_level(image: Image.Image, level: int | tuple[int, ...], duration: float | None) -> Picture:
    """PNG and GIF may call one grey level or colour transparent; it becomes an alpha channel."""
    opaque = image.copy()
    del opaque.info["transparency"]
    picture = picture_from_pil(opaque)
    values = np.array(image)
    differs = values != (np.array(level) if values.ndim == 3 else _as_stored(values, level))
    visible = differs.any(axis=-1) if differs.ndim == 3 else differs
    depth = picture.pixels.dtype
    return replace(picture, alpha=visible if depth == np.bool_ else from_unit(to_unit(visible), depth), duration=duration)


def _as_stored(values: np.ndarray, level: int | tuple[int, ...]) -> int | bool | tuple[int, ...]:
    """The transparent grey level among these values: of PNG with 1, 2 or 4 bits Pillow widens the pixels, but not always the level."""
    if values.dtype == np.bool_:
        return bool(level)
    for most, factor in ((3, 85), (15, 17)):
        if isinstance(level, int) and level <= most and not (values % factor).any():
            return factor * level
    return level


def _without_palette(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    red, green, blue, alpha = (np.asarray(band) for band in rgba.split())
    opaque = alpha.min() == 255
    profile = image.info.get("icc_profile") or b""
    # With an RGB profile the picture must stay RGB: a grey one would no longer fit the profile that is written back.
    grey = profile[16:20] != b"RGB " and np.array_equal(red, green) and np.array_equal(green, blue)
    mode = ("L" if grey else "RGB") + ("" if opaque else "A")
    converted = rgba.convert(mode)
    if mode == "L" and set(np.unique(red)) <= {0, 255}:
        converted = converted.convert("1", dither=Image.Dither.NONE)
    return converted


def plain_frames(pages: list[Picture]) -> list[Picture]:
    """Frames of a GIF without alpha where every one of them is opaque, then as HxW where every one is grey; else as they are."""

    def is_opaque(page: Picture) -> bool:
        return page.alpha is None or bool(page.alpha.min() == white_of(page.alpha.dtype))

    if not all(map(is_opaque, pages)):
        return pages
    pages = [replace(page, alpha=None) for page in pages]
    if not all(is_grey(page.pixels) for page in pages):
        return pages
    planes = [page.pixels if page.pixels.ndim == 2 else page.pixels[..., 0] for page in pages]
    return [replace(page, pixels=from_unit(to_unit(plane), np.uint8)) for page, plane in zip(pages, planes)]


def of_one_kind(pages: list[Picture]) -> list[Picture]:
    """Frames as encoders want them: all in colour where one is, all with alpha where one has it, all of the deepest dtype."""
    dtype = max((page.pixels.dtype for page in pages), key=lambda dtype: (dtype.itemsize, dtype != np.bool_))
    colour, alpha = any(page.pixels.ndim == 3 for page in pages), any(page.alpha is not None for page in pages)

    def of_that_kind(page: Picture) -> Picture:
        pixels = page.pixels if page.pixels.dtype == dtype else from_unit(to_unit(page.pixels), dtype)
        if colour and pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=-1)
        plane = page.alpha
        if alpha and plane is None:
            plane = np.full(pixels.shape[:2], white_of(dtype), dtype)
        elif plane is not None and plane.dtype != dtype:
            plane = from_unit(to_unit(plane), dtype)
        return replace(page, pixels=pixels, alpha=plane)

    return [of_that_kind(page) for page in pages]


def picture_to_pil(picture: Picture) -> Image.Image:
    """1 (bool), L, LA, RGB, RGBA (uint8), I;16 (uint16 grey) or F (float32 grey); PIL has no other kinds."""
    pixels, alpha = picture.pixels, picture.alpha
    if pixels.dtype == np.bool_:
        pixels, alpha = from_unit(to_unit(pixels), np.uint8), None if alpha is None else from_unit(to_unit(alpha), np.uint8)
        if pixels.ndim == 2 and alpha is None:
            return Image.fromarray(pixels).convert("1", dither=Image.Dither.NONE)
    if pixels.dtype == np.uint8:
        if alpha is None:
            return Image.fromarray(np.ascontiguousarray(pixels))
        bands = [pixels] if pixels.ndim == 2 else [pixels[..., c] for c in range(3)]
        return Image.merge("LA" if pixels.ndim == 2 else "RGBA", [Image.fromarray(np.ascontiguousarray(b)) for b in (*bands, alpha)])
    if pixels.ndim == 2 and alpha is None:
        return Image.fromarray(pixels)
    raise UnsupportedImageError(
        f"PIL has no image kind for {pixels.dtype} {'colour' if pixels.ndim == 3 else 'with alpha'}; use arrays or files."
    )
