"""The one case with an exact answer: data of which every number is ~ N(0, s^2)."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.noise import BatchNoise, PictureSeeds
from engine.samplers import SAMPLERS
from engine.sampling import Denoise, sample
from generation.request import SamplerOptions
from tests.engine import tiny

SPREAD = 0.8  # s


def ideal_denoiser(x: Tensor, sigma: float) -> Tensor:
    """The best prediction of x0 there is: x s^2 / (s^2 + sigma^2)."""
    return x * (SPREAD**2 / (SPREAD**2 + sigma**2))


def exact_end(x: Tensor, sigmas: list[float]) -> Tensor:
    """Where the probability-flow ODE leads from x at the first sigma to the last."""
    return x * ((SPREAD**2 + sigmas[-1] ** 2) / (SPREAD**2 + sigmas[0] ** 2)) ** 0.5


def noise_of(seeds: list[int], shape: tuple[int, int, int]) -> BatchNoise:
    """The noise of a batch of pictures with these seeds."""
    return BatchNoise(tiny.request(), [PictureSeeds(seed, 0) for seed in seeds], shape, torch.device("cpu"))


def run(
    name: str,
    x: Tensor,
    sigmas: list[float],
    denoise: Denoise = ideal_denoiser,
    options: SamplerOptions | None = None,
    seeds: list[int] | None = None,
) -> Tensor:
    """The end of a sampler's walk, in the precision of `x`."""
    noise = noise_of(seeds or list(range(len(x))), (x.shape[1], x.shape[2], x.shape[3]))
    walk = SAMPLERS[name](x, sigmas, options or SamplerOptions(), noise)
    answers: list[Tensor] = []

    def remembering(x: Tensor, sigma: float) -> Tensor:
        answers[:] = [denoise(x, sigma)]
        return answers[0]

    result = sample(walk, remembering, lambda step, denoised: None, lambda: False, lambda: answers[0]).latents
    assert result is not None
    return result


def relative_error(name: str, sigmas: list[float], options: SamplerOptions | None = None) -> float:
    """Distance from the exact end, relative to it."""
    x = torch.full((1, 1, 1, 1), sigmas[0], dtype=torch.float64)
    exact = exact_end(x, sigmas)
    return float(((run(name, x, sigmas, options=options) - exact) / exact).abs())
