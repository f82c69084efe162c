"""Animations as MP4 (H.264), each frame shown as long as it was; needs PyAV (`pip install 'inverse-halftoner[video]'`)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from sdk.errors import ImageWriteError, MissingDependencyError

MILLISECONDS = Fraction(1, 1000)
QUALITY = "12"
"""H.264's constant rate factor: 0 = lossless, 23 = usual; at 12 differences are hard to see."""


def encoder() -> ModuleType:
    """PyAV; a ``MissingDependencyError`` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "Writing MP4 needs PyAV, which is not installed: pip install 'inverse-halftoner[video]'. Or write .webp or .png."
        ) from error
    return av


def encode_mp4(frames: Sequence[np.ndarray], durations: Sequence[float]) -> bytes:
    """uint8 HxW or HxWx3 frames of one size, and how long each is shown, ms (0 or less: 100 ms, as browsers take it).

    Colours are stored at half resolution, which every player reads; so odd sizes grow by one repeated row or column.
    """
    av = encoder()
    height, width = (extent + extent % 2 for extent in frames[0].shape[:2])
    ends = np.cumsum([duration if duration > 0 else 100 for duration in durations]).round().astype(int)  # no error adds up
    shown = np.maximum(1, np.diff(ends, prepend=0)).tolist()
    stream = io.BytesIO()
    try:
        with av.open(stream, "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=Fraction(1000, min(shown)), options={"crf": QUALITY, "bf": "0"})
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.codec_context.time_base = video.time_base = MILLISECONDS
            starts = np.cumsum([0, *shown[:-1]]).tolist()
            durations_at = dict(zip(starts, shown))

            def store(packets: Iterable[Any]) -> None:
                for packet in packets:
                    packet.duration = durations_at[packet.pts]  # else the last frame would be shown as long as the one before
                    container.mux(packet)

            for pixels, start in zip(frames, starts):
                frame = av.VideoFrame.from_ndarray(_even_rgb(pixels, height, width), format="rgb24")
                frame.pts, frame.time_base = start, MILLISECONDS
                store(video.encode(frame))
            store(video.encode(None))
    except av.FFmpegError as error:
        raise ImageWriteError(f"MP4 cannot hold this animation of {len(frames)} frames, {width}x{height} px ({error}).") from error
    return stream.getvalue()


def _even_rgb(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    return np.pad(rgb, ((0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)), mode="edge")
