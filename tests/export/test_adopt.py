"""Networks of others: what they take is measured, they then run like ours, and what cannot run is refused in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sdk
from export.adopt import AdoptionError, adopt
from export.adopt import main as adopt_command
from sdk.catalog import metadata_of, releases
from sdk.errors import OptionError
from sdk.metadata import ModelMetadata

CARD = ModelMetadata(name="theirs", task="inverse-halftoning", title="theirs", paper="none", licence="MIT", training_data="none")
BLUR = np.full((1, 1, 3, 3), 1 / 9, np.float32)

Shape = Sequence[int | str]


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Path]:
    """(nodes from "x" to "y", weights) -> the file of a network of others."""

    def make(
        nodes: list[onnx.NodeProto],
        weights: dict[str, np.ndarray],
        shape: Shape = ("n", 1, "h", "w"),
        dtype: int = TensorProto.FLOAT,
        inputs: Sequence[str] = ("x",),
    ) -> Path:
        given = [helper.make_tensor_value_info(name, dtype, shape) for name in inputs]
        made = [helper.make_tensor_value_info("y", dtype, ("n", "c", "rows", "columns"))]
        tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
        graph = helper.make_graph(nodes, "theirs", given, made, tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "theirs.onnx")
        return tmp_path / "theirs.onnx"

    return make


@pytest.fixture
def blur(network: Callable[..., Path]) -> Path:
    return network([helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1])], {"k": BLUR})


def blurred(picture: np.ndarray, outside: float) -> np.ndarray:
    return cv2.blur(cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=outside), (3, 3))[1:-1, 1:-1]


def test_what_can_be_measured_is(blur: Path, tmp_path: Path) -> None:
    metadata = adopt(blur, tmp_path / "mine.onnx", CARD)
    assert metadata == metadata_of(tmp_path / "mine.onnx")
    assert (metadata.size_multiple, metadata.halo, metadata.parameters) == (1, 1, 9)
    assert metadata.kflop_per_pixel == round(2 * 9 / 1e3, 1)
    assert (metadata.input_color, metadata.title, metadata.licence, metadata.training) == (
        "grey",
        "theirs",
        "MIT",
        {"adopted": "theirs.onnx"},
    )


@pytest.mark.parametrize(("black", "paper", "outside"), [(0, 1, 0), (1, 0, 1), (-1, 1, 0.5), (0, 255, 0)])
def test_it_runs_in_its_own_range(blur: Path, tmp_path: Path, white: np.ndarray, black: float, paper: float, outside: float) -> None:
    """Zero, which convolutions see outside a picture, is another grey in each range."""
    adopt(blur, tmp_path / "mine.onnx", CARD, black, paper)
    dots = white[200:300, 300:420].astype(np.float32)
    restorer = sdk.InverseHalftoner(tmp_path / "mine.onnx", device="cpu", tile=64)
    found = restorer.run(dots)
    np.testing.assert_allclose(found[1:-1, 1:-1], blurred(dots, outside)[1:-1, 1:-1], atol=1e-5)
    whole = sdk.InverseHalftoner(tmp_path / "mine.onnx", device="cpu").run(dots)
    np.testing.assert_allclose(whole, blurred(dots, outside), atol=1e-5)


def test_blocks_are_found(network: Callable[..., Path], tmp_path: Path) -> None:
    """Each 4x4 px become their mean: sizes and tiles must keep to them."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node(
            "Resize", ["small", "", "scales"], ["y"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
    ]
    path = network(nodes, {"scales": np.float32([1, 1, 4, 4])})
    assert adopt(path, tmp_path / "mine.onnx", CARD).size_multiple == 4


def test_blocks_are_found_where_any_size_is_taken(network: Callable[..., Path], tmp_path: Path) -> None:
    """The same, but what is left over beside the last block is made up for: sizes do not tell."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1),
        helper.make_node(
            "Resize", ["small", "", "scales"], ["large"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "two", "four"], ["size"]),
        helper.make_node("Slice", ["large", "zeros", "size", "axes"], ["y"]),
    ]
    numbers = {"two": [2], "four": [4], "zeros": [0, 0], "axes": [2, 3]}
    path = network(nodes, {"scales": np.float32([1, 1, 4, 4]), **{name: np.int64(value) for name, value in numbers.items()}})
    assert adopt(path, tmp_path / "mine.onnx", CARD).size_multiple == 4


def test_colour(network: Callable[..., Path], tmp_path: Path, white: np.ndarray) -> None:
    """Red becomes blue."""
    path = network(
        [helper.make_node("Conv", ["x", "k"], ["y"])], {"k": np.eye(3, dtype=np.float32)[::-1, :, None, None].copy()}, ("n", 3, "h", "w")
    )
    assert adopt(path, tmp_path / "mine.onnx", CARD).input_color == "rgb"
    dots = np.stack([white[y : y + 64, 300:364] for y in (100, 200, 300)], axis=-1).astype(np.float32)
    np.testing.assert_array_equal(sdk.InverseHalftoner(tmp_path / "mine.onnx", device="cpu").run(dots), dots[..., ::-1])


def test_a_released_network_without_its_metadata_is_found_out(tmp_path: Path, white: np.ndarray) -> None:
    graph = onnx.load(releases()["scan"].path)
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "theirs.onnx")
    found, known = adopt(tmp_path / "theirs.onnx", tmp_path / "mine.onnx", CARD), metadata_of("scan")
    for fact in ("size_multiple", "halo", "tile", "input_color"):
        assert getattr(found, fact) == getattr(known, fact), fact
    assert found.kflop_per_pixel == pytest.approx(known.kflop_per_pixel, rel=0.02)
    assert found.parameters == pytest.approx(known.parameters, rel=0.02)


# Refusals


def test_networks_that_cannot_run_are_refused(network: Callable[..., Path], tmp_path: Path) -> None:
    conv, target = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1]), tmp_path / "mine.onnx"

    def refused(match: str, *arguments, **options) -> None:
        with pytest.raises(AdoptionError, match=match):
            adopt(network(*arguments, **options), target, CARD)
        assert not target.exists()

    refused(r"made for pictures of 96 x 64 px only.*dynamic_shapes", [conv], {"k": BLUR}, shape=(1, 1, 64, 96))
    refused(r"takes \(n, 2, h, w\); accepted", [conv], {"k": np.repeat(BLUR, 2, axis=1)}, shape=("n", 2, "h", "w"))
    refused(r"takes or gives float16", [conv], {"k": BLUR.astype(np.float16)}, dtype=TensorProto.FLOAT16)
    refused(r"inputs x, k and the outputs y; one of each", [conv], {}, inputs=("x", "k"))
    refused(r"it makes \(1, 1, 63, 65\) of \(1, 1, 65, 67\)|it makes", [helper.make_node("Conv", ["x", "k"], ["y"])], {"k": BLUR})
    mean = [helper.make_node("GlobalAveragePool", ["x"], ["m"]), helper.make_node("Sub", ["x", "m"], ["y"])]
    refused(r"whole of a picture", mean, {})
    refused(r"infinity or NaN", [helper.make_node("Div", ["x", "z"], ["y"])], {"z": np.float32([0])})


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(AdoptionError, match=rf"{name} cannot be read as an ONNX file"):
            adopt(tmp_path / name, tmp_path / "mine.onnx", CARD)


def test_nothing_is_written_over(blur: Path) -> None:
    before = blur.read_bytes()
    with pytest.raises(AdoptionError, match="is the network itself"):
        adopt(blur, blur, CARD)
    with pytest.raises(OptionError, match="both 1"):
        adopt(blur, blur.with_name("mine.onnx"), CARD, 1, 1)
    assert blur.read_bytes() == before


def test_the_command(blur: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    target = blur.with_name("mine.onnx")
    command = ["adopt", str(blur), "-o", str(target), "--name", "mine", "--kinds", "screen", "--periods", "3", "9", "--licence", "MIT"]
    monkeypatch.setattr("sys.argv", command)
    adopt_command()
    metadata = metadata_of(target)
    assert (metadata.name, metadata.kinds, metadata.periods, metadata.licence) == ("mine", ("screen",), (3.0, 9.0), "MIT")
    assert "sizes in multiples of 1 px, a cut is seen 1 px far" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*command[:-6], "screens"])
    with pytest.raises(OptionError, match=r"--kinds screens is unknown.*screen"):
        adopt_command()
