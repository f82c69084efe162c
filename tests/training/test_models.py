"""``training.models``: shapes, shift equivariance, and the size of the published network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.errors import OptionError
from training.models import ARCHITECTURES, build
from training.models.fast import FastNet
from training.models.prl import PRL


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


@torch.no_grad()
def test_prl_keeps_the_shape(prl: PRL) -> None:
    for rows, columns in ((1, 1), (2, 3), (5, 4)):
        halftone = torch.rand(1, 1, rows * prl.size_multiple, columns * prl.size_multiple)
        assert prl(halftone).shape == prl.content(halftone).shape == halftone.shape


def test_prl_has_7_4_million_parameters(prl: PRL) -> None:
    assert 7.2e6 < parameter_count(prl) < 7.5e6


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
def test_prl_starts_from_its_content(prl: PRL) -> None:
    """The detail network adds to the content image; without it the content is what comes out."""
    halftone = torch.rand(1, 1, 16, 16).round()
    detail = prl.detail(torch.cat([prl.content(halftone), halftone], dim=1))
    torch.testing.assert_close(prl(halftone), prl.content(halftone) + detail)
    assert detail.abs().max() > 0


def test_build_takes_lists_for_tuples() -> None:
    model = build("fast", channels=[8, 16], blocks=[1, 2])
    assert parameter_count(model) == parameter_count(FastNet((8, 16), (1, 2)))
    assert set(ARCHITECTURES) == {"fast", "prl"}


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean 'fast'"):
        build("fats")
