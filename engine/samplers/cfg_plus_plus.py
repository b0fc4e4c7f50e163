"""CFG++ (arXiv:2406.08070): x0 with guidance, but onwards along the noise predicted without prompt.

Guidance then stays near the data and its scale is small: about 1, where the usual kind takes 12.5.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp, expm1, log

from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps, ancestral_split, eta_of
from generation.request import SamplerOptions


def ddim_cfgpp(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DDIM, or Euler on any schedule, with CFG++. Algorithm 2 of the paper."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        unconditional = yield None, sigma, step
        down, up = ancestral_split(sigma, sigma_next, eta_of(options, 0.0))
        x = denoised + (x - unconditional) * (down / sigma)
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def dpmpp_2m_cfgpp(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DPM-Solver++(2M) with CFG++, as in ComfyUI: x0 is extrapolated from the last prediction without prompt."""
    previous: Tensor | None = None
    h_last = 0.0
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        if sigma_next == 0:
            return denoised
        unconditional = yield None, sigma, step
        h = log(sigma / sigma_next)
        result = denoised + (x - unconditional) * exp(-h)
        if previous is not None:
            result = result - (denoised - previous) * (expm1(-h) * h / (2 * h_last))
        x, previous, h_last = result, unconditional, h
    return x
