"""Command-line arguments that several commands of training and export take."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.perceptual import VGG_WEIGHTS


def count(text: str) -> int:
    """A whole number from 1, for argparse."""
    return int(_above_zero(text, int(text)))


def minutes(text: str) -> float:
    """A number above 0, for argparse."""
    return _above_zero(text, float(text))


def _above_zero(text: str, value: float) -> float:
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def add_training(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """--data, --minutes, --steps, --start-from and --vgg; ``otherwise``: what a run starts from without --start-from."""
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=minutes, help="minutes of training in all, over every session of the run")
    budget.add_argument("--steps", type=count, help="optimiser steps in all, instead of minutes (default: the recipe's)")
    parser.add_argument("--start-from", type=Path, help=f"weights.safetensors or a released .onnx for a new run (default: {otherwise})")
    parser.add_argument("--vgg", type=Path, help=f"VGG weights for losses on its features (default: DIR/{VGG_WEIGHTS})")
