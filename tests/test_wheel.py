"""What pyproject.toml puts into the wheel is what the SDK needs: all packages, all models, all tables."""

from __future__ import annotations

import sdk
from sdk.catalog import FOLDER, tomllib
from tests.conftest import ROOT

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
PACKED = {path for pattern in SETUPTOOLS["package-data"]["sdk"] for path in (ROOT / "sdk").glob(pattern)}


def test_every_package_is_packed() -> None:
    packages = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "sdk").rglob("__init__.py")]
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages)


def test_every_module_is_in_a_package() -> None:
    """setuptools passes over folders that are not named."""
    for path in (ROOT / "sdk").rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), path.relative_to(ROOT)


def test_every_release_is_packed_and_nothing_else_lies_there() -> None:
    needed = {FOLDER / "models.toml", *(release.path for release in sdk.releases().values())}
    assert needed <= PACKED
    assert {path for path in FOLDER.iterdir() if not path.name.startswith(".")} == needed


def test_every_other_file_is_packed() -> None:
    files = {path for path in (ROOT / "sdk").rglob("*") if path.is_file() and path.parent.name != "__pycache__"}  # numba keeps code there
    ours = {path for path in files if path.suffix not in (".py", ".pyc") and not path.name.startswith(".")}
    assert ours == PACKED
