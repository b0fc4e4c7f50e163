"""DPM fast and DPM adaptive: single-step DPM-Solver of orders 1 to 3 (arXiv:2206.00927).

Time is t = -log sigma, the model predicts the noise epsilon. They walk from the first sigma to the last one
above 0, and stop there. As published in k-diffusion.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise
from math import atan, exp, expm1, log

import torch
from torch import Tensor

from engine.samplers.protocol import Ask, StepNoise, Steps, ancestral_split, eta_of
from generation.request import SamplerOptions

# Of DPM adaptive: tolerated error, relative and absolute; first step in t; how much of a step's promise must hold.
RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.0078
FIRST_STEP = 0.05
ACCEPTED_FACTOR = 0.81


def dpm_fast(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Exactly as many model calls as steps, shared out among solver steps of order 3, 2 and 1.

    Every call counts as a step. k-diffusion's `sample_dpm_fast`.
    """
    calls, (start, end) = len(sigmas) - 1, _time_range(sigmas)
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    times = [start + (end - start) * k / count for k in range(count + 1)]
    done = 0
    for order, (t, t_next) in zip(orders, pairwise(times), strict=True):
        reached, up = _ancestral_times(t, t_next, end, eta_of(options))
        epsilon = (x - (yield x, exp(-t), done)) / exp(-t)
        if order == 1:
            x = x - epsilon * (exp(-reached) * expm1(reached - t))
        elif order == 2:
            x = yield from _second_order(x, t, reached, epsilon, done + 1)
        else:
            _, x = yield from _third_order(x, t, reached, epsilon, (done + 1, done + 2))
        done += order
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def dpm_adaptive(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Chooses its own steps: goes on where orders 2 and 3 agree, else tries a shorter step.

    The number of sigmas only scales the reported progress. The step size depends on the picture, so a batch
    must be sampled one by one. k-diffusion's `sample_dpm_adaptive`, order 3, integral control.
    """
    (t, end), before = _time_range(sigmas), x
    start, h, eta = t, FIRST_STEP, eta_of(options)
    while t < end - 1e-5:
        step = int((len(sigmas) - 1) * (t - start) / (end - start))
        epsilon = (x - (yield x, exp(-t), step)) / exp(-t)
        while True:
            t_next = min(end, t + h)
            reached, up = _ancestral_times(t, t_next, end, eta)
            low, high = yield from _third_order(x, t, reached, epsilon, (step, step))
            tolerance = (
                torch.maximum(low.abs(), before.abs()).mul_(RELATIVE_TOLERANCE).clamp_(min=ABSOLUTE_TOLERANCE)
            )
            error = float(((low - high) / tolerance).square().mean().sqrt())
            factor = 1 + atan((1 / (error + 1e-8)) ** (1 / (1.5 if eta else 3)) - 1)
            h *= factor
            if factor >= ACCEPTED_FACTOR:
                break
        before, x, t = low, high, t_next
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def _time_range(sigmas: list[float]) -> tuple[float, float]:
    return -log(sigmas[0]), -log(min(sigma for sigma in sigmas if sigma > 0))


def _ancestral_times(t: float, t_next: float, end: float, eta: float) -> tuple[float, float]:
    """Time to solve to, and the noise that leads back from there to `t_next`."""
    down, _ = ancestral_split(exp(-t), exp(-t_next), eta)
    reached = min(end, -log(down)) if down > 0 else end
    return reached, max(exp(-2 * t_next) - exp(-2 * reached), 0.0) ** 0.5 if eta else 0.0


def _second_order(
    x: Tensor, t: float, t_next: float, epsilon: Tensor, step: int
) -> Generator[Ask, Tensor, Tensor]:
    h, sigma_next = t_next - t, exp(-t_next)
    middle = exp(-t - h / 2)
    half = x - epsilon * (middle * expm1(h / 2))
    change = (half - (yield half, middle, step)) / middle - epsilon
    return x - (epsilon + change) * (sigma_next * expm1(h))


def _third_order(
    x: Tensor, t: float, t_next: float, epsilon: Tensor, steps: tuple[int, int]
) -> Generator[Ask, Tensor, tuple[Tensor, Tensor]]:
    """Results of orders 2 and 3 from inner points at a third and two thirds of the step."""
    h, sigma_next = t_next - t, exp(-t_next)
    first, second = exp(-t - h / 3), exp(-t - 2 * h / 3)
    inner = x - epsilon * (first * expm1(h / 3))
    change = (inner - (yield inner, first, steps[0])) / first - epsilon
    low = x - (epsilon + change * 1.5) * (sigma_next * expm1(h))
    bend = expm1(2 * h / 3) / (2 * h / 3) - 1
    inner = x - epsilon * (second * expm1(2 * h / 3)) - change * (second * 2 * bend)
    change = (inner - (yield inner, second, steps[1])) / second - epsilon
    high = x - epsilon * (sigma_next * expm1(h)) - change * (sigma_next * 1.5 * (expm1(h) / h - 1))
    return low, high
