"""Diffusion as plain functions: noise schedules, what a network may predict, and the samplers.

States x_t = a_t x_0 + s_t eps with a_t^2 + s_t^2 = 1, for whole steps t = 0 .. T - 1 of a schedule (Ho et al. 2020, eq. 4; a_t is
the square root of their alpha-bar). Networks predict eps, x_0 or v = a_t eps - s_t x_0 (Salimans & Ho 2022, eq. D).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sdk.errors import OptionError, nearest

Denoise = Callable[[Tensor, int], Tensor]
"""(x_t, t) -> the network's prediction."""

TARGETS = ("eps", "x0", "v")


@dataclass(frozen=True)
class Schedule:
    """``signal[t]`` = a_t and ``noise[t]`` = s_t; t = 0 is nearly clean."""

    signal: tuple[float, ...]
    noise: tuple[float, ...]

    @property
    def timesteps(self) -> int:
        return len(self.signal)

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and s_t of t (N,), float32 (N, 1, 1, 1)."""
        signal, noise = (torch.tensor(values, device=t.device)[t][:, None, None, None] for values in (self.signal, self.noise))
        return signal, noise


def linear_schedule(timesteps: int) -> Schedule:
    """beta from 1e-4 to 0.02 in 1,000 steps (Ho et al. 2020); in fewer, each is as much larger. What the CDH paper takes."""
    beta = torch.linspace(0.1 / timesteps, 20 / timesteps, timesteps, dtype=torch.float64).clamp(max=0.999)
    return _of_alpha_bar(torch.cumprod(1 - beta, 0))


def cosine_schedule(timesteps: int, offset: float = 0.008) -> Schedule:
    """alpha-bar falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17); beta at most 0.999."""
    angle = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + offset) / (1 + offset) * math.pi / 2
    alpha_bar = torch.cos(angle) ** 2
    return _of_alpha_bar(torch.cumprod((alpha_bar[1:] / alpha_bar[:-1]).clamp(min=0.001), 0))


SCHEDULES: dict[str, Callable[[int], Schedule]] = {"linear": linear_schedule, "cosine": cosine_schedule}


def schedule(name: str, timesteps: int) -> Schedule:
    if name not in SCHEDULES:
        raise OptionError(f"Noise schedule {name!r} is unknown.{nearest(name, SCHEDULES)}")
    return SCHEDULES[name](timesteps)


def _of_alpha_bar(alpha_bar: Tensor) -> Schedule:
    return Schedule(tuple(alpha_bar.sqrt().tolist()), tuple((1 - alpha_bar).sqrt().tolist()))


def target(kind: str, x0: Tensor, eps: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """What a network that predicts ``kind`` should say at x_t = a x0 + s eps."""
    return {"eps": eps, "x0": x0, "v": a * eps - s * x0}[kind]


def split(kind: str, predicted: Tensor, x: Tensor, a: Tensor | float, s: Tensor | float) -> tuple[Tensor, Tensor]:
    """(x0, eps) that a prediction at x_t means; the two always make x_t again."""
    if kind == "v":
        return a * x - s * predicted, s * x + a * predicted
    if kind == "x0":
        return predicted, (x - a * predicted) / s
    return (x - s * predicted) / a, predicted


def grid(timesteps: int, steps: int) -> list[int]:
    """The t of a sampler of few steps, noisiest first: evenly spread, T - 1 always among them ("trailing"; Lin et al. 2024)."""
    if not 1 <= steps <= timesteps:
        raise OptionError(f"{steps} sampling steps; the schedule has {timesteps}, so take 1..{timesteps}.")
    return [round(timesteps * (steps - i) / steps) - 1 for i in range(steps)]


def ddim(denoise: Denoise, noise: Tensor, plan: Schedule, steps: int, kind: str = "v") -> Tensor:
    """x_0 by ``steps`` deterministic steps from pure noise (Song et al. 2021, eq. 12 with sigma = 0)."""
    return trajectory(denoise, noise, plan, steps, kind)[-1]


def trajectory(denoise: Denoise, noise: Tensor, plan: Schedule, steps: int, kind: str = "v", last: int | None = None) -> list[Tensor]:
    """The states that ``ddim`` passes: the noise, those at the following times of ``grid``, and x_0; or up to that of time ``last``."""
    states, times = [noise], grid(plan.timesteps, steps)
    for i, t in enumerate(times):
        if t == last:
            return states
        x0, eps = split(kind, denoise(states[-1], t), states[-1], plan.signal[t], plan.noise[t])
        states.append(x0 if i + 1 == steps else plan.signal[times[i + 1]] * x0 + plan.noise[times[i + 1]] * eps)
    return states


def ddpm(denoise: Denoise, noise: Tensor, plan: Schedule, generator: torch.Generator | None = None, kind: str = "v") -> Tensor:
    """x_0 by all T steps with fresh noise in each (Ho et al. 2020, algorithm 2, posterior variance of eq. 7)."""
    x = noise
    for t in reversed(range(plan.timesteps)):
        x0, _ = split(kind, denoise(x, t), x, plan.signal[t], plan.noise[t])
        if t == 0:
            return x0
        now, before = plan.signal[t] ** 2, plan.signal[t - 1] ** 2
        alpha = now / before
        mean = math.sqrt(before) * (1 - alpha) / (1 - now) * x0 + math.sqrt(alpha) * (1 - before) / (1 - now) * x  # eq. 7
        variance = (1 - before) / (1 - now) * (1 - alpha)
        x = mean + math.sqrt(variance) * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x
