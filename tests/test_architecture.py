"""The one-way rule: sdk <- training <- export, sdk <- demo; and the SDK alone needs none of the heavy packages."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.catalog import tomllib

ROOT = Path(__file__).parents[1]
OURS = {"sdk", "training", "export", "demo"}
MAY_IMPORT = {"sdk": {"sdk"}, "training": {"sdk", "training"}, "export": {"sdk", "training", "export"}, "demo": {"sdk", "demo"}}
HEAVY = {"torch", "tensorrt", "tensorrt_rtx", "cuda", "pycuda", "onnx", "openvino", "gradio", "numba", "tifffile", "av"}
BARE = {"numpy", "cv2", "PIL", "onnxruntime", "tomli", "tomllib"}
"""What the bare install brings; tomllib is Python's own from 3.11 on."""
DRIVERS = {"sdk.cuda.with_cuda_bindings": "cuda", "sdk.cuda.with_pycuda": "pycuda"}
"""Modules that need more, and are themselves imported inside functions only."""


def imported_packages(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def imported_at_once(path: Path) -> set[str]:
    """The full names of what is imported when the module is: not in functions, nor for type checkers alone."""
    found, nodes = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} imports relatively"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            nodes += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_downwards(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files or package == "demo"
    for path in files:
        wrong = (imported_packages(path) & OURS) - MAY_IMPORT[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_parts_of_the_sdk_import_in_one_order() -> None:
    """Its folders and single modules: none imports, by whatever way round, one that imports it."""
    imports: dict[str, set[str]] = {}
    for path in sorted((ROOT / "sdk").rglob("*.py")):
        part = path.relative_to(ROOT / "sdk").parts[0].removesuffix(".py")
        names = [name.split(".") for name in imported_at_once(path) if name.startswith("sdk.")]
        imports.setdefault(part, set()).update(name[1] for name in names)
    del imports["__init__"]
    graph = {part: {other for other in others if other in imports} - {part} for part, others in imports.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names those that go round


def test_the_sdk_imports_only_what_the_bare_install_has() -> None:
    """Each module, also those that the program below does not reach."""
    ours = {"sdk"} | set(sys.stdlib_module_names)
    for path in sorted((ROOT / "sdk").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        imported = imported_at_once(path)
        others = {each.split(".")[0] for each in imported} - ours - BARE
        assert others == ({DRIVERS[name]} if name in DRIVERS else set()), name
        assert not imported & DRIVERS.keys(), f"{name} imports {imported & DRIVERS.keys()}"


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
import sdk.cli.engines, sdk.cuda.driver, sdk.backends.tensorrt  # import without what they run on
deep = [sdk.images.Picture(np.zeros((8, 8, 3), np.uint16))]
from PIL import Image
black, white = (Image.new('L', (16, 16), tone) for tone in (0, 255))
black.save('frames.gif', save_all=True, append_images=[white], duration=100)
for extra, attempt in {{
    'tensorrt': lambda: sdk.backends.open_backend('fast', backend='tensorrt'),
    'openvino': lambda: sdk.backends.open_backend('fast', backend='openvino'),
    'halftone': lambda: sdk.Halftoner('floyd-steinberg'),
    'tiff': lambda: sdk.files.write('deep.tif', deep),
    'video': lambda: sdk.InverseHalftoner('fast', device='cpu').run_file('frames.gif', 'frames.mp4'),
}}.items():
    try:
        attempt()
    except sdk.errors.MissingDependencyError as error:
        assert f'inverse-halftoner[{{extra}}]' in str(error), error
    else:
        raise AssertionError(f'what needs [{{extra}}] must say so')
import pathlib
assert sorted(path.name for path in pathlib.Path().iterdir()) == ['frames.gif']
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
