"""Where uploads and results lie: one private folder a server, in it one folder a session, gone with them. And what is too much."""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio as gr
from PIL import Image, ImageSequence

from sdk.errors import InverseHalftonerError
from sdk.files import decoders_for

UPLOAD_LIMIT = "50mb"
MOST_MEGAPIXELS = 50
"""Of all pages of a file together; about a minute and a half of work for two CPU cores."""

MOST_FILES = 200
"""Of one batch."""

MOST_PICTURES, MOST_UNPACKED_BYTES = 500, 500 << 20
"""In all zips of one batch together."""

KEPT_SECONDS = 3600
"""Uploads and results of sessions that do not end (API clients) are deleted after this."""

OPEN = ".open"
"""A file in the folder of each result, gone with its session."""

FOLDER = Path(tempfile.mkdtemp(prefix="inverse-halftoner-demo-")).resolve()
os.environ["GRADIO_TEMP_DIR"] = str(FOLDER)  # read by Gradio whenever a component is made
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def new_folder(request: gr.Request) -> Path:
    """An empty folder for one result of this session; its name cannot be guessed."""
    _sweep()
    folder = _session_folder(request) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    (folder / OPEN).touch()
    return folder


def check_open(folder: Path) -> None:
    """Whether somebody waits for what is made in ``folder``; if not, what was made after the tab was closed goes, too."""
    if not (folder / OPEN).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        raise refusal("The tab was closed.")


def end_session(request: gr.Request) -> None:
    """The tab was closed: its results go."""
    shutil.rmtree(_session_folder(request), ignore_errors=True)


def _sweep() -> None:
    """What is old goes: results, and the empty files that Gradio leaves for each upload. Uploads are aged by ``delete_cache``."""
    for path in (*FOLDER.glob("results/*/*"), *FOLDER.glob("tmp*")):
        with suppress(FileNotFoundError):  # gone with its session
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _session_folder(request: gr.Request) -> Path:
    session = request.session_hash or ""  # whatever a client sent: it becomes part of a path only as a digest
    return FOLDER / "results" / hashlib.sha256(session.encode()).hexdigest()


def refusal(text: str) -> gr.Error:
    """What a visitor is told; it stays until it is closed."""
    return gr.Error(public_text(text), duration=None, print_exception=False)


def public_text(text: str) -> str:
    """A message without the folders of this server: file names only."""
    return re.sub(re.escape(str(FOLDER)) + r"/(?:[^/\s]+/)*", "", text)


@contextmanager
def errors_shown() -> Iterator[None]:
    """What the SDK raises on purpose is shown to the visitor in its own words."""
    try:
        yield
    except InverseHalftonerError as error:
        raise refusal(str(error)) from error
    except MemoryError as error:
        raise refusal("The picture does not fit into this server's memory; cut it up first.") from error


def given(upload: str | None) -> Path:
    """The uploaded file, if there is one and it is not too large."""
    if upload is None:
        raise refusal("There is no picture yet: drop one into the field, or click an example.")
    path = Path(upload)
    check_kept(path)
    megapixels = _megapixels(path)
    if megapixels > MOST_MEGAPIXELS:
        many = "more than 100" if math.isinf(megapixels) else f"{megapixels:.0f}"
        raise refusal(
            f"{path.name} has {many} megapixels; this demo takes up to {MOST_MEGAPIXELS}. "
            "Cut it up first, or use the command line, which has no such limit."
        )
    return path


def check_kept(upload: Path) -> None:
    """Whether an upload is still there."""
    if not upload.is_file():
        raise refusal(f"The server has deleted {upload.name} meanwhile, since it keeps files for an hour; drop it again.")


def _megapixels(path: Path) -> float:
    """Of all pages together; infinite where Pillow refuses to look."""
    megapixels = 0.0
    try:
        with path.open("rb") as file:
            decoders = decoders_for(file.read(256))
        image = Image.open(path, formats=decoders)
    except Image.DecompressionBombError:
        return math.inf
    except Exception:  # what cannot be opened is the SDK's to explain
        return 0.0
    with suppress(Exception), image:
        if image.format == "TIFF":  # whose pages may differ in size
            for page in ImageSequence.Iterator(image):
                megapixels += page.width * page.height / 1e6
        else:  # of an MPO only the first frame is read
            megapixels = image.width * image.height * (1 if image.format == "MPO" else getattr(image, "n_frames", 1)) / 1e6
    return megapixels
