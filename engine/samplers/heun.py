"""Heun's second-order method, and Heun++."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps, churn
from generation.request import SamplerOptions


def heun(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Trapezoidal rule: two model calls a step, one for the step to 0. arXiv:2206.00364, Algorithm 2."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn(x, sigma, len(sigmas) - 1, options, noise)
        slope = (x - (yield x, sigma, step)) / sigma
        trial = x + slope * (sigma_next - sigma)
        if sigma_next > 0:
            slope = (slope + (trial - (yield trial, sigma_next, step)) / sigma_next) / 2
            trial = x + slope * (sigma_next - sigma)
        x = trial
    return x


def heunpp2(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Heun++ of order 2: three slopes a step, weighted by their noise levels; fewer near the end.

    arXiv:2310.14376; the weights are those of its published code.
    """
    last = len(sigmas) - 1
    for step in range(last):
        x, sigma = churn(x, sigmas[step], last, options, noise)
        slopes: list[Tensor] = []
        trial, place = x, sigma
        levels = [level for level in sigmas[step + 1 : step + 3] if level > sigmas[-1]]
        for level in (sigma, *levels):
            trial = trial + slopes[-1] * (level - place) if slopes else trial
            slopes.append((trial - (yield trial, level, step)) / level)
            place = level
        weights = [level / (len(slopes) * sigmas[0]) for level in levels]
        slope = slopes[0] * (1 - sum(weights))
        for weight, other in zip(weights, slopes[1:], strict=True):
            slope = slope + other * weight
        x = x + slope * (sigmas[step + 1] - sigma)
    return x
