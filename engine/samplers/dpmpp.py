"""DPM-Solver++ (arXiv:2211.01095) in sigma form: time is lambda = -log sigma, the model predicts x0."""

from __future__ import annotations

from itertools import pairwise
from math import exp, expm1, log

from torch import Tensor

from engine.samplers.protocol import StepNoise, Steps, ancestral_split, eta_of
from generation.request import SamplerOptions


def dpmpp_2m(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DPM-Solver++(2M): linear extrapolation of x0 from the last two calls. Algorithm 2 of the paper."""
    previous: Tensor | None = None
    h_last = 0.0
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        if sigma_next == 0:
            return denoised
        h = log(sigma / sigma_next)
        target = denoised
        if previous is not None:
            ratio = h_last / h
            target = denoised * (1 + 1 / (2 * ratio)) - previous * (1 / (2 * ratio))
        x = x * (sigma_next / sigma) - target * expm1(-h)
        previous, h_last = denoised, h
    return x


def dpmpp_2m_sde(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """SDE-DPM-Solver++(2M), midpoint form: k-diffusion's `sample_dpmpp_2m_sde`. eta 0 makes it DPM++ 2M."""
    return (yield from _dpmpp_2m_sde(x, sigmas, options, noise, is_heun=False))


def dpmpp_2m_sde_heun(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """SDE-DPM-Solver++(2M), Heun form: k-diffusion's `sample_dpmpp_2m_sde` with solver_type "heun"."""
    return (yield from _dpmpp_2m_sde(x, sigmas, options, noise, is_heun=True))


def _dpmpp_2m_sde(
    x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise, *, is_heun: bool
) -> Steps:
    eta = eta_of(options)
    previous: Tensor | None = None
    h_last = 0.0
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        if sigma_next == 0:
            return denoised
        h = log(sigma / sigma_next)
        decay = -expm1(-h - eta * h)
        x = x * (sigma_next / sigma * exp(-eta * h)) + denoised * decay
        if previous is not None:
            weight = 1 - decay / (h + eta * h) if is_heun else decay / 2
            x = x + (denoised - previous) * (weight * h / h_last)
        if eta:
            spread = sigma_next * (-expm1(-2 * eta * h)) ** 0.5 * options.s_noise
            x = x + noise.between(sigma, sigma_next) * spread
        previous, h_last = denoised, h
    return x


def dpmpp_2s_ancestral(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DPM-Solver++(2S) down to sigma_down, then noise: k-diffusion's `sample_dpmpp_2s_ancestral`."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        down, up = ancestral_split(sigma, sigma_next, eta_of(options))
        if down > 0:
            middle = (sigma * down) ** 0.5
            denoised = yield _towards(denoised, x, middle / sigma), middle, step
        x = _towards(denoised, x, down / sigma)
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def dpmpp_sde(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """SDE-DPM-Solver++ with a stochastic midpoint: k-diffusion's `sample_dpmpp_sde` with r = 1/2.

    Both noises of a step are of one Brownian path, so the midpoint lies on the way.
    """
    eta = eta_of(options)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        if sigma_next == 0:
            return denoised
        middle = (sigma * sigma_next) ** 0.5
        down, up = ancestral_split(sigma, middle, eta)
        half = _towards(denoised, x, down / sigma)
        if up > 0:
            half = half + noise.between(sigma, middle) * (options.s_noise * up)
        denoised = yield half, middle, step
        down, up = ancestral_split(sigma, sigma_next, eta)
        x = _towards(denoised, x, down / sigma)
        if up > 0:
            x = x + noise.between(sigma, sigma_next) * (options.s_noise * up)
    return x


def dpmpp_3m_sde(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Third-order multistep form of SDE-DPM-Solver++: k-diffusion's `sample_dpmpp_3m_sde`."""
    eta = eta_of(options)
    answers: list[Tensor] = []
    lengths: list[float] = []
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        answers = [(yield x, sigma, step), *answers[:2]]
        if sigma_next == 0:
            return answers[0]
        h = log(sigma / sigma_next)
        h_eta = h * (eta + 1)
        x = _towards(answers[0], x, exp(-h_eta))
        x = x + _multistep_correction(answers, [length / h for length in lengths], h_eta)
        if eta:
            spread = sigma_next * (-expm1(-2 * h * eta)) ** 0.5 * options.s_noise
            x = x + noise.between(sigma, sigma_next) * spread
        lengths = [h, *lengths[:1]]
    return x


def _multistep_correction(answers: list[Tensor], ratios: list[float], h_eta: float) -> Tensor | float:
    """What first and second differences of x0 add; `ratios` are lengths of earlier steps over this one's."""
    phi_2 = expm1(-h_eta) / h_eta + 1
    if not ratios:
        return 0.0
    slope = (answers[0] - answers[1]) / ratios[0]
    if len(ratios) == 1:
        return slope * phi_2
    bend = (slope - (answers[1] - answers[2]) / ratios[1]) / (ratios[0] + ratios[1])
    return (slope + bend * ratios[0]) * phi_2 - bend * (phi_2 / h_eta - 0.5)


def _towards(denoised: Tensor, x: Tensor, share: float) -> Tensor:
    """On the straight line from x0 to x, at `share` of the way."""
    return denoised + (x - denoised) * share
