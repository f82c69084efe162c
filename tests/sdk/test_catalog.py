"""Released models: complete metadata, right checksums, and clear words about any other file."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import sdk
from sdk import catalog
from sdk.errors import DeviceError, ModelError, OptionError
from sdk.metadata import SCHEMA_VERSION, TASKS, ModelMetadata

NAMES = list(sdk.releases())
METADATA = ModelMetadata("small", "inverse-halftoning", "a title", "a paper", "CC0-1.0", "ten photographs", metrics={"a/b/psnr": 30.5})


def onnx_file(path: Path, props: dict[str, str], inputs: tuple[str, ...] = ("x",)) -> Path:
    """The identity on (N, 1, H, W), or a constant without inputs."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in (*inputs, "y")]
    if inputs:
        node = helper.make_node("Identity", inputs[:1], ["y"])
    else:
        node = helper.make_node("Constant", [], ["y"], value=helper.make_tensor("c", TensorProto.FLOAT, [1, 1, 1, 1], [0.5]))
    model = helper.make_model(helper.make_graph([node], "g", values[:-1], values[-1:]), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    helper.set_model_props(model, props)
    onnx.save(model, str(path))
    return path


# Releases


@pytest.mark.parametrize("name", NAMES)
def test_metadata_of_releases_is_complete(name: str) -> None:
    release = sdk.releases()[name]
    metadata = catalog.metadata_of(name)
    assert metadata.name == release.name == name
    assert metadata.licence == release.licence == "Apache-2.0"
    assert release.summary
    assert metadata.task in TASKS
    assert metadata.schema_version == SCHEMA_VERSION
    assert metadata.title
    assert metadata.paper
    assert metadata.training_data
    assert metadata.parameters > 0
    assert metadata.kflop_per_pixel > 0
    assert metadata.size_multiple >= 1
    assert metadata.tile % metadata.size_multiple == 0
    assert 0 < 2 * metadata.halo <= metadata.tile // 3
    assert metadata.input_range == (0.0, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_repeats_what_the_model_says(name: str) -> None:
    release, metadata = sdk.releases()[name], catalog.metadata_of(name)
    assert release.kinds == metadata.kinds
    assert release.metrics
    assert release.metrics.items() <= metadata.metrics.items()


@pytest.mark.parametrize("name", NAMES)
def test_checksum_of_releases_is_right(name: str) -> None:
    release = sdk.releases()[name]
    assert hashlib.sha256(release.path.read_bytes()).hexdigest() == release.sha256
    assert catalog.model_bytes(name)[0] == release.path.read_bytes()


def test_fast_is_the_default() -> None:
    assert NAMES[0] == "fast"


def test_a_damaged_release_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = sdk.releases()["fast"]
    data = bytearray(release.path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / release.file).write_bytes(data)
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"'fast' is damaged.*Install the package again"):
        sdk.InverseHalftoner("fast", device="cpu")


def test_a_missing_release_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    with pytest.raises(ModelError, match=r"fast\.onnx cannot be read"):
        sdk.InverseHalftoner("fast", device="cpu")


def test_a_release_runs_from_its_path_too(tmp_path: Path) -> None:
    copy = shutil.copy(sdk.releases()["fast"].path, tmp_path / "copy.ONNX")
    assert sdk.InverseHalftoner(copy, device="cpu").describe()["model"] == "fast"
    assert sdk.InverseHalftoner(str(copy), device="cpu").describe()["model"] == "fast"


# Other model files


@pytest.mark.parametrize("name", ["fsat", "Fast", "fas", "FSAT"])
def test_an_unknown_name_names_the_nearest(name: str) -> None:
    with pytest.raises(ModelError, match=r"Did you mean 'fast'\?.*\.onnx or \.engine file"):
        sdk.InverseHalftoner(name, device="cpu")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ModelError, match=r"Known: .*fast"):
        sdk.InverseHalftoner("zzzzzz", device="cpu")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx cannot be read: No such file.*Check the path"):
        sdk.InverseHalftoner(tmp_path / "missing.onnx", device="cpu")


def test_names_that_are_no_files() -> None:
    with pytest.raises(ModelError, match=r"fast\.engine is an engine already; give the \.onnx"):
        catalog.metadata_of("fast.engine")
    with pytest.raises(ModelError, match="There is no released model 'aaa"):  # longer than names of files may be
        catalog.metadata_of("a" * 300)


@pytest.mark.parametrize("name", ["weights.pt", "model.safetensors", "folder"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ModelError, match=r"does not end in \.onnx or \.engine"):
        sdk.InverseHalftoner(tmp_path / name, device="cpu")


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.99])
def test_damaged_onnx_bytes_are_refused(tmp_path: Path, part: float) -> None:
    data = sdk.releases()["fast"].path.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ModelError, match=r"cut\.onnx .*Export it again, or fetch a fresh copy"):
        sdk.InverseHalftoner(path, device="cpu")


def test_text_named_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is no model\n" * 20)
    with pytest.raises(ModelError, match=r"text\.onnx cannot be loaded"):
        sdk.InverseHalftoner(tmp_path / "text.onnx", device="cpu")


@pytest.mark.parametrize("inputs", [("x",), ("x", "z"), ()], ids=["one input", "two inputs", "no input"])
def test_a_foreign_model_is_refused(tmp_path: Path, inputs: tuple[str, ...]) -> None:
    path = onnx_file(tmp_path / "foreign.onnx", {"producer": "somebody"}, inputs)
    with pytest.raises(ModelError, match=r"foreign\.onnx is an ONNX file but not .*inverse-halftoner models"):
        sdk.InverseHalftoner(path, device="cpu")


# Metadata


def test_props_round_trip() -> None:
    props = METADATA.to_props()
    assert all(isinstance(value, str) for value in props.values())
    assert ModelMetadata.from_props(props, "here") == METADATA


def test_metadata_is_read_from_an_onnx_file(tmp_path: Path) -> None:
    assert sdk.InverseHalftoner(onnx_file(tmp_path / "own.onnx", METADATA.to_props()), device="cpu").metadata == METADATA


def test_unknown_props_are_ignored() -> None:
    assert ModelMetadata.from_props(METADATA.to_props() | {"author": "not json"}, "here") == METADATA


def test_a_newer_schema_is_refused() -> None:
    props = METADATA.to_props() | {"schema_version": str(SCHEMA_VERSION + 1)}
    with pytest.raises(ModelError, match=rf"here has metadata schema {SCHEMA_VERSION + 1}.*Upgrade"):
        ModelMetadata.from_props(props, "here")


@pytest.mark.parametrize(
    "change",
    [{"name": "no json"}, {"schema_version": json.dumps("one")}, {"input_range": "5"}, {"title": None}, {"input_range": None}],
    ids=str,
)
def test_damaged_props_are_refused(change: dict[str, str | None]) -> None:
    props = {key: value for key, value in (METADATA.to_props() | change).items() if value is not None}
    with pytest.raises(ModelError, match=r"here has damaged metadata.*Export the model again"):
        ModelMetadata.from_props(props, "here")


def test_another_task_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "other.onnx", METADATA.to_props() | {"task": json.dumps("super-resolution")})
    with pytest.raises(ModelError, match="super-resolution"):
        sdk.InverseHalftoner(path, device="cpu")


# Devices and options


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'tpu' is unknown\. .*Known: auto, cpu, cuda"):
        sdk.InverseHalftoner(device="tpu")


def test_cuda_is_never_replaced_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"onnxruntime-gpu.*device='cpu'"):
        sdk.InverseHalftoner(device="cuda", backend="onnxruntime")
    assert sdk.InverseHalftoner(device="auto").describe()["device"] == "cpu"


def test_cuda_that_does_not_start_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu without the CUDA libraries lists CUDA, and then runs on the CPU."""
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(DeviceError, match="would run on the CPU"):
        sdk.InverseHalftoner(device="cuda", backend="onnxruntime")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tile": 0}, "at least 64"),
        ({"tile": -8}, "at least 64"),
        ({"tile": 56}, "at least 64"),
        ({"tile": 257}, "multiple of"),
        ({"overlap": -1}, "0..341"),
        ({"overlap": 342}, "0..341"),
        ({"tile": 96, "overlap": 33}, "0..32"),
        *(({"threshold": value}, "between 0 and 1") for value in (0, 1, -0.5, 128, float("nan"))),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict, text: str) -> None:
    model = onnx_file(tmp_path / "own.onnx", (METADATA.to_props() | {"size_multiple": "8", "tile": "1024"}))
    with pytest.raises(OptionError, match=text):
        sdk.InverseHalftoner(model, device="cpu", **options)


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000, "nonsense"])
def test_hostile_metadata_is_damaged_metadata(value: str) -> None:
    with pytest.raises(ModelError, match="damaged metadata"):
        ModelMetadata.from_props({"schema_version": "1", "task": '"inverse-halftoning"', "tile": value}, "x.onnx")
