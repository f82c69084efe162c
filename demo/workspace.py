"""Where uploads and results lie: one private folder a server, in it one folder a session, gone with them. And what is too much."""

from __future__ import annotations

import atexit
import hashlib
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
from sdk.files import DECODERS

UPLOAD_LIMIT = "50mb"
MOST_MEGAPIXELS = 50
"""Of all pages of a file together; about a minute and a half of work for two CPU cores."""

MOST_FILES = 200
"""Of one batch."""

MOST_UNPACKED_BYTES = 500 << 20
"""Of all pictures of one zip."""

KEPT_SECONDS = 3600
"""Uploads and results of sessions that do not end (API clients) are deleted after this."""

FOLDER = Path(tempfile.mkdtemp(prefix="inverse-halftoner-demo-")).resolve()
os.environ["GRADIO_TEMP_DIR"] = str(FOLDER)  # read by Gradio whenever a component is made
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def new_folder(request: gr.Request) -> Path:
    """An empty folder for one result of this session; its name cannot be guessed."""
    _sweep()
    folder = _session_folder(request) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder


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


def public_text(text: str) -> str:
    """A message without the folders of this server: file names only."""
    return re.sub(re.escape(str(FOLDER)) + r"/(?:[^/\s]+/)*", "", text)


@contextmanager
def errors_shown() -> Iterator[None]:
    """What the SDK raises on purpose is shown to the visitor in its own words."""
    try:
        yield
    except InverseHalftonerError as error:
        raise gr.Error(public_text(str(error)), duration=None, print_exception=False) from error
    except MemoryError as error:
        raise gr.Error("The picture does not fit into this server's memory; cut it up first.", print_exception=False) from error


def given(upload: str | None) -> Path:
    """The uploaded file, if there is one and it is not too large."""
    if upload is None:
        raise gr.Error("There is no picture yet: drop one into the field, or click an example.", print_exception=False)
    path = Path(upload)
    megapixels = 0.0
    with suppress(Exception), Image.open(path, formats=DECODERS) as image:  # what cannot be opened is the SDK's to explain
        if image.format == "TIFF":  # whose pages may differ in size
            for page in ImageSequence.Iterator(image):
                megapixels += page.width * page.height / 1e6
        else:  # of an MPO only the first frame is read
            megapixels = image.width * image.height * (1 if image.format == "MPO" else getattr(image, "n_frames", 1)) / 1e6
    if megapixels > MOST_MEGAPIXELS:
        raise gr.Error(
            f"{path.name} has {megapixels:.0f} megapixels; this demo takes up to {MOST_MEGAPIXELS}. "
            "Cut it up first, or use the command line, which has no such limit.",
            print_exception=False,
        )
    return path
