"""Losses against their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sdk import metrics
from sdk.errors import OptionError
from training.errors import TrainingError
from training.losses import LPIPS_EVERY, TERMS, Loss, frequency, log_rmse, rmse, ssim
from training.models import build
from training.perceptual import CAFFE_UNIT, DEPTHS, VggFeatures, VggLpips


def test_rmse_weighs_every_crop_alike() -> None:
    photo = torch.zeros(2, 1, 4, 4)
    restored = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 0.3)])
    assert rmse(restored, photo).item() == pytest.approx(0.2, abs=1e-4)


def test_log_rmse_counts_what_is_halved_alike_in_easy_and_hard_crops() -> None:
    photo, wrong = torch.zeros(2, 1, 16, 16), torch.full((2, 1, 16, 16), 0.4)
    wrong[1] = 0.02
    for halved in (0, 1):
        better = wrong.clone()
        better[halved] /= 2
        gain = log_rmse(wrong, photo).item() - log_rmse(better, photo).item()
        assert gain == pytest.approx(np.log(2) / 2, abs=0.02)  # half of it: there are two crops
    assert log_rmse(wrong, photo).item() * -20 / np.log(10) == pytest.approx((7.96 + 33.98) / 2, abs=0.1)  # dB


def test_rmse_has_a_gradient_where_nothing_is_wrong() -> None:
    restored = torch.zeros(1, 1, 4, 4, requires_grad=True)
    rmse(restored, torch.zeros(1, 1, 4, 4)).backward()
    assert restored.grad is not None
    assert torch.isfinite(restored.grad).all()


@pytest.mark.parametrize("planes", [1, 3])
def test_ssim_is_that_of_the_tables(planes: int) -> None:
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, 40, 31, planes), np.uint8)
    restored = np.clip(photos + rng.normal(0, 40, photos.shape), 0, 255).astype(np.uint8)
    counted = [metrics.ssim(a.squeeze(), b.squeeze()) for a, b in zip(restored, photos)]
    x, y = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 for pictures in (restored, photos))
    assert ssim(x, y).item() == pytest.approx(1 - np.mean(counted), abs=1e-5)


def test_frequency_counts_every_wave_alike() -> None:
    """A wave of amplitude 1 puts half of the number of pixels into its place in the half spectrum, whatever its frequency."""
    x = torch.arange(16) * 2 * torch.pi / 16
    for waves in (1, 5):
        picture = torch.cos(waves * x).expand(1, 1, 16, 16)
        assert frequency(picture, torch.zeros_like(picture)).item() == pytest.approx(0.5 * 256 / (16 * 9), rel=1e-4)


def test_terms_are_weighed_and_added() -> None:
    restored, photo = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    loss = Loss({"l1": 2.0, "mse": 3.0})(nn.Identity(), restored, photo)
    assert loss.item() == pytest.approx(2 * 0.5 + 3 * 0.25)


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="'rmse'"):
        Loss({"rmsee": 1.0})


def test_the_content_image_of_prl_is_weighed_too() -> None:
    """Equations 1 to 3 of Xia & Wong without the features: MSE(content) + 1.5 L1(restored)."""
    torch.manual_seed(0)
    model, halftone, photo = build("prl").eval(), torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        content, restored = model.progress(halftone)  # type: ignore[operator]
        wanted = ((content - photo) ** 2).mean() + 1.5 * (restored - photo).abs().mean()
        assert Loss({"content": 1.0, "l1": 1.5})(model, halftone, photo).item() == pytest.approx(wanted.item(), rel=1e-5)


# ---- VGG features

STAGES = (4, 6, 8, 8, 8)
"""Channels of a small stand-in for VGG."""


def vgg_file(path: Path, convolutions: int) -> Path:
    rng = np.random.default_rng(0)
    weights, inputs, index = {}, 3, 0
    for stage, count in enumerate(DEPTHS[convolutions]):
        for _ in range(count):
            weights[f"features.{index}.weight"] = rng.normal(0, 0.3, (STAGES[stage], inputs, 3, 3)).astype(np.float16)
            weights[f"features.{index}.bias"] = rng.normal(0, 0.1, STAGES[stage]).astype(np.float16)
            inputs, index = STAGES[stage], index + 2
        index += 1  # the pooling
    np.savez(path, **weights)
    return path


@pytest.mark.parametrize("convolutions", DEPTHS)
def test_vgg16_and_vgg19_are_told_apart_by_their_number_of_convolutions(tmp_path: Path, convolutions: int) -> None:
    features = VggFeatures(vgg_file(tmp_path / "vgg.npz", convolutions), "conv3_1")
    assert features(torch.rand(2, 1, 32, 24)).shape == (2, 8, 8, 6)
    last = f"conv4_{DEPTHS[convolutions][3]}"
    assert VggFeatures(tmp_path / "vgg.npz", last).names[-1] == last


def test_the_first_layer_is_a_convolution_of_the_normalised_picture(tmp_path: Path) -> None:
    path = vgg_file(tmp_path / "vgg.npz", 10)
    with np.load(path) as stored:
        kernel, bias = (torch.from_numpy(stored[f"features.0.{key}"].astype(np.float32)) for key in ("weight", "bias"))
    picture = torch.rand(1, 3, 8, 8)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (picture - mean[:, None, None]) / deviation[:, None, None]
    wanted = CAFFE_UNIT * torch.relu(torch.conv2d(normal, kernel, bias, padding=1))
    torch.testing.assert_close(VggFeatures(path, "conv1_1")(picture), wanted)


def test_the_perceptual_term_is_the_squared_distance_of_features(tmp_path: Path) -> None:
    path = vgg_file(tmp_path / "vgg.npz", 10)
    restored, photo = torch.rand(1, 1, 16, 16, requires_grad=True), torch.rand(1, 1, 16, 16)
    features = VggFeatures(path, "conv2_2")
    wanted = 0.01 * ((features(restored) - features(photo)) ** 2).mean()
    loss = Loss({"perceptual": 0.01}, "conv2_2", path)(nn.Identity(), restored, photo)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    loss.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum() > 0


def test_the_lpips_term_is_that_of_a_part_of_the_batch(tmp_path: Path) -> None:
    with np.load(vgg_file(tmp_path / "vgg.npz", 10)) as stored:
        heads = {f"lin.{i}.weight": np.full((1, STAGES[i], 1, 1), 0.1, np.float16) for i in range(3)}
        np.savez(tmp_path / "lpips.npz", **dict(stored), **heads)
    restored, photos = torch.rand(LPIPS_EVERY + 1, 1, 16, 16, requires_grad=True), torch.rand(LPIPS_EVERY + 1, 1, 16, 16)
    loss = Loss({"lpips": 2.0}, vgg=tmp_path / "lpips.npz")(nn.Identity(), restored, photos)
    judged = [0, LPIPS_EVERY]
    assert loss.item() == pytest.approx(2 * VggLpips(tmp_path / "lpips.npz")(restored[judged], photos[judged]).item(), rel=1e-5)
    loss.backward()
    assert restored.grad is not None
    assert restored.grad.abs().sum(dim=(1, 2, 3)).gt(0).tolist() == [i in judged for i in range(LPIPS_EVERY + 1)]


def test_missing_or_foreign_vgg_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--vgg"):
        VggFeatures(tmp_path / "none.npz", "conv1_1")
    np.savez(tmp_path / "other.npz", **{"features.0.weight": np.zeros((1, 1, 1, 1))})
    with pytest.raises(TrainingError, match="1 convolutions"):
        VggFeatures(tmp_path / "other.npz", "conv1_1")
    with pytest.raises(OptionError, match="conv4_3"):
        VggFeatures(vgg_file(tmp_path / "vgg.npz", 10), "conv4_4")


@pytest.mark.parametrize("term", TERMS)
def test_terms_are_the_same_where_networks_compute_in_bf16(term: str) -> None:
    """Of low contrast: mean squares and squared means differ by less than bf16 holds."""
    rng = torch.Generator().manual_seed(0)
    photo = 0.6 + 0.02 * torch.rand(2, 1, 32, 32, generator=rng)
    restored = photo + 0.005 * torch.randn(photo.shape, generator=rng)
    exact = Loss({term: 1.0})(nn.Identity(), restored, photo)
    with torch.autocast("cpu", torch.bfloat16):
        found = Loss({term: 1.0})(nn.Identity(), restored, photo)
    assert found.item() == pytest.approx(exact.item(), rel=1e-5)
