"""The tab "Batch": many files or a zip in, a zip back; a bad file is reported and the others are done."""

from __future__ import annotations

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import gradio as gr

from demo import models
from demo.fields import download_button, model_menu
from demo.workspace import (
    MOST_FILES,
    MOST_PICTURES,
    MOST_UNPACKED_BYTES,
    check_kept,
    check_open,
    errors_shown,
    given,
    new_folder,
    public_text,
    refusal,
)
from sdk.files.formats import READ_SUFFIXES, restored_suffix


def batch(
    sources: list[str] | None,
    model: str = "auto",
    request: gr.Request = None,  # type: ignore[assignment]  # Gradio fills it in
    progress: gr.Progress = gr.Progress(),
) -> tuple[str, str]:
    """Restore many files, or the pictures of zip files, their tree kept; bad ones are reported and the others done.

    Returns a report as Markdown and a zip of the restored files.
    """
    if not sources:
        raise refusal("There are no files yet: drop pictures or a zip file into the field.")
    if len(sources) > MOST_FILES:
        raise refusal(f"{len(sources)} files are too many for this demo; give up to {MOST_FILES} at once.")
    folder = new_folder(request)
    pictures, failed = _pictures(_kept(sources, folder / "given"), folder / "unpacked")
    if not pictures and not failed:
        raise refusal(f"No pictures found. Known suffixes: {', '.join(sorted(READ_SUFFIXES))}.")
    done: list[tuple[str, str]] = []
    archive = folder / "restored.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:  # pictures are compressed already
        for i, (place, path) in enumerate(pictures):
            check_open(folder)
            progress((i, len(pictures)), desc=place.name, unit="files")
            try:
                done.append((str(place), _restore_into(target, place, path, model, folder)))
            except gr.Error as error:
                failed.append((str(place), error.message))
            except Exception as error:  # of ours, or of the disk: what is done already is not lost for it
                failed.append((str(place), public_text(f"unexpected {type(error).__name__} ({error}); please report it")))
    for used in ("given", "unpacked"):
        shutil.rmtree(folder / used, ignore_errors=True)
    return _report(done, failed), str(archive)


@dataclass
class Room:
    """What the zips of one batch may still unpack."""

    pictures: int = MOST_PICTURES
    size: int = MOST_UNPACKED_BYTES

    def has(self, entries: Sequence[zipfile.ZipInfo]) -> bool:
        """Whether there is room for them; then it is taken."""
        size = sum(entry.file_size for entry in entries)
        if len(entries) > self.pictures or size > self.size:
            return False
        self.pictures -= len(entries)
        self.size -= size
        return True


def _kept(sources: Sequence[str], folder: Path) -> list[Path]:
    """The uploads under second names, since Gradio deletes its own after an hour, and a batch may take longer."""
    kept = []
    for i, source in enumerate(map(Path, sources)):
        place = folder / str(i) / source.name
        place.parent.mkdir(parents=True)
        check_kept(source)
        try:
            place.hardlink_to(source)
        except OSError:  # a file system without such links
            shutil.copyfile(source, place)
        kept.append(place)
    return kept


def _report(done: list[tuple[str, str]], failed: list[tuple[str, str]]) -> str:
    """What failed comes first."""
    total = len(done) + len(failed)
    heading = f"{len(done)} of {total} files restored" + (f", {len(failed)} failed." if failed else ".")
    rows = [(name, f"**failed:** {text}") for name, text in failed] + done
    cells = [" | ".join(text.replace("|", "\\|").replace("\n", " ") for text in row) for row in rows]
    return "\n".join([heading, "", "| file | result |", "|---|---|", *(f"| {row} |" for row in cells)])


def _restore_into(target: zipfile.ZipFile, place: PurePosixPath, path: Path, model: str, folder: Path) -> str:
    """One file; what it becomes in the zip has its place and, where its format holds restored tone, its name."""
    name = _free_name(place.with_suffix(restored_suffix(path)), set(target.namelist()))
    restored = folder / f"restored{restored_suffix(path)}"
    with errors_shown():
        done = models.restore_file(given(str(path)), restored, model)
    target.write(restored, name)
    restored.unlink()
    return "; ".join([str(done), *done.warnings])


def _free_name(place: PurePosixPath, taken: set[str]) -> str:
    """``place``, or with a number where another file has it already."""
    name, number = str(place), 2
    while name in taken:
        name, number = str(place.with_stem(f"{place.stem}-{number}")), number + 1
    return name


def _pictures(sources: Sequence[Path], folder: Path) -> tuple[list[tuple[PurePosixPath, Path]], list[tuple[str, str]]]:
    """(place in the result, file) of each file given and of each picture in the zips among them; (name, message) of bad zips."""
    found, failed = [], []
    room = Room()
    for i, source in enumerate(sources):
        if source.suffix.lower() != ".zip":
            found.append((PurePosixPath(source.name), source))
            continue
        try:
            with zipfile.ZipFile(source) as archive:
                pictures, damaged = _unpack(archive, source.name, folder / str(i), room)
        except UNPACKING_ERRORS as error:
            pictures, damaged = [], [(source.name, _cannot_be_unpacked(source.name, error))]
        found += pictures
        failed += damaged
    return found, failed


UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""What damage, unknown compression and encryption raise."""


def _cannot_be_unpacked(name: str, error: Exception) -> str:
    return f"{name} cannot be unpacked ({public_text(str(error))}); pack it again."


def _unpack(
    archive: zipfile.ZipFile, name: str, folder: Path, room: Room
) -> tuple[list[tuple[PurePosixPath, Path]], list[tuple[str, str]]]:
    """As ``_pictures``, of the zip called ``name``. The files get names of our own making: those in the zip are not trusted with a place
    on this disk."""
    found, failed = [], []
    entries = [entry for entry in archive.infolist() if _is_picture(entry)]
    if not room.has(entries):
        most = f"{MOST_PICTURES} pictures or {MOST_UNPACKED_BYTES >> 20} MiB"
        return [], [(name, f"{name} unpacks, with the zips before it, to more than {most}; split it.")]
    for i, entry in enumerate(entries):
        place = PurePosixPath(*(part for part in PurePosixPath(entry.filename.replace("\\", "/")).parts if part not in ("/", "..")))
        path = folder / str(i) / place.name
        path.parent.mkdir(parents=True)
        try:
            with archive.open(entry) as packed, path.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        except UNPACKING_ERRORS as error:
            failed.append((str(place), _cannot_be_unpacked(place.name, error)))
        else:
            found.append((place, path))
    return found, failed


def _is_picture(entry: zipfile.ZipInfo) -> bool:
    """Not folders, nor the files that macOS hides in its zips."""
    place = PurePosixPath(entry.filename)
    return not entry.is_dir() and place.suffix.lower() in READ_SUFFIXES and "__MACOSX" not in place.parts


def tab() -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            sources = gr.File(
                label="Pictures, or a zip",
                file_count="multiple",
                file_types=[".zip", *sorted(READ_SUFFIXES)],
                height=170,
                elem_id="batch-sources",
            )
            model = model_menu()
            button = gr.Button("Restore all", variant="primary")
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("Drop several files or a zip; you get a zip back. Bad files are reported, the others are done.")
            report = gr.Markdown(label="Report", elem_id="batch-report", min_height=120)
            download = download_button("Download all as a zip", "download-zip")
    button.click(batch, [sources, model], [report, download], api_name="batch", show_progress_on=report, **models.ONE_SLOT)
