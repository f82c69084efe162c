"""What the documentation shows is what the code does."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

import sdk
from sdk.catalog import metadata_of
from sdk.cli import _parser, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
}
OURS = ("sdk", "training", "export", "demo", "docs")


def commands(page: str) -> list[str]:
    """What follows the program's name, on lines of their own and in running text where more than a command is named."""
    lines = re.findall(r"^(?:\.venv/bin/)?inverse-halftoner (.+)$", page, flags=re.MULTILINE)
    return lines + re.findall(r"`inverse-halftoner (\w+ [^`]+)`", page)


def test_halftoning_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_docs.py"))["halftoning_page"]()
    assert (ROOT / "docs" / "halftoning.md").read_text(encoding="utf-8") == page


def test_quickstart_restores_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """`make run`, but for the environment."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "quickstart.py"), run_name="__main__")
    printed = capsys.readouterr().out
    decibels = float(re.search(r"Floyd-Steinberg: ([\d.]+) dB", printed)[1])
    assert decibels > 32
    assert printed.count("model 'scan'") == 3
    written = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert written == [f"{name}_restored.png" for name in ("gallica_ad_truck4", "gallica_press_1910s", "kodim23", "page_85lpi_300dpi")]


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(ROOT)
    for block in blocks:
        exec(compile(block.replace("output/", f"{tmp_path}/"), "README.md", "exec"), {})


def test_readme_names_every_released_model_with_its_figures() -> None:
    for release in sdk.releases().values():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{release.name}`"))
        assert f"{next(iter(release.metrics.values())):.2f} dB" in row
        metadata, mebibytes = metadata_of(release.name), release.path.stat().st_size / 2**20
        cost = f"{metadata.parameters / 1e6:.1f} M parameters, {mebibytes:.1f} MiB, {metadata.kflop_per_pixel:,.0f} kFLOP a pixel"
        assert f"| {cost} |" in row
        assert row.endswith(f"| {release.licence} |")


def anchors(page: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_exist(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGES[page]):
        if target.startswith("http"):
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), anchor


def test_there_are_links() -> None:
    assert len(re.findall(r"\]\(", README)) > 15


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^inverse-halftoner (\w+)", README, flags=re.MULTILINE))))
def test_readme_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_there_are_commands() -> None:
    assert len(commands(README)) > 10
    assert sum(map(len, map(commands, PAGES.values()))) > 15


@pytest.mark.parametrize(("page", "command"), [(name, command) for name, page in PAGES.items() for command in commands(page)])
def test_commands_are_understood(page: str, command: str) -> None:
    options = _parser().parse_args(shlex.split(command, comments=True))
    assert callable(options.command)


@pytest.mark.parametrize("page", PAGES)
def test_programs_exist(page: str) -> None:
    for module in re.findall(r"python3? -m ([\w.]+\w)", PAGES[page]):
        if module.split(".")[0] in OURS:  # not pip, venv
            path = ROOT / module.replace(".", "/")
            assert path.with_name(f"{path.name}.py").is_file() or (path / "__main__.py").is_file(), module
