"""What the demo refuses, what a batch may cost, and what is left of a closed tab."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from demo import app, batch, models
from demo.workspace import FOLDER, check_open, end_session, given, new_folder, public_text
from tests.conftest import SAMPLES


@pytest.fixture
def visitor(request: pytest.FixtureRequest) -> gr.Request:
    return gr.Request(session_hash=request.node.name)


def zip_of(path: Path, pictures: int, noise: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(pictures):
            archive.writestr(f"{number}.png", bytes(noise))
    return path


def test_the_zips_of_a_batch_share_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = batch.Room(pictures=5, size=1000)
    monkeypatch.setattr(batch, "Room", lambda: room)
    sources = [zip_of(tmp_path / "a.zip", 3, 100), zip_of(tmp_path / "many.zip", 3, 1), zip_of(tmp_path / "large.zip", 1, 800)]
    sources.append(zip_of(tmp_path / "fits.zip", 2, 300))
    found, failed = batch._pictures(sources, tmp_path / "unpacked")
    assert len(found) == 5
    assert [name for name, _ in failed] == ["many.zip", "large.zip"]
    assert (room.pictures, room.size) == (0, 100)


def test_faults_of_ours_cost_one_file_of_a_batch(tmp_path: Path, visitor: gr.Request, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(SAMPLES / "kodim23_floyd-steinberg.png", tmp_path / name)
    restore_file = models.restore_file

    def faulty(path: Path, restored: Path, model: str) -> models.Restoration:
        if path.name == "a.png":
            raise KeyError("a fault of ours")
        return restore_file(path, restored, model)

    monkeypatch.setattr(models, "restore_file", faulty)
    report, archive = batch.batch([str(tmp_path / name) for name in ("a.png", "b.png")], "fast", visitor)
    assert "unexpected KeyError" in report
    assert zipfile.ZipFile(archive).namelist() == ["b.png"]


def test_zips_that_lie_are_reported(tmp_path: Path) -> None:
    data = bytearray(zip_of(tmp_path / "a.zip", 1, 9).read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + 16 : end + 20] = (2**31).to_bytes(4, "little")  # where the directory begins
    (tmp_path / "a.zip").write_bytes(data)
    found, failed = batch._pictures([tmp_path / "a.zip"], tmp_path / "unpacked")
    assert not found
    assert "cannot be unpacked" in failed[0][1]


def test_what_the_server_deleted_is_told(tmp_path: Path, visitor: gr.Request) -> None:
    for call in (lambda: given(str(tmp_path / "gone.png")), lambda: batch.batch([str(tmp_path / "gone.png")], request=visitor)):
        with pytest.raises(gr.Error, match=r"has deleted gone\.png meanwhile") as told:
            call()
        assert told.value.duration is None  # it stays until it is closed


def test_what_pillow_refuses_to_open_is_too_large_here(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    with pytest.raises(gr.Error, match="more than 100 megapixels; this demo takes up to 50"):
        given(str(tmp_path / "huge.png"))


def test_what_is_made_after_the_tab_was_closed_goes(visitor: gr.Request) -> None:
    folder = new_folder(visitor)
    check_open(folder)
    end_session(visitor)
    folder.mkdir(parents=True)  # as writers do
    (folder / "restored.png").touch()
    with pytest.raises(gr.Error, match="tab was closed"):
        check_open(folder)
    assert not folder.exists()


def test_messages_lose_the_folders_of_the_server() -> None:
    assert public_text(f"{FOLDER}/0a1b/my scan.tif is empty") == "my scan.tif is empty"
    assert public_text("nothing to hide") == "nothing to hide"


def test_old_results_go(tmp_path: Path) -> None:
    visitor = gr.Request(session_hash="../../a visitor")
    old = new_folder(visitor)
    os.utime(old, (0, 0))
    fresh = new_folder(visitor)
    assert FOLDER in fresh.parents
    assert fresh.is_dir()
    assert not old.exists()
    end_session(visitor)
    assert not fresh.exists()


def test_pages_are_counted_one_by_one(tmp_path: Path) -> None:
    small, large = Image.new("1", (16, 16)), Image.new("1", (8000, 8000))
    small.save(tmp_path / "book.tif", save_all=True, append_images=[large], compression="group4")
    with pytest.raises(gr.Error, match="64 megapixels"):
        given(str(tmp_path / "book.tif"))
    view = Image.new("L", (6000, 5000))
    view.save(tmp_path / "two views.jpg", "MPO", save_all=True, append_images=[view])
    assert given(str(tmp_path / "two views.jpg")).name == "two views.jpg"  # the second is never read


def test_a_batch_ends_with_its_tab_and_outlives_its_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, sources = gr.Request(session_hash="leaves"), [tmp_path / f"{i}.png" for i in range(3)]
    for source in sources:
        Image.new("1", (64, 64)).save(source)
    seen: list[Path] = []

    def restore(path: Path, restored: Path, model: str) -> SimpleNamespace:
        seen.append(path)
        for source in sources:
            source.unlink(missing_ok=True)
        Image.open(path).save(restored)
        return SimpleNamespace(warnings=[])

    monkeypatch.setattr(models, "restore_file", restore)
    report, archive = batch.batch([str(source) for source in sources], request=visitor)
    assert "3 of 3 files restored." in report
    assert sorted(path.name for path in Path(archive).parent.iterdir()) == [".open", "restored.zip"]
    for source in sources:
        Image.new("1", (64, 64)).save(source)
    seen.clear()

    def closed_meanwhile(path: Path, restored: Path, model: str) -> SimpleNamespace:
        picture = path.read_bytes()
        end_session(visitor)
        restored.parent.mkdir(parents=True)  # as writers do
        restored.write_bytes(picture)
        seen.append(restored)
        return SimpleNamespace(warnings=[])

    monkeypatch.setattr(models, "restore_file", closed_meanwhile)
    with pytest.raises(gr.Error, match="tab was closed"):
        batch.batch([str(source) for source in sources], request=visitor)
    (left,) = seen
    assert not left.parent.exists()
    with pytest.raises(gr.Error, match="201 files are too many"):
        batch.batch(["x.png"] * 201, request=visitor)


def test_texts_stand_out_from_their_grounds() -> None:
    """WCAG AA, in the light theme."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return sum(w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), parts))

    look = app.theme()

    def colour(name: str) -> str:
        value = str(getattr(look, name))
        return "#ffffff" if value == "white" else colour(value[1:]) if value.startswith("*") else value

    pairs = [
        ("block_info_text_color", "block_background_fill"),
        ("block_label_text_color", "block_label_background_fill"),
        ("block_title_text_color", "block_background_fill"),
        ("button_primary_text_color", "button_primary_background_fill"),
    ]
    for text, ground in pairs:
        dark, light = sorted(map(luminance, (colour(text), colour(ground))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, colour(text), colour(ground))
