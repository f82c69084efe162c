"""Fixtures of the tests that need an NVIDIA GPU."""

from __future__ import annotations

from tests.sdk.conftest import gpu

__all__ = ["gpu"]
