"""The one-way rule: sdk <- training <- export, sdk <- demo; and the SDK alone needs none of the heavy packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.catalog import tomllib

ROOT = Path(__file__).parents[1]
OURS = {"sdk", "training", "export", "demo"}
MAY_IMPORT = {"sdk": {"sdk"}, "training": {"sdk", "training"}, "export": {"sdk", "training", "export"}, "demo": {"sdk", "demo"}}
HEAVY = {"torch", "tensorrt", "tensorrt_rtx", "cuda", "pycuda", "onnx", "openvino", "gradio", "numba", "tifffile"}


def imported_packages(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_downwards(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files or package == "demo"
    for path in files:
        wrong = (imported_packages(path) & OURS) - MAY_IMPORT[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_sdk_runs_with_heavy_packages_blocked(tmp_path: Path) -> None:
    """Import, list, restore, all with torch and its like unimportable, as on an embedded machine."""
    program = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {HEAVY!r}:
            raise ImportError(f'{{name}} is blocked')
sys.meta_path.insert(0, Block())
import numpy as np, sdk
assert 'fast' in sdk.releases()
out = sdk.InverseHalftoner('fast', device='cpu').run(sdk.Halftoner('bayer').run(np.full((64, 64), 128, np.uint8)))
assert out.shape == (64, 64) and abs(int(out[32, 32]) - 128) < 20, out[32, 32]
import sdk.cli_engines, sdk.cuda.driver, sdk.backends.tensorrt  # import without what they run on
try:
    sdk.backends.open_backend('fast', backend='tensorrt')
except sdk.errors.MissingDependencyError as error:
    assert 'inverse-halftoner[tensorrt]' in str(error)
else:
    raise AssertionError('TensorRT without TensorRT must say what to install')
try:
    sdk.Halftoner('floyd-steinberg')
except sdk.errors.MissingDependencyError as error:
    assert 'inverse-halftoner[halftone]' in str(error)
else:
    raise AssertionError('error diffusion without numba must say what to install')
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_bare_install_is_four_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    unconditional = {text.split(">")[0] for text in project["dependencies"] if ";" not in text}
    assert unconditional == {"numpy", "opencv-python-headless", "pillow", "onnxruntime"}


def test_modules_stay_short() -> None:
    """One idea a module: about 300 lines at most."""
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= 320, f"{path.relative_to(ROOT)} has {lines} lines"
