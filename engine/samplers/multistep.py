"""Linear multistep methods: the slope dx/dsigma is extrapolated from earlier steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import log, prod

import numpy as np
from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps
from generation.request import SamplerOptions

# Adams-Bashforth weights on equal intervals, newest slope first.
EQUAL_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))

Weights = Callable[[list[float], float], list[float]]  # sigmas of the slopes, newest first; next sigma


def plms(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Pseudo linear multistep of order 4, as in latent diffusion. arXiv:2202.09778.

    The first step is a pseudo improved Euler step, with a second model call at the next sigma. DDIM's update
    is linear in sigma, so the published update is this one.
    """
    slopes: list[Tensor] = []
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        slopes = [(x - (yield x, sigma, step)) / sigma, *slopes[:3]]
        slope = _combine(EQUAL_WEIGHTS[len(slopes) - 1], slopes)
        if step == 0 and sigma_next > 0:
            trial = x + slope * (sigma_next - sigma)
            slope = (slope + (trial - (yield trial, sigma_next, step)) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def ipndm(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Improved PNDM: order 4 as if intervals were equal. arXiv:2204.13902, appendix.

    The first step, and the last to sigma 0, are Euler's.
    """

    def weights(levels: list[float], sigma_next: float) -> list[float]:
        return [weight * (sigma_next - levels[0]) for weight in EQUAL_WEIGHTS[len(levels) - 1]]

    return (yield from _multistep(x, sigmas, 4, weights, is_euler_to_zero=True))


def lms(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Order 4 with the exact weights for unequal intervals in sigma: k-diffusion's `sample_lms`."""
    return (yield from _multistep(x, sigmas, 4, partial(_polynomial_weights, time=float)))


def deis(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DEIS tAB3: slopes extrapolated as polynomials in the time of the VP process. arXiv:2204.13902.

    The last step, to sigma 0, is of first order.
    """
    return (yield from _multistep(x, sigmas, 3, partial(_polynomial_weights, time=vp_time), is_euler_to_zero=True))


def vp_time(sigma: float, shortest: float = 1e-3, sigma_min: float = 0.002, sigma_max: float = 80.0) -> float:
    """Time in the variance-preserving process (linear beta) at which its noise level is sigma.

    Its betas are those that give sigma_min at time `shortest` and sigma_max at time 1. arXiv:2206.00364, table 1.
    """
    low, high = log(sigma_min**2 + 1), log(sigma_max**2 + 1)
    slope = 2 * (low / shortest - high) / (shortest - 1)
    start = high - slope / 2
    return ((start**2 + 2 * slope * log(sigma**2 + 1)) ** 0.5 - start) / slope


def _multistep(
    x: Tensor, sigmas: list[float], order: int, weights: Weights, *, is_euler_to_zero: bool = False
) -> Steps:
    slopes: list[Tensor] = []
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        slopes = [(x - (yield x, sigma, step)) / sigma, *slopes[: order - 1]]
        if is_euler_to_zero and sigma_next == 0:
            slopes = slopes[:1]
        levels = [sigmas[step - k] for k in range(len(slopes))]
        x = x + _combine(weights(levels, sigma_next), slopes)
    return x


def _combine(weights: list[float] | tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = slopes[0] * weights[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        total = total + slope * weight
    return total


def _polynomial_weights(levels: list[float], sigma_next: float, time: Callable[[float], float]) -> list[float]:
    """Integrals over [levels[0], sigma_next] in sigma of the Lagrange polynomials through `levels`, in `time`."""
    nodes, shares = np.polynomial.legendre.leggauss(16)
    middle, half = (sigma_next + levels[0]) / 2, (sigma_next - levels[0]) / 2
    places = [time(middle + half * float(node)) for node in nodes]
    times = [time(level) for level in levels]
    weights = []
    for j, own in enumerate(times):
        others = [other for k, other in enumerate(times) if k != j]
        values = [prod((place - other) / (own - other) for other in others) for place in places]
        weights.append(half * float(np.dot(shares, values)))
    return weights
