"""What the documentation shows is what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import sdk
from sdk.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


def test_readme_links_and_images_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^inverse-halftoner (\w+)", README, flags=re.MULTILINE))))
def test_readme_commands_exist(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out
