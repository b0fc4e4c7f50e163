"""DPM2 and DPM2 a: the midpoint rule in log sigma (DPM-Solver-2, arXiv:2206.00364 and 2206.00927)."""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise

from torch import Tensor

from engine.samplers.protocol import Ask, StepNoise, Steps, ancestral_split, churn, eta_of
from generation.request import SamplerOptions


def dpm2(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Midpoint rule, two model calls a step: k-diffusion's `sample_dpm_2`."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn(x, sigma, len(sigmas) - 1, options, noise)
        x = yield from _midpoint(x, sigma, sigma_next, step)
    return x


def dpm2_ancestral(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DPM2 down to sigma_down, then noise: k-diffusion's `sample_dpm_2_ancestral`."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        down, up = ancestral_split(sigma, sigma_next, eta_of(options))
        x = yield from _midpoint(x, sigma, down, step)
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def _midpoint(x: Tensor, sigma: float, sigma_next: float, step: int) -> Generator[Ask, Tensor, Tensor]:
    slope = (x - (yield x, sigma, step)) / sigma
    if sigma_next > 0:
        middle = (sigma * sigma_next) ** 0.5
        half = x + slope * (middle - sigma)
        slope = (half - (yield half, middle, step)) / middle
    return x + slope * (sigma_next - sigma)
