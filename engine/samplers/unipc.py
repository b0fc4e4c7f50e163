"""UniPC, a predictor-corrector of any order that needs one model call a step."""

from __future__ import annotations

from math import expm1, log

import torch
from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps
from generation.request import SamplerOptions

ORDER = 3


def unipc(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """UniPC with data prediction, B(h) = h ("bh1"), order 3, lower order at the end. arXiv:2302.04867.

    The model call that closes a step corrects it and opens the next one, so the last step is not corrected.
    A final sigma of 0 is reached by taking the last x0.
    """
    denoised = yield x, sigmas[0], 0
    levels, answers = [sigmas[0]], [denoised]
    last = len(sigmas) - 1
    for step, sigma_next in enumerate(sigmas[1:], start=1):
        if sigma_next == 0:
            return answers[-1]
        order = min(ORDER, step, last + 1 - step)
        predicted = _advance(x, levels[-order:], answers[-order:], sigma_next)
        if step == last:
            return predicted
        denoised = yield predicted, sigma_next, step
        x = _advance(x, levels[-order:], answers[-order:], sigma_next, denoised)
        levels, answers = [*levels[1 - ORDER :], sigma_next], [*answers[1 - ORDER :], denoised]
    return x


def _advance(
    x: Tensor, levels: list[float], answers: list[Tensor], sigma_next: float, closing: Tensor | None = None
) -> Tensor:
    """One UniP step from the newest of `levels` to `sigma_next`, or UniC if the model's answer there is given."""
    sigma, newest = levels[-1], answers[-1]
    h = log(sigma / sigma_next)
    ratios = [log(sigma / level) / h for level in reversed(levels[:-1])]
    differences = [(old - newest) / ratio for old, ratio in zip(reversed(answers[:-1]), ratios, strict=True)]
    if closing is not None:
        ratios, differences = [*ratios, 1.0], [*differences, closing - newest]
    x = x * (sigma_next / sigma) - newest * expm1(-h)
    for weight, difference in zip(_weights(ratios, h), differences, strict=True):
        x = x + difference * (weight * h)
    return x


def _weights(ratios: list[float], h: float) -> list[float]:
    """Solution of the order conditions R w = b of the paper (with B(h) = -h) for nodes at `ratios`."""
    if len(ratios) <= 1:
        return [0.5] * len(ratios)
    phi, factorial = expm1(-h) / -h - 1, 1.0
    right: list[float] = []
    for power in range(1, len(ratios) + 1):
        right.append(phi * factorial / -h)
        factorial *= power + 1
        phi = phi / -h - 1 / factorial
    nodes = torch.tensor(ratios, dtype=torch.float64)
    matrix = torch.stack([nodes**power for power in range(len(ratios))])
    solution: list[float] = torch.linalg.solve(matrix, torch.tensor(right, dtype=torch.float64)).tolist()
    return solution
