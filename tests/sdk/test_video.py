"""MP4: frames, sizes and timing as they were; what it cannot hold is an error."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdk
from sdk.errors import ImageWriteError
from sdk.files import encode, write
from sdk.files.video import encode_mp4
from sdk.halftoning import halftone
from sdk.images import Picture


def decoded(data: bytes) -> tuple[list[np.ndarray], list[float], float]:
    """Frames as RGB, the ms at which each starts, and the ms at which all end."""
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(video=0))
        assert container.duration is not None
        starts = [1000 * float(frame.pts * frame.time_base) for frame in frames]
        return [frame.to_ndarray(format="rgb24") for frame in frames], starts, container.duration / 1000


@settings(max_examples=15, deadline=None)
@given(durations=st.lists(st.integers(20, 3000), min_size=1, max_size=8), height=st.integers(17, 40), width=st.integers(17, 40))
def test_timing_and_size(durations: list[int], height: int, width: int) -> None:
    frames = [np.full((height, width), 20 * i, np.uint8) for i in range(len(durations))]
    shown, starts, end = decoded(encode_mp4(frames, durations))
    assert [frame.shape for frame in shown] == [(height + height % 2, width + width % 2, 3)] * len(frames)
    assert starts == pytest.approx(np.cumsum([0, *durations[:-1]]), abs=1)
    assert end == pytest.approx(sum(durations), abs=1)


@pytest.mark.parametrize("duration", [1000 / 30, 1000 / 60, 1000 / 120])
def test_fractions_of_a_millisecond_do_not_add_up(duration: float) -> None:
    _, starts, end = decoded(encode_mp4([np.full((16, 16), i % 200, np.uint8) for i in range(60)], [duration] * 60))
    assert end == pytest.approx(60 * duration, abs=1)
    assert starts == pytest.approx([i * duration for i in range(60)], abs=1)


def test_tones_and_colours_survive() -> None:
    rows, columns = np.mgrid[:64, :96]
    ramp = np.stack([2 * columns, 3 * rows, 128 + rows - columns], axis=-1).astype(np.uint8)
    (shown,), _, _ = decoded(encode_mp4([ramp], [100]))
    assert np.abs(shown.astype(int) - ramp).mean() < 2
    (grey,), _, _ = decoded(encode_mp4([ramp[..., 0]], [100]))
    assert np.abs(grey.astype(int) - ramp[..., :1]).max() <= 6


def test_a_frame_without_duration_is_shown_as_browsers_show_it() -> None:
    _, _, end = decoded(encode_mp4([np.zeros((16, 16), np.uint8)] * 3, [0, 0, 0]))
    assert end == pytest.approx(300, abs=1)


def test_pages_that_are_no_animation_are_refused(tmp_path: Path) -> None:
    page = Picture(np.zeros((16, 16), np.uint8))
    with pytest.raises(ImageWriteError, match="animations"):
        write(tmp_path / "a.mp4", [page])
    with pytest.raises(ImageWriteError, match="alpha"):
        encode([replace(page, alpha=page.pixels, duration=100.0)], "MP4")
    assert not list(tmp_path.iterdir())


def test_an_animated_gif_becomes_a_video_and_what_stands_still_stays_still(tmp_path: Path, restorer: sdk.InverseHalftoner) -> None:
    rows, columns = np.mgrid[:128, :192]
    photos = [(columns + 0.3 * rows).astype(np.uint8) for _ in range(3)]
    for i, photo in enumerate(photos):
        photo[40:56, 8 + 10 * i : 24 + 10 * i] = 230
    frames = [sdk.images.picture_to_pil(Picture(halftone(photo, "bayer", size=4))) for photo in photos]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[80, 160, 240])
    restorer.run_file(tmp_path / "a.gif", tmp_path / "a.mp4")
    shown, starts, end = decoded((tmp_path / "a.mp4").read_bytes())
    assert (starts, end) == (pytest.approx([0, 80, 240], abs=1), pytest.approx(480, abs=1))
    still = np.stack(shown)[:, :, 140:].astype(int)
    assert np.ptp(still, axis=0).max() <= 3
