"""Restart sampling: go back up in noise and come down once more."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps
from generation.request import SamplerOptions

RESTART_FROM, RESTART_TO = 0.1, 2.0  # sigmas: down to the first, then back up to the second
RHO = 7.0


def restart(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Heun's method with the interval from 2 to 0.1 walked again after fresh noise. arXiv:2306.14878.

    From 20 steps on one repetition of 9 steps, from 36 on two of a quarter of the steps each; the main walk has
    that many less and is Karras-spaced, so the number of steps stays as asked. As in A1111.
    """
    last = 0.0
    for step, (sigma, sigma_next) in enumerate(restart_walk(sigmas)):
        if step and sigma > last * (1 + 1e-6):
            x = x + noise.next() * (options.s_noise * (sigma**2 - last**2) ** 0.5)
        slope = (x - (yield x, sigma, step)) / sigma
        trial = x + slope * (sigma_next - sigma)
        if sigma_next > 0:
            slope = (slope + (trial - (yield trial, sigma_next, step)) / sigma_next) / 2
            trial = x + slope * (sigma_next - sigma)
        x, last = trial, sigma_next
    return x


def restart_walk(sigmas: list[float]) -> list[tuple[float, float]]:
    """The steps (sigma, sigma_next), with repetitions where there are enough of them."""
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas))
    length, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    main = [*_karras(steps - length * times, sigmas[-2], sigmas[0]), 0.0]
    low, high = _nearest(main, RESTART_FROM), _nearest(main, RESTART_TO)
    walk = list(pairwise(main))
    if low <= high:
        return walk
    again = list(pairwise(_karras(length + 1, main[low], main[high])))
    return [*walk[:low], *again * times, *walk[low:]]


def _nearest(sigmas: list[float], wanted: float) -> int:
    return min(range(len(sigmas)), key=lambda k: abs(sigmas[k] - wanted))


def _karras(count: int, sigma_min: float, sigma_max: float) -> list[float]:
    low, high = sigma_min ** (1 / RHO), sigma_max ** (1 / RHO)
    return [(high + (low - high) * k / max(count - 1, 1)) ** RHO for k in range(count)]
