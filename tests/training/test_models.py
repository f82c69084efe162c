"""``training.models``: shapes, shift equivariance, and the published networks' size and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.to_onnx import trace
from sdk.backends.onnxruntime import OnnxRuntimeBackend
from sdk.catalog import releases
from sdk.errors import OptionError
from training.checkpoints import save_weights, warm_start
from training.config import load_recipe
from training.models import build
from training.models.dncnn import DnCNN
from training.models.fast import FastNet
from training.models.inputs import Inputs
from training.models.msprl import MSPRL
from training.models.prl import PRL
from training.models.vdsr import VDSR

MILLIONS = {"dncnn": 0.556, "vdsr": 0.665, "srresnet": 1.23, "msprl": 9.68, "prl": 7.27}
"""Parameters of the papers' networks; SRResNet without its upscaling."""


def fast(channels: tuple[int, ...] = (8, 16, 24)) -> FastNet:
    torch.manual_seed(0)
    return FastNet(channels, (1,) * len(channels)).eval()


@pytest.fixture(scope="module")
def prl() -> PRL:
    torch.manual_seed(0)
    return PRL().eval()


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("channels", "multiple"), [((8,), 2), ((8, 16), 4), ((8, 16, 24), 8)])
@torch.no_grad()
def test_fast_keeps_the_shape(channels: tuple[int, ...], multiple: int) -> None:
    model = fast(channels)
    assert model.size_multiple == multiple
    for rows, columns in ((1, 1), (2, 3), (5, 4)):
        halftone = torch.rand(2, 1, rows * multiple, columns * multiple)
        assert model(halftone).shape == halftone.shape


@pytest.mark.parametrize("architecture", MILLIONS)
@torch.no_grad()
def test_published_networks_have_their_size_and_keep_the_shape(architecture: str) -> None:
    model = build(architecture).eval()
    assert parameter_count(model) == pytest.approx(1e6 * MILLIONS[architecture], rel=0.01)
    multiple = Inputs.of(model).multiple
    for rows, columns in ((4, 4), (8, 20), (20, 12)):
        halftone = torch.rand(2, 1, -(-rows // multiple) * multiple, -(-columns // multiple) * multiple)
        assert model(halftone).shape == halftone.shape


@pytest.mark.parametrize("axis", [2, 3])
@torch.no_grad()
def test_fast_is_shift_equivariant_by_its_multiple(axis: int) -> None:
    """Away from the borders a shifted halftone gives the shifted picture, so tiles that start at multiples agree."""
    model = fast()
    halftone = torch.rand(1, 1, 160, 160).round()
    shifted = torch.roll(halftone, model.size_multiple, axis)
    inside = slice(64, -64)  # further from the borders than the network reaches
    expected = torch.roll(model(halftone), model.size_multiple, axis)[..., inside, inside]
    torch.testing.assert_close(model(shifted)[..., inside, inside], expected, atol=1e-5, rtol=0)
    assert expected.std() > 1e-3  # a constant would be equivariant too


@torch.no_grad()
def test_fast_is_not_equivariant_by_less() -> None:
    """So starts really must be multiples."""
    model = fast()
    halftone = torch.rand(1, 1, 160, 160).round()
    one = model(torch.roll(halftone, 1, 3)) - torch.roll(model(halftone), 1, 3)
    assert one[..., 64:-64, 64:-64].abs().max() > 1e-3


@torch.no_grad()
def told(halftone: torch.Tensor, number: int) -> torch.Tensor:
    return torch.cat([halftone, torch.full_like(halftone[:, :1], number / 256)], dim=1)


def test_fast_starts_from_what_it_is_not_told() -> None:
    """New habits change nothing yet; once they do, each method has its own, whatever the precision the number came in."""
    torch.manual_seed(0)
    model, blind = FastNet((8, 16), (1, 1), methods=5).eval(), FastNet((8, 16), (1, 1)).eval()
    blind.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if not name.startswith("habits")})
    halftone = torch.rand(2, 1, 16, 24).round()
    assert model.conditions == ("method",)
    assert blind.conditions == ()
    with torch.inference_mode():
        torch.testing.assert_close(model(told(halftone, 3)), blind(halftone))
        assert model.habits is not None
        model.habits.shift.weight.normal_()
        results = [model(told(halftone, number)) for number in range(6)]
        for i, result in enumerate(results):
            assert all((result - other).abs().max() > 1e-3 for other in results[:i])
            torch.testing.assert_close(model(told(halftone, i).half().float()), result)
        torch.testing.assert_close(model(told(halftone, 256)), results[5])  # no number may break a runtime
        mixed = model(torch.cat([told(halftone[:1], 1), told(halftone[1:], 4)]))
        torch.testing.assert_close(mixed, torch.cat([results[1][:1], results[4][1:]]))


def test_an_untold_network_takes_over_what_a_told_one_does_untold(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = load_recipe("fast")
    arguments = {"channels": [8, 16], "blocks": [1, 1]}
    told_one, untold = (build("fast", **arguments, methods=methods).eval() for methods in (5, 0))
    told_one.habits.shift.weight.data.normal_()
    save_weights(tmp_path / "weights.safetensors", told_one.state_dict(), recipe, {})
    assert warm_start(untold, tmp_path / "weights.safetensors") == []
    halftone = torch.rand(1, 1, 16, 24).round()
    with torch.inference_mode():
        torch.testing.assert_close(untold(halftone), told_one(told(halftone, 0)))


def test_prl_starts_from_its_content(prl: PRL) -> None:
    """The detail network adds to the content image; without it the content is what comes out."""
    halftone = torch.rand(1, 1, 16, 16).round()
    detail = prl.detail(torch.cat([prl.content(halftone), halftone], dim=1))
    torch.testing.assert_close(prl(halftone), prl.content(halftone) + detail)
    assert detail.abs().max() > 0


@torch.no_grad()
def test_plain_prl_is_its_detail_network(prl: PRL) -> None:
    plain = PRL(residual=False).eval()
    plain.load_state_dict(prl.state_dict())
    halftone = torch.rand(1, 1, 16, 16).round()
    torch.testing.assert_close(plain(halftone), prl(halftone) - prl.content(halftone), atol=1e-6, rtol=0)


@torch.no_grad()
def test_global_residuals_start_from_the_halftone() -> None:
    halftone = torch.rand(1, 1, 16, 16).round()
    dncnn, vdsr, msprl = DnCNN().eval(), VDSR().eval(), MSPRL().eval()
    for model, last in ((dncnn, dncnn.noise[-1]), (vdsr, vdsr.residual[-1]), (msprl, msprl.tail)):
        assert not torch.equal(model(halftone), halftone)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        assert torch.equal(model(halftone), halftone)


@torch.no_grad()
def test_vdsr_carries_its_signal_through_all_layers() -> None:
    torch.manual_seed(0)
    halftone = torch.rand(1, 1, 32, 32).round()
    assert 0.1 < VDSR().residual(halftone).std() < 10


@torch.no_grad()
def test_msprl_sees_the_halftone_again_thinned_out() -> None:
    model, seen = MSPRL().eval(), []
    for shallow in (model.shallow1, model.shallow2):
        shallow.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    halftone = torch.rand(1, 1, 16, 24).round()
    model(halftone)
    assert torch.equal(seen[0], halftone[..., ::2, ::2])
    assert torch.equal(seen[1], halftone[..., ::4, ::4])


@torch.no_grad()
def test_msprl_can_be_exported() -> None:
    torch.manual_seed(0)
    model = MSPRL().eval()
    backend = OnnxRuntimeBackend(trace(model, Inputs.of(model)).SerializeToString(), "cpu")
    halftone = np.random.default_rng(0).integers(0, 2, (1, 1, 28, 44)).astype(np.float32)
    assert np.abs(backend.run(halftone) - model(torch.from_numpy(halftone)).numpy()).max() < 1e-4


def test_build_takes_lists_for_tuples() -> None:
    model = build("fast", channels=[8, 16], blocks=[1, 2])
    assert parameter_count(model) == parameter_count(FastNet((8, 16), (1, 2)))


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'fast'"):
        build("fats")


@pytest.mark.parametrize(
    ("architecture", "arguments", "said"),
    [
        ("fast", {"chanels": [8]}, "'fast' has no argument 'chanels'. Did you mean 'channels'"),
        ("fast", {"channels": [8, 16, 32], "blocks": [1, 1]}, "channels has 3 levels and blocks 2"),
        ("cdh", {"network": {"chanels": [8]}}, "'small' has no argument 'chanels'"),
        ("cdh", {"guided": True}, "'cdh' has no argument 'guided'"),
        ("cdh-halftone", {"guided": True, "denoiser": "smal"}, "Did you mean 'small'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(architecture: str, arguments: dict, said: str) -> None:
    with pytest.raises(OptionError) as error:
        build(architecture, **arguments)
    assert said in str(error.value)


def test_companding_goes_on_from_its_released_file() -> None:
    """Which has no batch norms any more: they are folded into the convolutions."""
    released = releases()["companding"].path
    recipe = load_recipe("companding")
    model = build("companding", **(recipe.model | {"norms": False})).eval()
    assert warm_start(model, released) == []
    planes = np.random.default_rng(0).random((1, 4, 64, 64), dtype=np.float32)
    planes[:, 3] = 3 / 8
    with torch.no_grad():
        restored = model(torch.from_numpy(planes)).numpy()
    backend = OnnxRuntimeBackend(released.read_bytes(), "cpu")
    assert np.abs(restored - backend.run(planes)).max() < 1e-4
