"""The diffusion core against diffusers, and against distributions that are known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import OptionError
from training.diffusion import SCHEDULES, TARGETS, ddim, ddpm, grid, schedule, split, target, trajectory

diffusers = pytest.importorskip("diffusers")

PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_are_those_of_diffusers(name: str, theirs: str) -> None:
    ours = schedule(name, 1000)
    alphas = diffusers.DDPMScheduler(1000, beta_start=1e-4, beta_end=0.02, beta_schedule=theirs).alphas_cumprod
    assert torch.allclose(torch.tensor(ours.signal) ** 2, alphas, atol=2e-5)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("timesteps", [200, 800])
def test_signal_falls_to_almost_nothing(name: str, timesteps: int) -> None:
    plan = schedule(name, timesteps)
    assert plan.timesteps == timesteps
    assert list(plan.signal) == sorted(plan.signal, reverse=True)
    assert plan.signal[0] > 0.98
    assert plan.signal[-1] < 0.02
    assert all(abs(a * a + s * s - 1) < 1e-9 for a, s in zip(plan.signal, plan.noise))


@pytest.mark.parametrize("kind", TARGETS)
@given(seed=st.integers(0, 1000), t=st.integers(0, 199))
def test_a_prediction_gives_back_image_and_noise(kind: str, seed: int, t: int) -> None:
    plan = schedule("cosine", 200)
    a, s = plan.at(torch.tensor([t, t]))
    x0, eps = random(seed, 2, 1, 4, 4), random(seed + 1, 2, 1, 4, 4)
    found = split(kind, target(kind, x0, eps, a, s), a * x0 + s * eps, a, s)
    worst = 1e-5 / min(plan.signal[t], plan.noise[t])
    assert torch.allclose(found[0], x0, atol=worst)
    assert torch.allclose(found[1], eps, atol=worst)


@pytest.mark.parametrize("kind", TARGETS)
def test_ddim_walks_as_in_diffusers(kind: str) -> None:
    theirs = diffusers.DDIMScheduler(
        1000,
        beta_start=1e-4,
        beta_end=0.02,
        prediction_type=PREDICTIONS[kind],
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(8)
    assert theirs.timesteps.tolist() == grid(1000, 8)

    def denoise(x: torch.Tensor, t: int) -> torch.Tensor:
        return 0.3 * torch.tanh(x) + 0.1 * t / 1000

    x = noise = random(0, 2, 1, 8, 8)
    for t in theirs.timesteps:
        x = theirs.step(denoise(x, int(t)), t, x).prev_sample
    assert torch.allclose(ddim(denoise, noise, schedule("linear", 1000), 8, kind), x, atol=2e-4)


def test_ddpm_draws_from_the_distribution_that_a_perfect_network_knows() -> None:
    """Data of mean 0.5 and deviation 0.2: the best v is linear in x, and the samples must have these moments again."""
    mean, deviation, plan = 0.5, 0.2, schedule("cosine", 200)

    def perfect(x: torch.Tensor, t: int) -> torch.Tensor:
        a, s = plan.signal[t], plan.noise[t]
        x0 = mean + a * deviation**2 / (a**2 * deviation**2 + s**2) * (x - a * mean)
        return (a * x - x0) / s

    drawn = ddpm(perfect, random(0, 20000), plan, torch.Generator().manual_seed(1))
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.01)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.05)
    walked = ddim(perfect, random(2, 20000), plan, 200)  # 50 steps lose 7 % of the deviation
    assert float(walked.mean()) == pytest.approx(mean, abs=0.01)
    assert float(walked.std()) == pytest.approx(deviation, rel=0.05)


@given(steps=st.integers(1, 50))
def test_grids_fall_from_the_noisiest_time(steps: int) -> None:
    times = grid(200, steps)
    assert times[0] == 199
    assert len(times) == steps
    assert times == sorted(set(times), reverse=True)
    assert set(grid(200, 2)) | set(grid(200, 1)) <= set(grid(200, 4))


def test_a_trajectory_passes_the_times_of_its_grid() -> None:
    """With a network that knows the end, every state is that end under as much of the first noise as its time has."""
    plan, end = schedule("cosine", 100), random(3, 1, 1, 4, 4)

    def knows(x: torch.Tensor, t: int) -> torch.Tensor:
        return (plan.signal[t] * x - end) / plan.noise[t]

    states = trajectory(knows, random(4, 1, 1, 4, 4), plan, 5)
    assert torch.allclose(states[-1], end, atol=1e-5)
    assert torch.equal(trajectory(knows, states[0], plan, 5, last=grid(100, 5)[3])[-1], states[3])
    first = grid(100, 5)[0]
    eps = (states[0] - plan.signal[first] * end) / plan.noise[first]
    for t, state in zip(grid(100, 5), states):
        assert torch.allclose(state, plan.signal[t] * end + plan.noise[t] * eps, atol=1e-5)


def test_bad_options_are_named() -> None:
    with pytest.raises(OptionError, match="cosine"):
        schedule("cosin", 100)
    with pytest.raises(OptionError, match=r"1\.\.100"):
        grid(100, 101)
