"""A run: a network that learns step by step within a budget, is kept in a folder, and goes on from there where it stopped.

>>> run = Run(folder, recipe, network, accelerator, minutes=90)
>>> run.begin(photographs, validate)
>>> while run.goes_on():
...     run.learn(loss_of(run.network, ...))
>>> run.end()
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from training.checkpoints import CHECKPOINT, WEIGHTS, began_with, begin_from, load_checkpoint, save_checkpoint, save_weights
from training.config import Recipe
from training.errors import TrainingError
from training.optim import clip_gradients, make_optimisers, set_learning_rate, update_average

LOG_EVERY = 50
"""Steps between two entries of the losses in TensorBoard."""


class Run:
    """What is kept of it: weights.safetensors, the averaged network so far; checkpoint.safetensors, all that a resumed run needs; and
    the curves of TensorBoard.

    The budget is ``minutes`` of training time over all sessions of the run, or ``steps``, or the recipe's. ``start_from``: weights or
    .onnx to warm-start from. ``before``: else, what to tell of how the network came to be (``checkpoints.history``). ``rate``: learning
    rates over the recipe's. ``counted``: what its steps are called in the files.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        network: nn.Module,
        accelerator: Accelerator,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        start_from: Path | None = None,
        before: dict[str, Any] | None = None,
        rate: float = 1.0,
        counted: str = "steps",
        save_every: float = 180,
    ):
        self.folder, self._recipe, self._accelerator = folder, recipe, accelerator
        self._minutes, self._counted, self._save_every = minutes, counted, save_every
        self.total = None if minutes else steps or recipe.steps
        """Steps of the budget; None: the clock decides."""
        before = begin_from(network, start_from, folder) if start_from else before or {}
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self._learner, self._optimisers = network, make_optimisers(network, recipe.optimiser, rate)
        self.step = 0
        """Of the optimisers; how many were made."""
        self._photographs: int | None = None
        self._spent = 0.0  # seconds, in earlier sessions
        if (folder / CHECKPOINT).is_file():
            progress = load_checkpoint(folder / CHECKPOINT, recipe, network, self.average, self._optimisers)
            self.step, self._spent = progress[counted], progress["seconds"]
            before = began_with(progress)
            self._photographs = progress.get("photographs")
        self._before = before
        self.network, *self._prepared = accelerator.prepare(network, *self._optimisers)

    def begin(self, photographs: int, validate: Callable[[nn.Module], dict[str, float]]) -> None:
        """The clock starts. ``photographs``: how many it learns from, the same as before; ``validate``: the average -> PSNR by name, dB."""
        if self._photographs not in (None, photographs):
            raise TrainingError(
                f"{self.folder} learnt from {self._photographs} photographs, here are {photographs}. Go on with the same --data, or give "
                f"--run another folder (and --start-from {self.folder / WEIGHTS})."
            )
        self._photographs, self._validate = photographs, validate
        self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.step)
        self._bar = tqdm(total=self.total, initial=self.step, desc=self._recipe.name, unit="step", dynamic_ncols=True)
        self._started = self._saved = time.monotonic()

    def goes_on(self) -> bool:
        """Whether the budget has another step; then its learning rates are set, and what it draws depends on its number alone."""
        elapsed = self._seconds() / (60 * self._minutes) if self._minutes else self.step / (self.total or 1)
        if elapsed >= 1:
            return False
        set_learning_rate(self._prepared, self._recipe.optimiser.warmup_steps, self.step, elapsed)
        torch.manual_seed((self._recipe.data.seed << 32) + self.step)
        return True

    def learn(self, loss: Tensor) -> None:
        """One step down the loss; and what is due after it: the average, a validation, a checkpoint."""
        config = self._recipe.optimiser
        self._accelerator.backward(loss)
        norm = clip_gradients(self.network, config.clip_norm, self.step)
        for optimiser in self._prepared:
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        update_average(self.average, self._learner, min(config.ema_decay, self.step / (self.step + 10)))

        self._bar.update()
        if self.step % LOG_EVERY == 0:
            rate = self._optimisers[0].param_groups[0]["lr"]
            for name, value in (("loss", loss.item()), ("gradient_norm", norm.item()), ("learning_rate", rate)):
                self._board.add_scalar(f"train/{name}", value, self.step)
        if self.step % self._recipe.validation.every == 0:
            scores = self._validate(self.average)
            for name, score in scores.items():
                self._board.add_scalar(f"val_psnr/{name}", score, self.step)
            self._bar.set_postfix({name: f"{score:.2f} dB" for name, score in scores.items()})
        if time.monotonic() - self._saved > self._save_every:
            self._saved = time.monotonic()
            self._save()

    def end(self) -> Path:
        """The path of the averaged weights."""
        self._bar.close()
        self._board.close()
        self._save()
        return self.folder / WEIGHTS

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._started

    def _save(self) -> None:
        told: dict[str, Any] = {self._counted: self.step, "seconds": round(self._seconds(), 1), "photographs": self._photographs}
        progress = told | self._before
        save_checkpoint(self.folder / CHECKPOINT, self._learner, self.average, self._optimisers, self._recipe, progress)
        save_weights(self.folder / WEIGHTS, self.average.state_dict(), self._recipe, progress)
