"""ER-SDE-Solver (arXiv:2309.06169): a multistep solver of the extended reverse-time SDE."""

from __future__ import annotations

from itertools import pairwise
from math import exp

import numpy as np
from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps
from generation.request import SamplerOptions

NODES, SHARES = np.polynomial.legendre.leggauss(24)


def er_sde(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """ER-SDE-Solver-3, variance-exploding form. `noise_scale` alone says how much noise is added, not eta."""
    answers: list[Tensor] = []
    slope: Tensor | None = None
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        answers = [(yield x, sigma, step), *answers[:1]]
        if sigma_next == 0:
            return answers[0]
        share = noise_scale(sigma_next) / noise_scale(sigma)
        x = answers[0] + (x - answers[0]) * share
        if step >= 1:
            first, second = _moments(sigma, sigma_next)
            slope, before = (answers[0] - answers[1]) / (sigma - sigmas[step - 1]), slope
            x = x + slope * first
            if before is not None:
                x = x + (slope - before) * (2 / (sigma - sigmas[step - 2]) * second)
        added = max(sigma_next**2 - (sigma * share) ** 2, 0.0) ** 0.5
        x = x + noise.next() * (options.s_noise * added)
    return x


def noise_scale(sigma: float) -> float:
    """The noise scale function phi that the paper's published code uses by default."""
    return sigma * (exp(sigma**0.3) + 10)


def _moments(sigma: float, sigma_next: float) -> tuple[float, float]:
    """What slope and bend of x0 add in the step: d + phi(next) * integral of 1 / phi, and its second moment.

    The integrals run over [sigma_next, sigma]; in log sigma, where the integrand is smooth.
    """
    low, high = np.log(sigma_next), np.log(sigma)
    points = np.exp((low + high) / 2 + (high - low) / 2 * NODES)
    weights = SHARES * (high - low) / 2 * points / np.array([noise_scale(float(point)) for point in points])
    end, length = noise_scale(sigma_next), sigma_next - sigma
    first = length + end * float(weights.sum())
    return first, length**2 / 2 + end * float((weights * (points - sigma)).sum())
