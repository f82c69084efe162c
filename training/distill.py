"""Teach a diffusion model to sample in few steps: ``python -m training.distill cdh --data DIR --minutes 20``; resumes where it stopped.

First the teacher, runs/<recipe>/weights.safetensors, samples many crops in many DDIM steps; what it came to is kept in
runs/<recipe>/few-steps/. DDIM is deterministic, so each noise belongs to one end. The student, which starts as the teacher, learns to
name that end from the noise, with the photograph as a second teacher: SinSR (Wang et al., CVPR 2024), here for samplers of 4, 2 and 1
steps, each of their steps as often as any other. A step learns from the states that the student's own steps before led to (as DMD2
does; Yin et al., NeurIPS 2024), so one network serves them all and each further step mends the one before. ``[distillation]`` says
how much the photograph counts.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdk.errors import OptionError, nearest
from sdk.files.whole_files import write_whole
from training.arguments import add_training
from training.checkpoints import WEIGHTS, history, load_model
from training.config import Recipe, load_recipe, to_table
from training.data import Pairs, photo_paths
from training.diffusion import ddim, grid, split, trajectory
from training.errors import said_plainly
from training.metrics import TONE_SIGMA
from training.models.cdh import CDH, gaussian
from training.perceptual import VGG_WEIGHTS, VggLpips
from training.precision import accelerated
from training.run import Run
from training.validation import size_multiple_of, validate, validation_set

ENDS = "ends.safetensors"
TERMS = ("trajectory", "truth", "lpips", "tone")


@torch.no_grad()
def sample_ends(teacher: CDH, recipe: Recipe, data: Path, accelerator: Accelerator) -> tuple[dict[str, Tensor], int]:
    """``given`` and ``wanted`` crops, the ``noise`` that the teacher started from, and the ``ends`` it came to; all (N, 1, H, W) fp16.
    And of how many photographs the crops are."""
    config = recipe.distillation
    count = math.ceil(config.crops / config.batch)
    crops = Pairs.of(data / "train", dataclasses.replace(recipe.data, batch=config.batch, seed=recipe.data.seed + 1), count)
    found: dict[str, list[Tensor]] = {"given": [], "wanted": [], "noise": [], "ends": []}
    for i in tqdm(range(count), desc="the teacher samples"):
        given, wanted = (picture.to(accelerator.device) for picture in crops[i])
        noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(i)).to(accelerator.device)
        conditions = teacher.condition_planes(given)
        with accelerator.autocast():
            ends = ddim(lambda x, t, c=conditions: teacher.velocity(x, c, t), noise, teacher.plan, config.teacher_steps)
        for name, value in (("given", given), ("wanted", wanted), ("noise", noise), ("ends", ends)):
            found[name].append(value.half().cpu())
    return {name: torch.cat(values) for name, values in found.items()}, len(crops.photos)


def ends_of(teacher: CDH, recipe: Recipe, data: Path, cache: Path, accelerator: Accelerator) -> tuple[dict[str, Tensor], int]:
    """``sample_ends``, from the file ``cache`` if that is of the same teacher and settings; else it is written."""
    config, identity = recipe.distillation, hashlib.sha256()
    for tensor in teacher.state_dict().values():
        identity.update(tensor.float().contiguous().cpu().numpy().tobytes())
    photographs = [(path.name, path.stat().st_size) for path in photo_paths(data / "train")]
    settings = [to_table(recipe.data), recipe.model, config.teacher_steps, config.crops, config.batch, photographs]
    identity.update(json.dumps(settings, sort_keys=True).encode())
    made_of = identity.hexdigest()
    try:
        with safe_open(cache, framework="pt") as stored:
            header = stored.metadata()
            if header["made_of"] == made_of:
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping, it cannot be iterated
                return tensors, int(header["photographs"])
    except (OSError, SafetensorError, KeyError, TypeError):  # there is none, or it is damaged, or of an earlier version
        pass
    ends, photographs = sample_ends(teacher, recipe, data, accelerator)
    write_whole(cache, save(ends, {"made_of": made_of, "photographs": str(photographs)}))
    return ends, photographs


class Distillation(nn.Module):
    """The student's loss, after one of its own steps: weighted terms.

    ``trajectory``: mean squared error to the end that the teacher came to from the same noise, in the units of the state.
    Of the picture that the student's x_0 stands for: ``truth``, mean absolute error to the photograph; ``lpips`` to it; ``tone`` of
    halftones, mean squared error of the tones after the threshold, as the eye smooths them (the threshold passes gradients as if
    it were not there, but none where a pixel is far from it).
    """

    def __init__(self, weights: dict[str, float], vgg: Path):
        super().__init__()
        for term in weights:
            if term not in TERMS:
                raise OptionError(f"Distillation term {term!r} is unknown.{nearest(term, TERMS)}")
        self.weights = weights
        self.lpips = VggLpips(vgg) if "lpips" in weights else None
        self.register_buffer("eye", gaussian(TONE_SIGMA, int(3 * TONE_SIGMA)), persistent=False)

    def forward(self, student: CDH, given: Tensor, wanted: Tensor, noise: Tensor, end: Tensor, steps: int, step: int) -> Tensor:
        """Of step number ``step`` of a sampler of ``steps``; gradients flow through this one alone."""
        t, seen = grid(student.plan.timesteps, steps)[step], student.condition_planes(given)
        with torch.no_grad():
            x = trajectory(lambda x, t: student.velocity(x, seen, t), noise, student.plan, steps, last=t)[-1]
        torch.clear_autocast_cache()  # to torch 2.9, it kept the weights in bf16 without their gradients (pytorch #165068)
        x0, _ = split("v", student.velocity(x, seen, t), x, student.plan.signal[t], student.plan.noise[t])
        picture, weights = student.picture(x0, given).float(), self.weights
        total = weights.get("trajectory", 0.0) * F.mse_loss(x0, end)
        if "truth" in weights:
            total = total + weights["truth"] * F.l1_loss(picture, wanted)
        if self.lpips is not None:
            total = total + weights["lpips"] * self.lpips(picture, wanted)
        if "tone" in weights:
            soft = picture.clamp(0, 1)
            cut = soft + ((soft > 0.5).float() - soft).detach()
            with torch.autocast(given.device.type, enabled=False):  # the difference is small beside either
                seen_by_eye = F.conv2d(cut - given, self.eye)  # type: ignore[arg-type]
            total = total + weights["tone"] * seen_by_eye.square().mean()
        return total


def distill(
    teacher: CDH,
    recipe: Recipe,
    data: Path,
    folder: Path,
    minutes: float | None,
    steps: int | None,
    vgg: Path | None = None,
    start_from: Path | None = None,
    before: dict[str, Any] | None = None,
) -> Path:
    """Train the student, or go on with it; returns the path of its averaged weights.

    ``minutes`` or ``steps`` count without the teacher's sampling, over all sessions of the run. ``start_from``: weights of an earlier
    student, in place of the teacher's. ``before``: how the teacher came to be (``checkpoints.history``).
    """
    accelerator = accelerated()
    device, config = accelerator.device, recipe.distillation
    teacher = teacher.to(device).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
    kept, photographs = ends_of(teacher, recipe, data, folder / ENDS, accelerator)
    student = copy.deepcopy(teacher).train()
    counts = {"minutes": minutes, "steps": steps, "counted": "distillation_steps"}
    run = Run(folder, recipe, student, accelerator, **counts, start_from=start_from, before=before, rate=config.rate)
    loss_of = Distillation(config.weights, vgg or data / VGG_WEIGHTS).to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    examples = validation_set(data / "val", recipe, size_multiple_of(student, recipe))
    places = [(sampler, step) for sampler in config.samplers for step in range(sampler)]
    run.begin(photographs, partial(validate, examples=examples, device=device, recipe=recipe))
    while run.goes_on():
        rng = np.random.default_rng((recipe.data.seed, run.step))
        rows = torch.from_numpy(rng.integers(len(kept["ends"]), size=config.batch))
        given, wanted, noise, end = (kept[name][rows].float().to(device) for name in ("given", "wanted", "noise", "ends"))
        sampler, step = places[rng.integers(len(places))]
        with accelerator.autocast():
            loss = loss_of(student, given, wanted, noise, end, sampler, step)
        run.learn(loss)
    return run.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="name of the recipe the teacher was trained by")
    add_training(parser, "the teacher's")
    parser.add_argument("--teacher", type=Path, help="its weights (default: runs/<recipe>/weights.safetensors)")
    parser.add_argument("--run", type=Path, help="folder of the student (default: runs/<recipe>/few-steps)")
    options = parser.parse_args()
    teacher, stored, progress = load_model(options.teacher or Path("runs") / options.recipe / WEIGHTS)
    if not isinstance(teacher, CDH):
        raise OptionError(f"{stored.name!r} is no diffusion model ({stored.architecture}); only those are distilled.")
    recipe = current(stored, options.recipe)
    run = options.run or Path("runs") / recipe.name / "few-steps"
    budget = options.minutes, options.steps
    weights = distill(teacher, recipe, options.data, run, *budget, options.vgg, options.start_from, history(stored, progress))
    print(f"few-step weights: {weights}")


def current(stored: Recipe, name: str) -> Recipe:
    """The teacher's recipe with the ``[distillation]`` of the recipe as it stands now."""
    return dataclasses.replace(stored, distillation=load_recipe(name).distillation)


if __name__ == "__main__":
    with said_plainly():
        main()
