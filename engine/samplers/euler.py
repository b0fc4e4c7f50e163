"""First-order samplers: Euler, its ancestral form (which DDIM and DDPM are too), LCM and TCD."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from engine.model_sigmas import stable_diffusion_sigmas
from engine.samplers.protocol import StepNoise, Steps, ancestral_split, churn, eta_of
from generation.request import SamplerOptions


def euler(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Euler's method on the probability-flow ODE dx/dsigma = (x - x0) / sigma. arXiv:2206.00364, Algorithm 2."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x, sigma = churn(x, sigma, len(sigmas) - 1, options, noise)
        denoised = yield x, sigma, step
        x = x + (x - denoised) * ((sigma_next - sigma) / sigma)
    return x


def euler_ancestral(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Euler down to sigma_down, then noise up to the next sigma. k-diffusion's `sample_euler_ancestral`."""
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        down, up = ancestral_split(sigma, sigma_next, eta_of(options))
        x = denoised + (x - denoised) * (down / sigma)
        if up > 0:
            x = x + noise.next() * (options.s_noise * up)
    return x


def ddim(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """DDIM with its eta (default 0: no noise). arXiv:2010.02502, eq. 12 and 16.

    Divided by sqrt(alpha_cumprod), its variance is the ancestral one: DDIM is Euler ancestral on its own grid.
    """
    return (yield from euler_ancestral(x, sigmas, options.model_copy(update={"eta": eta_of(options, 0.0)}), noise))


def ddpm(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Ancestral sampling of DDPM over the given sigmas, with the posterior ("small") variance. arXiv:2006.11239.

    The posterior of a step of any length has mean and variance of Euler ancestral with eta 1, whatever `eta` says.
    """
    return (yield from euler_ancestral(x, sigmas, options.model_copy(update={"eta": 1.0}), noise))


def lcm(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Multistep consistency sampling: jump to x0, add noise of the next level. arXiv:2310.04378, Algorithm 3.

    The boundary scalings of the paper differ from 0 and 1 by less than 1e-5 at the timesteps in use: left out.
    """
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        x = yield x, sigma, step
        if sigma_next > 0:
            x = x + noise.next() * (options.s_noise * sigma_next)
    return x


def tcd(x: Tensor, sigmas: list[float], options: SamplerOptions, noise: StepNoise) -> Steps:
    """Trajectory consistency sampling: jump below the next level, then add noise up to it. arXiv:2402.19159.

    The jump goes to (1 - eta) of the next timestep, eta 0.3 by default; the last one to timestep 0.
    """
    model, eta = stable_diffusion_sigmas(), eta_of(options, 0.3)
    for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        denoised = yield x, sigma, step
        reached = int((1 - eta) * model.timestep(sigma_next) + 1e-6) if sigma_next > 0 else 0
        down = min(model.sigmas[max(reached, 0)], sigma_next or model.smallest)
        x = denoised + (x - denoised) * (down / sigma)
        if sigma_next == 0:
            return x / (1 + down**2) ** 0.5
        if down < sigma_next:
            x = x + noise.next() * (options.s_noise * (sigma_next**2 - down**2) ** 0.5)
    return x
