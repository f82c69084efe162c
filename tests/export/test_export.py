"""torch -> ONNX: same values, any size, half the bytes, and the facts inside."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

import sdk
from export.release import release, to_toml
from export.to_onnx import card, export
from export.verify import TOLERANCE, ParityError, measure_halo, verify
from export.verify import main as verify_command
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import metadata_of, tomllib
from sdk.errors import ModelError
from training.checkpoints import save_weights, warm_start
from training.config import RECIPES, Recipe, RecipeError, from_table, load_recipe
from training.cost import kflop_per_pixel
from training.errors import TrainingError
from training.models import build
from training.models.inputs import Inputs

TINY = {"channels": [8, 16], "blocks": [1, 1], "methods": 26}


@pytest.fixture(scope="module")
def tiny_recipe() -> Recipe:
    table = tomllib.loads((RECIPES / "fast.toml").read_text(encoding="utf-8"))
    return from_table(Recipe, {**table, "name": "tiny", "model": TINY}, "tiny")


@pytest.fixture(scope="module")
def exported(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """An untrained tiny network, as its fp16-rounded torch module and as a file."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    model = build("fast", **tiny_recipe.model).eval()
    save_weights(folder / "weights.safetensors", model.state_dict(), tiny_recipe, {"steps": 0, "seconds": 0.0})
    export(folder / "weights.safetensors", folder / "tiny.onnx")
    return model.half().float(), folder / "tiny.onnx"


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (3, 20, 64), (1, 132, 36)])
def test_same_values_as_torch_at_sizes_never_traced(exported, batch: int, height: int, width: int) -> None:
    model, path = exported
    halftone = np.random.default_rng(1).integers(0, 2, (batch, 2, height, width)).astype(np.float32)
    halftone[:, 1] = np.arange(batch)[:, None, None] / 256  # the method, another one for each picture
    with torch.inference_mode():
        expected = model(torch.from_numpy(halftone)).numpy()
    assert np.abs(OnnxRuntimeBackend(path.read_bytes(), "cpu").run(halftone) - expected).max() <= TOLERANCE


def test_training_can_start_from_a_released_file(exported) -> None:
    model, path = exported
    fresh = build("fast", **TINY)
    warm_start(fresh, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor), name


def test_verify_refuses_other_weights(exported) -> None:
    _, path = exported
    torch.manual_seed(1)
    with pytest.raises(ParityError, match="differs from torch"):
        verify(build("fast", **TINY).eval(), OnnxRuntimeBackend(path.read_bytes(), "cpu"))


def test_verify_measures_what_was_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norms are folded before weights are rounded, and a sampler has the steps of the file, not those of the recipe."""
    sizes = {"companding": {"channels": [8, 8, 8, 8, 8]}, "cdh": {"network": {"channels": [8, 16], "blocks": [1, 1]}}}
    for architecture, steps in (("companding", None), ("cdh", 1)):
        recipe = load_recipe(architecture)
        recipe = dataclasses.replace(recipe, model={**recipe.model, **sizes[architecture]})
        torch.manual_seed(0)
        model = build(recipe.architecture, **recipe.model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        weights, file = tmp_path / f"{architecture}.safetensors", tmp_path / f"{architecture}.onnx"
        save_weights(weights, model.state_dict(), recipe, {"steps": 0})
        metadata = export(weights, file, steps)
        assert (metadata.training["recipe"], metadata.training["steps"]) == (architecture, 0)  # steps of training
        monkeypatch.setattr("sys.argv", ["verify", str(weights), str(file)])
        verify_command()
        assert "largest difference" in capsys.readouterr().out


def test_verify_refuses_networks_that_give_no_numbers(exported) -> None:
    model, path = exported
    ruined = build("fast", **TINY).eval()
    ruined.load_state_dict({name: tensor * float("nan") for name, tensor in model.state_dict().items()})
    with pytest.raises(ParityError, match="by nan"):
        verify(ruined, OnnxRuntimeBackend(path.read_bytes(), "cpu"))


def test_a_card_tells_all_and_of_these_photographs(tiny_recipe: Recipe) -> None:
    assert card(tiny_recipe, {"photographs": 2086}) == card(tiny_recipe, {}) == tiny_recipe.card
    with pytest.raises(RecipeError, match=r"trained on 2,086 photographs, but these weights learnt from 120.*--training-data"):
        card(tiny_recipe, {"photographs": 120})
    assert card(tiny_recipe, {"photographs": 120}, "120 of mine")["training_data"] == "120 of mine"
    begun = {"photographs": 120, "before": [{"model": "fast"}], "before_data": "2,086 of others"}
    assert card(tiny_recipe, begun, "120 of mine")["training_data"] == "120 of mine; before, as 'fast': 2,086 of others"
    words = {key: text for key, text in tiny_recipe.card.items() if key not in ("licence", "paper")}
    with pytest.raises(RecipeError, match="lacks paper, licence"):
        card(dataclasses.replace(tiny_recipe, card=words), {})
    with pytest.raises(RecipeError, match="unknown key 'lisence'"):
        card(dataclasses.replace(tiny_recipe, card={**words, "lisence": "CC0"}), {})


class Convolution:
    """As a backend: every plane by one kernel, zeros beyond the edges."""

    def __init__(self, kernel: np.ndarray):
        self.kernel = kernel.astype(np.float32)

    def run(self, planes: np.ndarray) -> Any:
        flat = planes.reshape(-1, *planes.shape[2:])
        return np.stack([cv2.filter2D(plane, -1, self.kernel, borderType=cv2.BORDER_CONSTANT) for plane in flat]).reshape(planes.shape)


@pytest.mark.parametrize(
    ("radius", "multiple", "halo"), [(0, 1, 0), (1, 1, 1), (5, 1, 5), (5, 4, 8), (8, 8, 8), (9, 8, 16), (20, 8, 16)], ids=str
)
def test_the_halo_is_how_far_a_convolution_reaches(radius: int, multiple: int, halo: int) -> None:
    """A whole number of blocks, and no more than the limit."""
    kernel = np.full((2 * radius + 1,) * 2, 1 / (2 * radius + 1) ** 2)
    assert measure_halo(Convolution(kernel), Inputs(multiple=multiple), limit=16) == halo  # type: ignore[arg-type]


@pytest.mark.parametrize(("far", "halo"), [(1.0, 9), (0.1, 3)])
def test_what_nobody_sees_is_no_halo(far: float, halo: int) -> None:
    """Half a grey level counts; ``far`` grey levels come from 9 px away, left or right, the rest from 3 px."""
    for side in (0, -1):
        kernel = np.zeros((1, 19))
        kernel[0, 6:13] = 1 / 7
        kernel[0, side] = far / 255
        assert measure_halo(Convolution(kernel), Inputs()) == halo  # type: ignore[arg-type]


def test_tiles_are_wide_enough_for_the_halo(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = exported
    monkeypatch.setattr("export.to_onnx.measure_halo", lambda *_: 192)
    metadata = export(path.with_name("weights.safetensors"), tmp_path / "wide.onnx")
    assert metadata.tile == metadata.smallest_tile == 1152
    sdk.InverseHalftoner(tmp_path / "wide.onnx", device="cpu")


def test_a_failed_export_leaves_the_last_one(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = exported
    (tmp_path / "tiny.onnx").write_bytes(path.read_bytes())
    monkeypatch.setattr("export.verify.TOLERANCE", -1.0)
    with pytest.raises(TrainingError, match="differs from torch"):
        export(path.with_name("weights.safetensors"), tmp_path / "tiny.onnx")
    assert (tmp_path / "tiny.onnx").read_bytes() == path.read_bytes()


def test_one_file_opset_20_with_weights_stored_as_fp16(exported) -> None:
    model, path = exported
    graph = onnx.load(path, load_external_data=False)
    assert [entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")] == [20]
    stored = sum(np.prod(t.dims) for t in graph.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16)
    assert stored > 0.95 * sum(p.numel() for p in model.parameters())
    assert not any(t.external_data for t in graph.graph.initializer)


def test_metadata_tells_what_was_measured(exported) -> None:
    model, path = exported
    metadata = sdk.InverseHalftoner(path, device="cpu").metadata
    assert metadata.name == "tiny"
    assert metadata.size_multiple == 4
    assert metadata.parameters == sum(p.numel() for p in model.parameters())
    assert metadata.kflop_per_pixel == pytest.approx(kflop_per_pixel(model, 2), abs=0.1)
    assert metadata.parity_max_abs_diff is not None
    assert metadata.parity_max_abs_diff <= TOLERANCE
    assert 0 < metadata.halo <= 64


def test_kflop_counts_a_multiply_add_as_two() -> None:
    assert kflop_per_pixel(torch.nn.Conv2d(1, 10, 1, bias=False)) == pytest.approx(0.02)


def test_release_writes_metrics_and_manifest(exported, tmp_path: Path) -> None:
    _, path = exported
    row = {"dither": "bayer 8x8", "set": "kodak24", "psnr": 20.5, "ssim": 0.5, "lpips": 0.4}
    others = {**row, "restorer": "Gaussian", "psnr": 1.0}
    evaluation = tmp_path / "tiny.json"
    evaluation.write_text(json.dumps({"training": metadata_of(path).training, "rows": [{**row, "restorer": "tiny"}, others]}))
    release(path, evaluation, 'a "tiny" one', folder=tmp_path)
    manifest = tomllib.loads((tmp_path / "models.toml").read_text())
    assert manifest["tiny"]["summary"] == 'a "tiny" one'
    assert sdk.InverseHalftoner(tmp_path / "tiny.onnx", device="cpu").metadata.metrics["kodak24/bayer 8x8/psnr"] == 20.5


def test_release_takes_no_figures_of_other_weights(exported, tmp_path: Path) -> None:
    _, path = exported
    metadata = sdk.InverseHalftoner(path, device="cpu").metadata
    row = {"restorer": "tiny", "dither": "bayer 8x8", "set": "kodak24", "psnr": 20.5, "ssim": 0.5, "lpips": 0.4}
    evaluation = tmp_path / "tiny.json"
    evaluation.write_text(json.dumps({"training": {**metadata.training, "steps": 7}, "rows": [row]}))
    with pytest.raises(ModelError, match="not measured with these weights of 'tiny'"):
        release(path, evaluation, "tiny", folder=tmp_path)
    for weights in ({}, {"model": json.dumps({**metadata.training, "steps": 7})}):  # tables of several models tell it in each row
        evaluation.write_text(json.dumps({"rows": [row | weights]}))
        with pytest.raises(ModelError, match="not measured with these weights of 'tiny'"):
            release(path, evaluation, "tiny", folder=tmp_path)
    evaluation.write_text(json.dumps({"training": metadata.training, "rows": [{**row, "restorer": "other"}]}))
    with pytest.raises(ModelError, match="no figures of 'tiny'"):
        release(path, evaluation, "tiny", folder=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.json"]


def test_names_with_dots_are_one_name_in_the_manifest() -> None:
    assert tomllib.loads(to_toml({"fast.v2": {"file": "a"}, "fast": {"file": "b"}})) == {"fast.v2": {"file": "a"}, "fast": {"file": "b"}}


def test_released_fast_is_an_export_of_the_recipe() -> None:
    recipe = load_recipe("fast")
    metadata = metadata_of("fast")
    model = build(recipe.architecture, **recipe.model)
    assert metadata.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", sdk.releases())
def test_releases_compute_what_torch_computed(name: str) -> None:
    """As it was measured on export."""
    difference = metadata_of(name).parity_max_abs_diff
    assert difference is not None
    assert 0 <= difference <= TOLERANCE
