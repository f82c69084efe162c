"""What the formats of files can hold: by their suffixes, and of the pages that shall go into one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdk.errors import ImageWriteError
from sdk.files import tiff, video
from sdk.files.few_colors import has_few_colors
from sdk.images import Picture

FORMATS = {
    ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG",
    ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF",
    ".pgm": "PGM", ".ppm": "PPM", ".pbm": "PBM", ".mp4": "MP4",
}  # fmt: skip
"""Suffix -> format, for writing."""

PNM = ("PBM", "PGM", "PPM")
"""One format to Pillow, which gives it as PPM; but a suffix promises what is inside."""

READ_SUFFIXES = {*FORMATS, ".pnm", ".mpo", ".jp2", ".j2k", ".jpf", ".jpx", ".heic", ".heif", ".avif"} - {".mp4"}
"""What is taken from folders. PNM, JPEG 2000, HEIF, AVIF and MPO are read only, MP4 is written only."""

PDF = ".pdf"
"""Documents become documents, whose pictures are restored in their places (``sdk.files.pdf``); they hold no page as such."""

RESTORED_SUFFIXES = {*READ_SUFFIXES, PDF}
"""What restorers take from folders."""

LOSSY = ("JPEG", "MP4")

MULTI_PAGE = ("TIFF", "PNG", "WEBP", "GIF", "MP4")


def is_pdf(path: str | os.PathLike) -> bool:
    """By its name."""
    return Path(path).suffix.lower() == PDF


def format_for(path: str | os.PathLike) -> str:
    """The format a suffix stands for."""
    suffix = Path(path).suffix.lower()
    if suffix == PDF:
        raise ImageWriteError(f"{path}: a PDF is only made by restoring a PDF; write .tif, which holds pages, too.")
    if suffix not in FORMATS:
        raise ImageWriteError(f"{path}: no format is known for the suffix {suffix!r}; use one of {', '.join(sorted(FORMATS))}.")
    return FORMATS[suffix]


def check_fits(outlines: Sequence[Picture], format: str, name: str | os.PathLike) -> None:
    """Fail before hours of work, too: ``why_not``, or a package that is missing. ``name`` begins the message."""
    if reason := why_not(outlines, format):
        raise ImageWriteError(f"{name}: {reason}")
    if format == "MP4":
        video.encoder()
    elif format == "TIFF" and is_deep(outlines[0]):
        tiff.deep_writer()


def why_not(pages: Sequence[Picture], format: str) -> str | None:
    """Why ``format`` cannot hold the pages without loss, and what to do; None if it can."""
    depths = {page.pixels.dtype for page in pages}
    colour, alpha = any(page.pixels.ndim == 3 for page in pages), any(page.alpha is not None for page in pages)
    if np.dtype(np.float32) in depths:
        return "float32 pictures have no file format here; convert to uint16 first."
    animated = all(page.duration is not None for page in pages)
    if len(pages) > 1 and format not in MULTI_PAGE:
        instead = ".png (animated) or .webp" if animated else ".tif"
        return f"{format} holds one picture, but there are {len(pages)} {'frames' if animated else 'pages'}; write {instead} instead."
    if len(pages) > 1 and format != "TIFF" and not animated:  # equal neighbours would become one frame
        return f"{format} holds animations, but these are {len(pages)} pages, which have no durations; write .tif instead."
    if len({page.pixels.shape[:2] for page in pages}) > 1 and format != "TIFF":
        return f"The {len(pages)} pages differ in size, which {format} cannot hold; write .tif instead."
    if format == "PGM" and colour:
        return "PGM holds grey; write .ppm, .png or .tif instead."
    if format == "PBM" and (colour or depths != {np.dtype(bool)}):
        return "PBM holds 1-bit pictures; write .pgm, .png or .tif instead."
    if np.dtype(np.uint16) in depths and format not in ("PNG", "TIFF", "PGM") and (format != "PPM" or colour):
        return f"{format} holds 8 bits a channel, but the picture has uint16; write .png or .tif instead."
    if format == "MP4" and not animated:
        return "MP4 holds animations, but this picture is none; write .png or .tif instead."
    if np.dtype(bool) in depths and format in LOSSY:
        return f"{format} would blur the dots of a halftone; write .png or {'.webp' if animated else '.tif'} instead."
    if alpha and format in ("JPEG", "BMP", *PNM, "GIF", "MP4"):
        return f"{format} holds no alpha channel (or only on and off); write .png, .webp or .tif instead."
    if format == "GIF" and not all(has_few_colors(page.pixels) for page in pages):
        return "GIF holds 256 colours, so colour would be dithered again; write .png (animated) or .webp instead."
    deep = [is_deep(page) for page in pages]
    if any(deep) and not all(deep):
        return "16-bit colour pages and others do not fit into one file; write them to one file for each kind."
    if any(deep) and len(pages) > 1 and format != "TIFF":
        return "Several 16-bit colour pages fit only TIFF; write .tif instead."
    return None


def is_deep(page: Picture) -> bool:
    """Whether it is 16-bit colour, or 16-bit grey with alpha, which Pillow does not write."""
    return page.pixels.dtype == np.uint16 and (page.pixels.ndim == 3 or page.alpha is not None)


def restored_suffix(source: Path) -> str:
    """The suffix of a restored file: the source's own, but .png where that format cannot hold restored tone (GIF, PBM)."""
    suffix = source.suffix.lower()
    return source.suffix if suffix in (*FORMATS, PDF) and suffix not in (".gif", ".pbm") else ".png"


def halftone_suffix(source: Path) -> str:
    """The suffix of a halftoned file: TIFF stays TIFF, all else becomes .png, since lossy formats would ruin the dots."""
    return source.suffix if source.suffix.lower() in (".tif", ".tiff") else ".png"
