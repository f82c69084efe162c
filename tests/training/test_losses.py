"""Losses against their formulas."""

from __future__ import annotations

import pytest
import torch

from sdk.errors import OptionError
from training.losses import loss_named, rmse


def test_rmse_weighs_every_crop_alike() -> None:
    photo = torch.zeros(2, 1, 4, 4)
    restored = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 0.3)])
    assert rmse(restored, photo).item() == pytest.approx(0.2, abs=1e-4)


def test_rmse_has_a_gradient_where_nothing_is_wrong() -> None:
    restored = torch.zeros(1, 1, 4, 4, requires_grad=True)
    rmse(restored, torch.zeros(1, 1, 4, 4)).backward()
    assert restored.grad is not None
    assert torch.isfinite(restored.grad).all()


def test_an_unknown_loss_names_the_nearest() -> None:
    assert loss_named("l1")(torch.ones(2), torch.zeros(2)).item() == 1
    with pytest.raises(OptionError, match="'rmse'"):
        loss_named("rmsee")
