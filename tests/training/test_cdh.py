"""CDH: what its networks are given and make, and that few steps can be taught and exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sdk
from export.to_onnx import export
from sdk.errors import OptionError
from tests.training.test_losses import vgg_file
from training import distill as distillation
from training.checkpoints import WEIGHTS, history, load_model, load_weights, warm_start
from training.config import DataConfig, DistillationConfig, OptimiserConfig, Recipe, ValidationConfig, load_recipe
from training.data import Pairs
from training.degradations import HalftoneFamily, LearnedHalftone
from training.diffusion import grid, trajectory
from training.distill import Distillation, distill
from training.errors import TrainingError
from training.meta_halftones import features_of, meta_halftones
from training.models import build
from training.models.cdh import CDH, HalftoneCDH, InverseCDH
from training.models.denoiser import Denoiser, PaperDenoiser
from training.train import train

SMALL = {"network": {"channels": [8, 16], "blocks": [1, 1]}, "timesteps": 48}
FLOYD = (HalftoneFamily(("floyd-steinberg",), 1.0),)
TINY = Recipe(
    name="cdh",
    architecture="cdh",
    model=SMALL,
    data=DataConfig(mix=FLOYD, crop=32, batch=4),
    steps=40,
    loss=replace(load_recipe("cdh").loss),
    optimiser=OptimiserConfig(learning_rate=3e-3, warmup_steps=5),
    distillation=DistillationConfig({"trajectory": 1.0, "truth": 1.0}, teacher_steps=8, crops=16, batch=8, rate=1.0),
    validation=ValidationConfig(every=100, pictures=2),
    card=load_recipe("cdh").card,
)


def built(architecture: str, **arguments) -> CDH:
    torch.manual_seed(0)
    model = build(architecture, **{**SMALL, **arguments})
    assert isinstance(model, CDH)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh networks say nothing, which would hide mistakes
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


@pytest.mark.parametrize("architecture", ["cdh", "cdh-halftone"])
def test_a_state_stands_for_its_picture(architecture: str) -> None:
    model = built(architecture)
    given, wanted = torch.rand(2, 1, 16, 16).round(), torch.rand(2, 1, 16, 16)
    assert torch.allclose(model.picture(model.state(wanted, given), given), wanted, atol=1e-6)


@pytest.mark.parametrize("architecture", ["cdh", "cdh-halftone"])
def test_same_noise_same_picture_whatever_the_batch(architecture: str) -> None:
    model = built(architecture)
    inputs = torch.cat([torch.rand(3, 1, 16, 24), torch.randn(3, 1, 16, 24)], dim=1)
    with torch.no_grad():
        together, alone = model(inputs), model(inputs[1:2])
        inputs[1, 1] += 0.5
        other = model(inputs)
    assert torch.allclose(together[1], alone[0], atol=1e-5)
    assert torch.equal(other[0], together[0])
    assert (other[1] - together[1]).abs().max() > 1e-3


def test_the_time_reaches_every_block() -> None:
    torch.manual_seed(0)
    network = Denoiser(3, channels=(8, 12, 16), blocks=(1, 2, 1))
    torch.nn.init.normal_(network.time[2].weight)
    torch.nn.init.normal_(network.tail.weight)
    planes = torch.randn(1, 3, 16, 16)
    embedding = network.embed(torch.tensor([0.5]))
    assert embedding.shape == (1, 2 * (8 + 12 * 2 + 16 + 12 * 2 + 8))
    with torch.no_grad():
        before = network(planes, embedding)
        start = 0
        for width in (8, 12, 12, 16, 12, 12, 8):
            for part in range(2):  # scales, then shifts, of one block
                changed = embedding.clone()
                changed[:, start + part * width : start + (part + 1) * width] += 1
                assert not torch.equal(network(planes, changed), before), (start, part)
            start += 2 * width


def test_the_paper_preset_is_of_the_papers_size() -> None:
    network = PaperDenoiser(3)
    assert network.unet.config["block_out_channels"] == (64, 128, 256, 256)
    attention = next(module for name, module in network.named_modules() if name.endswith("attentions.0"))
    assert attention.heads == 4
    with torch.no_grad():
        assert network(torch.randn(1, 3, 32, 32), network.embed(torch.tensor([0.5]))).shape == (1, 1, 32, 32)


def test_the_low_pass_keeps_tones_up_to_the_border() -> None:
    model = built("cdh")
    assert isinstance(model, InverseCDH)
    assert torch.allclose(model.lowpass(torch.full((1, 1, 12, 12), 0.3)), torch.full((1, 1, 12, 12), 0.3), atol=1e-6)


def test_guidance_starts_from_nothing_and_then_counts() -> None:
    model = build("cdh-halftone", guided=True, **SMALL)
    assert isinstance(model, HalftoneCDH)
    grey = torch.rand(1, 1, 16, 16)
    assert not model.condition_planes(grey)[:, 2:].any()
    torch.nn.init.normal_(model.guide.out.weight)
    model.guide.features.normal_()  # type: ignore[operator]
    assert model.condition_planes(grey)[:, 2:].std() > 0
    model.guided = False
    assert not model.condition_planes(grey)[:, 2:].any()


def test_meta_halftones_are_two_level_and_told_apart(tmp_path: Path) -> None:
    model = built("cdh-halftone")
    assert isinstance(model, HalftoneCDH)
    patterns = meta_halftones(model, steps=2)
    assert patterns.shape == (20, 1, 64, 64)
    assert set(patterns.unique().tolist()) <= {0.0, 1.0}
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    checks = torch.stack([(rows // side + columns // side) % 2 for side in (1, 4)])
    features = features_of(checks[:, None].float(), vgg_file(tmp_path / "vgg.npz", 10))
    assert features.shape == (2, 2 * 6)  # of the stand-in; 2 x 128 of VGG
    assert (features[0] - features[1]).abs().max() > 1e-3


def test_halftoning_pairs_give_the_photograph(photos: Path) -> None:
    given, wanted = Pairs(photos / "train", FLOYD, crop=32, batch=2, steps=1, halftoning=True)[0]
    assert set(wanted.unique().tolist()) == {0.0, 1.0}
    assert len(given.unique()) > 10
    assert float(F.avg_pool2d(given - wanted, 16).abs().max()) < 0.05  # it is of this photograph, turned with it


def test_trains_and_is_taught_few_steps_and_exported(photos: Path, tmp_path: Path, photo: np.ndarray) -> None:
    weights = train(TINY, photos, tmp_path)
    teacher, recipe, progress = load_model(weights)
    assert isinstance(teacher, CDH)
    taught = distill(teacher, recipe, photos, tmp_path / "few-steps", None, 30, before=history(recipe, progress))
    assert load_weights(taught)[2]["before"] == [{"model": "cdh", **{key: progress[key] for key in ("steps", "seconds", "photographs")}}]
    kept = (tmp_path / "few-steps" / "ends.safetensors").stat()
    assert load_weights(taught)[2]["distillation_steps"] == 30
    assert history(recipe, load_weights(taught)[2])["before"][-1]["distillation_steps"] == 30  # of a student who is taught on

    halftone = np.asarray(sdk.Halftoner("floyd-steinberg").run(photo[:64, :64]))
    for steps in (1, 2):
        metadata = export(taught, tmp_path / f"{steps}.onnx", steps, training_data="two crops")
        assert (metadata.name, metadata.num_inference_steps, metadata.needs_noise) == (f"cdh-{steps}step", steps, True)
        restorer = sdk.InverseHalftoner(tmp_path / f"{steps}.onnx", device="cpu")
        restored = restorer.run(halftone, seed=1)
        assert np.array_equal(restored, restorer.run(halftone, seed=1))
        assert not np.array_equal(restored, restorer.run(halftone, seed=2))
        assert np.mean((restored / 255.0 - photo[:64, :64] / 255.0) ** 2) < 0.02
    assert (tmp_path / "few-steps" / "ends.safetensors").stat() == kept
    with pytest.raises(OptionError, match=r"1\.\.48"):
        export(taught, tmp_path / "49.onnx", 49, training_data="two crops")


def test_distillation_goes_on_where_it_stopped(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, recipe, _ = load_model(train(replace(TINY, steps=1), photos, tmp_path))
    assert isinstance(teacher, CDH)
    sampled, taught = [], []
    sample, learn = distillation.sample_ends, Distillation.forward
    monkeypatch.setattr(distillation, "sample_ends", lambda *arguments: sampled.append(1) or sample(*arguments))
    monkeypatch.setattr(Distillation, "forward", lambda *arguments: taught.append(1) or learn(*arguments))

    def go_on(steps: int, recipe: Recipe = recipe) -> tuple[int, int]:
        distill(teacher, recipe, photos, tmp_path / "few-steps", None, steps)
        return len(sampled), len(taught)

    assert go_on(3) == (1, 3)
    learnt = load_weights(tmp_path / "few-steps" / WEIGHTS)[0]
    assert not all(torch.equal(value, learnt[name]) for name, value in teacher.state_dict().items())
    assert go_on(3) == (1, 3)  # nothing is left to do: what was learnt is there as it was
    assert all(torch.equal(value, learnt[name]) for name, value in load_weights(tmp_path / "few-steps" / WEIGHTS)[0].items())
    with pytest.raises(TrainingError, match="has begun"):
        distill(teacher, recipe, photos, tmp_path / "few-steps", None, 4, start_from=tmp_path / WEIGHTS)
    assert go_on(5) == (1, 5)
    assert load_weights(tmp_path / "few-steps" / WEIGHTS)[2]["distillation_steps"] == 5
    ends = tmp_path / "few-steps" / "ends.safetensors"
    ends.write_bytes(ends.read_bytes()[:-7])  # damaged
    assert go_on(6) == (2, 6)
    assert go_on(7, replace(recipe, distillation=replace(recipe.distillation, teacher_steps=4))) == (3, 7)  # other ends


def test_steps_share_their_weights_in_the_file(tmp_path: Path, photos: Path) -> None:
    weights = train(replace(TINY, steps=1), photos, tmp_path)
    sizes = []
    for steps in (1, 3):
        export(weights, tmp_path / f"{steps}.onnx", steps, training_data="two crops")
        sizes.append((tmp_path / f"{steps}.onnx").stat().st_size)
    parameters = sum(p.numel() for p in load_model(weights)[0].parameters())
    assert sizes[1] - sizes[0] < 2 * (8_000 + 0.5 * 2 * parameters)


@pytest.mark.parametrize(("steps", "step"), [(1, 0), (4, 0), (4, 2)])
def test_the_student_learns_the_teachers_end_from_its_own_states(steps: int, step: int) -> None:
    model = built("cdh")
    loss = Distillation({"trajectory": 1.0}, Path("none"))
    given, noise = torch.rand(2, 1, 16, 16).round(), torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        conditions, t = model.condition_planes(given), grid(48, steps)[step]
        x = trajectory(lambda x, t: model.velocity(x, conditions, t), noise, model.plan, steps)[step]
        own = model.plan.signal[t] * x - model.plan.noise[t] * model.velocity(x, conditions, t)
        assert float(loss(model, given, given, noise, own, steps, step)) == pytest.approx(0, abs=1e-9)
        assert float(loss(model, given, given, noise, own + 0.5, steps, step)) == pytest.approx(0.25, rel=1e-4)
    with pytest.raises(OptionError, match="trajectory"):
        Distillation({"trajektory": 1.0}, Path("none"))


def test_tones_after_the_threshold_teach_the_last_step() -> None:
    model = built("cdh-halftone")
    loss = Distillation({"tone": 1.0}, Path("none"))
    grey, noise = torch.full((1, 1, 24, 24), 0.4), torch.randn(1, 1, 24, 24)
    found = loss(model, grey, grey.round(), noise, noise, 4, 3)
    found.backward()
    with torch.no_grad():
        white = (model(torch.cat([grey, noise], dim=1)) > 0.5).float()
        wanted = F.mse_loss(F.conv2d(white, loss.eye), F.conv2d(grey, loss.eye))  # type: ignore[arg-type]
    assert found.item() == pytest.approx(wanted.item(), rel=1e-3)  # of its own four steps
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) > 0


def test_a_recipe_warm_starts_from_its_teacher(photos: Path, tmp_path: Path) -> None:
    weights = train(replace(TINY, steps=1), photos, tmp_path)
    assert warm_start(build("cdh", **SMALL), weights) == []


def test_networks_halftone_crops_another_way_each_time(photos: Path, tmp_path: Path, photo: np.ndarray) -> None:
    card = load_recipe("cdh-halftone").card
    made = replace(TINY, name="dots", architecture="cdh-halftone", data=replace(TINY.data, halftoning=True), steps=30, card=card)
    export(train(made, photos, tmp_path), tmp_path / "dots.onnx", 2, "dots", "two crops")
    family = LearnedHalftone(str(tmp_path / "dots.onnx"), 1.0)
    crop = photo[:64, :64]
    (first, target), (second, _) = family(crop, np.random.default_rng(0)), family(crop, np.random.default_rng(1))
    assert set(np.unique(first)) == {0.0, 1.0}
    assert (first != second).any()
    assert np.array_equal(first, family(crop, np.random.default_rng(0))[0])
    assert np.array_equal(target, crop.astype(np.float32) / 255)
