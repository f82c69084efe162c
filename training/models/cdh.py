"""CDH: Conditional Diffusion Process for Inverse Halftoning (Jiang & Mu, NeurIPS 2022), sampled in few steps.

Two diffusion models of one shape. ``InverseCDH`` turns a halftone into a photograph (section 3.3); ``HalftoneCDH`` makes a halftone of
grey level and Laplacian (sections 3.1, 3.2), guided by meta-halftones. Noise comes in as a second plane of the input, so the
sampler, its steps unrolled, is one deterministic function: (picture, noise) -> picture.

Not the paper's: ``InverseCDH`` diffuses the detail that a low-pass of the halftone lacks, not the whole photograph, as predict-and-refine
does (Whang et al., CVPR 2022) and residual shifting (Yue et al., NeurIPS 2023): the state starts near the answer, so all steps go into
what the halftone leaves open. And networks predict v.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.diffusion import ddim, grid, schedule, target
from training.models.construct import construct
from training.models.denoiser import Denoiser, PaperDenoiser

DENOISERS: dict[str, type[nn.Module]] = {"small": Denoiser, "paper": PaperDenoiser}
DETAIL = 0.05
"""Standard deviation of a photograph above the low-pass of its halftone; it brings the state near that of the noise."""


class CDH(nn.Module, ABC):
    """Given picture and noise (N, 2, H, W) -> picture (N, 1, H, W), by ``steps`` DDIM steps of ``timesteps``.

    ``denoiser`` ("small" or "paper") with its own arguments in ``network``; ``plan``: name of the noise schedule.
    """

    planes = 1
    needs_noise = True
    guidance = 0
    """Planes of guidance beside the conditions."""

    def __init__(
        self,
        steps: int = 4,
        timesteps: int = 800,
        plan: str = "cosine",
        denoiser: str = "small",
        network: dict | None = None,
    ):
        super().__init__()
        self.denoiser = construct(denoiser, DENOISERS, 3 + self.guidance, **(network or {}))
        self.steps, self.plan = steps, schedule(plan, timesteps)
        self.size_multiple = int(self.denoiser.size_multiple)  # type: ignore[arg-type]
        self.frozen: dict[int, Tensor] = {}

    @abstractmethod
    def condition_planes(self, given: Tensor) -> Tensor:
        """What the denoiser sees beside the state, (N, 2 + guidance, H, W), each plane about within -1..1."""

    @abstractmethod
    def state(self, wanted: Tensor, given: Tensor) -> Tensor:
        """x_0 of a wanted picture, about as large as unit noise."""

    @abstractmethod
    def picture(self, x0: Tensor, given: Tensor) -> Tensor:
        """The picture in [0, 1] that x_0 stands for; undoes ``state``."""

    def forward(self, inputs: Tensor) -> Tensor:
        given, noise = inputs[:, :1], inputs[:, 1:]
        conditions = self.condition_planes(given)
        return self.picture(ddim(lambda x, t: self.velocity(x, conditions, t), noise, self.plan, self.steps), given)

    def velocity(self, x: Tensor, conditions: Tensor, t: int | Tensor) -> Tensor:
        """v at the states x of time t, or of times t (N,)."""
        planes = torch.cat([x.to(conditions.dtype), conditions], dim=1)
        if isinstance(t, int) and t in self.frozen:
            return self.denoiser(planes, self.frozen[t]).float()
        times = t if isinstance(t, Tensor) else torch.tensor([t], device=x.device)
        return self.denoiser(planes, self._embed(times)).float()

    @torch.no_grad()
    def freeze(self) -> None:
        """Compute what the times of the sampler mean to the network once: for export."""
        self.frozen = {t: self._embed(torch.tensor([t])) for t in grid(self.plan.timesteps, self.steps)}

    def _embed(self, times: Tensor) -> Tensor:
        return self.denoiser.embed((times + 1) / self.plan.timesteps)  # type: ignore[operator]

    def denoising_loss(self, given: Tensor, wanted: Tensor) -> Tensor:
        """Mean squared error of v at times spread evenly over the batch (Ho et al. 2020, eq. 14, for v)."""
        x0, count = self.state(wanted, given), wanted.shape[0]
        share = (torch.rand((), device=wanted.device) + torch.arange(count, device=wanted.device) / count) % 1
        t = (share * self.plan.timesteps).long().clamp(max=self.plan.timesteps - 1)
        eps, (a, s) = torch.randn_like(x0), self.plan.at(t)
        return F.mse_loss(self.velocity(a * x0 + s * eps, self.condition_planes(given), t), target("v", x0, eps, a, s))


class InverseCDH(CDH):
    """Halftone -> photograph. Conditions: the halftone and its low-pass; state: what the photograph has beyond that low-pass."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.register_buffer("blur", gaussian(1.2, 4), persistent=False)

    def condition_planes(self, given: Tensor) -> Tensor:
        return 2 * torch.cat([given, self.lowpass(given)], dim=1) - 1

    def lowpass(self, given: Tensor) -> Tensor:
        return F.conv2d(F.pad(given, (4, 4, 4, 4), mode="replicate"), self.blur)  # type: ignore[arg-type]

    def state(self, wanted: Tensor, given: Tensor) -> Tensor:
        return (wanted - self.lowpass(given)) / DETAIL

    def picture(self, x0: Tensor, given: Tensor) -> Tensor:
        return self.lowpass(given) + DETAIL * x0


class HalftoneCDH(CDH):
    """Photograph -> halftone before its threshold at 0.5. Conditions: grey level and Laplacian (eq. 6..10), and guidance.

    guided: whether the guidance of meta-halftones is used; without it its planes are zero, as in the warm-up (section 3.2).
    """

    guidance = 4
    halftones = True
    """It is given photographs."""
    tone_search = True
    """Few steps place dots well but count them badly: the SDK mends the count (``sdk.networks.direct_binary_search``)."""

    def __init__(self, guided: bool = False, **arguments):
        super().__init__(**arguments)
        self.guide = MetaHalftoneGuide(self.guidance)
        self.guided = guided
        self.register_buffer("laplace", torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None], persistent=False)

    def condition_planes(self, given: Tensor) -> Tensor:
        grey = 2 * given - 1
        laplacian = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), self.laplace)  # type: ignore[arg-type]
        seen = torch.cat([grey, laplacian], dim=1)
        guidance = self.guide(seen) if self.guided else torch.zeros_like(grey).expand(-1, self.guidance, -1, -1)
        return torch.cat([seen, guidance], dim=1)

    def state(self, wanted: Tensor, given: Tensor) -> Tensor:
        return 2 * wanted - 1

    def picture(self, x0: Tensor, given: Tensor) -> Tensor:
        return (x0 + 1) / 2


class MetaHalftoneGuide(nn.Module):
    """Meta-halftone guided network (section 3.2, eq. 11..18): which of k patterns a place should look like, as planes beside the state.

    ``features`` (k, 2 x 128): means and deviations of frozen VGG conv2_2 features of k meta-halftones, halftones of constant greys that
    the unguided model made (``training.meta_halftones`` fills them in). They give affine factors, which modulate features of grey level
    and Laplacian; depth-wise, each place takes its mixture of the k; spatial-wise, a gate weighs that against its surroundings.
    """

    def __init__(self, planes: int, count: int = 20, features: int = 256, width: int = 16):
        super().__init__()
        self.count = count
        self.register_buffer("features", torch.zeros(count, features))
        self.affine = nn.Linear(features, 2 * width)
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.encode = nn.Conv2d(8, width, 3, padding=1)
        self.choose = nn.Sequential(nn.Conv2d(8, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, count, 1))
        self.gate = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 4 * planes, 1)
        with torch.no_grad():  # it starts from no guidance
            self.out.weight.zero_()
            self.out.bias.zero_()  # type: ignore[union-attr]

    def factors(self) -> Tensor:
        """Scales, then shifts, (2 width, k, 1, 1); before training all scales are about one."""
        factors = self.affine(self.features).T[:, :, None, None]
        return torch.cat([1 + factors[: len(factors) // 2], factors[len(factors) // 2 :]])

    def forward(self, seen: Tensor) -> Tensor:
        seen = self.unshuffle(seen)  # at half resolution, as the denoiser works
        chosen = self.choose(seen).softmax(dim=1)
        scales, shifts = F.conv2d(chosen, self.factors()).chunk(2, dim=1)  # factors are 1x1 kernels
        modulated = scales * self.encode(seen) + shifts
        return self.shuffle(self.out(modulated * torch.sigmoid(self.gate(modulated))))


def gaussian(sigma: float, reach: int) -> Tensor:
    """(1, 1, 2 reach + 1, 2 reach + 1) kernel that sums to one."""
    line = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return (line[:, None] * line[None] / line.sum() ** 2)[None, None]
