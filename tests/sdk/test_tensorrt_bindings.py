"""Every TensorRT name that the SDK uses, against the true Python bindings of TensorRT 10 and 11.

NVIDIA's libraries are not on PyPI, its bindings are: over three stub libraries that export what the bindings link against they import,
and their classes are all there. The names are taken from the source, so that a new one cannot be forgotten here.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("sdk/engines/build.py", "sdk/engines/log.py", "sdk/backends/tensorrt.py")
VERSIONS = ("10.16.1.11", "11.4.0.106")
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "loaded": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "runtime_config": "IRuntimeConfig",
    "runtime_cache": "IRuntimeCache",
}
"""What a variable or attribute of that name is in the sources."""
ONLY_RTX = {
    "BuilderFlag.REQUIRE_USER_ALLOCATION",
    "ComputeCapability",
    "ComputeCapability.__members__",
    "DynamicShapesKernelSpecializationStrategy",
    "DynamicShapesKernelSpecializationStrategy.EAGER",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "ICudaEngine.create_runtime_config",
    "IRuntimeConfig.create_runtime_cache",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
    "IRuntimeConfig.set_runtime_cache",
    "IRuntimeCache.deserialize",
    "IRuntimeCache.serialize",
}
"""Used for the flavour tensorrt-rtx alone."""
OF_RESULTS = {"ITensor.name", "ParserError.desc"}
"""Used on what a call gives back."""
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "initLibNvInferPlugins",
    "getNvOnnxParserVersion",
)
STUB = "\n".join(f"void *{symbol}(void) {{ return 0; }}" for symbol in SYMBOLS)
PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import tensorrt_bindings as trt
sys.modules["tensorrt"] = trt
from sdk import errors
from sdk.engines import build as engines
from sdk.engines.log import Log

def missing(name):
    found = trt
    for part in name.split("."):
        if not hasattr(found, part):
            return True
        found = getattr(found, part)
    return False

earlier, log = Log(trt), Log(trt)
log.logger.log(trt.ILogger.ERROR, "said by TensorRT")
log.logger.log(trt.ILogger.VERBOSE, "not kept")
later = Log(trt)
assert earlier.logger is later.logger, "TensorRT keeps the first for ever"
assert later.text() == "TensorRT's log: empty", later.text()
monitor = engines._monitor(trt, lambda *step: None)
monitor.phase_start("a", None, 2)
refused = []
for create in (engines.create_runtime, lambda trt, log: engines._create(trt, trt.Builder, log)):
    try:
        create(trt, log)
    except errors.DeviceError as error:
        refused.append(str(error))
print(json.dumps({
    "version": engines.load_tensorrt("tensorrt").__version__,
    "missing": [name for name in json.load(sys.stdin) if missing(name)],
    "log": log.text(),
    "goes_on": monitor.step_complete("a", 0),
    "refused": refused,
}))
"""


def names_used() -> set[str]:
    """``Class.member`` for all of TensorRT that the sources touch."""
    found = set(OF_RESULTS)
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                chain = list(takewhile(lambda part: not part.startswith("__"), _chain(node)))  # dunder names are Python's
                if chain[0] == "trt":
                    found.add(".".join(chain[1:]))
                elif len(chain) > 1 and chain[-2] in CLASSES:
                    found.add(f"{CLASSES[chain[-2]]}.{chain[-1]}")
    return found - {""}


def _chain(node: ast.expr) -> Iterator[str]:
    """a.b.c -> "a", "b", "c"; anything else at the root is "?"."""
    if isinstance(node, ast.Attribute):
        yield from _chain(node.value)
        yield node.attr
    else:
        yield node.id if isinstance(node, ast.Name) else "?"


def test_the_names_are_found() -> None:
    assert {
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "BuilderFlag.TF32",
        "MemoryPoolType.WORKSPACE",
        "OnnxParser.parse",
        "Builder.build_serialized_network",
        "IBuilderConfig.progress_monitor",
        "IOptimizationProfile.set_shape",
        "ITimingCache.serialize",
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.get_tensor_profile_shape",
        "ICudaEngine.create_execution_context",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
        "TensorIOMode.INPUT",
        "nptype",
    } <= names_used()


def test_every_name_is_in_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx wheel (pip install tensorrt-rtx)")
    for name in names_used() | ONLY_RTX:
        found = trt
        for part in name.split("."):
            assert hasattr(found, part), name
            found = getattr(found, part)


WHY_NOT: list[str] = []
"""Why a wheel could not be fetched: the others are not waited for then."""


def fetch(wheel: str, folder: Path) -> str:
    """pip's last words, if it has any."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    try:
        done = subprocess.run([*command, "--retries", "0", "--timeout", "10", wheel], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as error:
        return f"pip took longer than {error.timeout:.0f} s"
    return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]


@pytest.fixture(params=VERSIONS)
def bindings(request: pytest.FixtureRequest, compile_c, tmp_path: Path) -> tuple[str, Path]:
    """(version, folder with the true bindings over stub libraries). The wheel is fetched once and kept in pytest's cache."""
    version: str = request.param
    wheels = request.config.cache.mkdir("tensorrt_bindings")
    pattern = f"tensorrt_cu13_bindings-{version}-cp{sys.version_info.major}{sys.version_info.minor}-*.whl"
    if not list(wheels.glob(pattern)):
        reason = WHY_NOT[0] if WHY_NOT else fetch(f"tensorrt-cu13-bindings=={version}", wheels)
        if not list(wheels.glob(pattern)):
            assert "No matching distribution" not in reason, reason
            WHY_NOT.append(reason)
            pytest.skip(f"the wheel tensorrt-cu13-bindings {version} cannot be had: {reason}")
    with zipfile.ZipFile(next(wheels.glob(pattern))) as wheel:
        wheel.extractall(tmp_path)
    source = tmp_path / "stub.c"
    source.write_text(STUB, encoding="utf-8")
    for library in LIBRARIES:  # beside the bindings, where these look first
        compile_c(source, tmp_path / "tensorrt_bindings" / f"lib{library}.so.{version.split('.')[0]}")
    return version, tmp_path


def test_every_name_is_in_the_true_bindings(bindings: tuple[str, Path]) -> None:
    version, folder = bindings
    command = [sys.executable, "-c", PROGRAM, str(folder), str(ROOT)]
    used = sorted(names_used() - ONLY_RTX)
    result = subprocess.run(command, input=json.dumps(used), capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["missing"] == []
    assert said["version"] == version
    assert said["log"] == "TensorRT's log: said by TensorRT"
    assert said["goes_on"] is True
    assert len(said["refused"]) == 2  # stubs give null pointers, as TensorRT does without a driver
    assert all("nvidia-smi" in text for text in said["refused"])
