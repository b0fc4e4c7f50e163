"""What a sampler is: a generator that asks for the denoised picture and is given it.

    denoised = yield x, sigma, step

`x` (batch, channels, height, width) float32 are noisy latents x0 + sigma * noise; the answer is the model's
prediction of x0, same shape; `step` counts from 0 and stays the same for all calls of one step. The generator
returns the final latents. So a sampler knows neither models nor progress bars, and one driver can serve it
from a U-Net, another from a foreign pipeline.

CFG++ samplers also need the prediction without prompt: right after an answer they may ask with x = None, and are
given the unconditional part of that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

from torch import Tensor

from generation.request import SamplerOptions

Ask = tuple[Tensor | None, float, int]
Steps = Generator[Ask, Tensor, Tensor]


class StepNoise(Protocol):
    """Noise that samplers add between steps; each picture of a batch has its own stream."""

    def next(self) -> Tensor:
        """Fresh unit Gaussian noise, (batch, channels, height, width)."""
        ...

    def between(self, sigma: float, sigma_next: float) -> Tensor:
        """The increment of one Brownian path over [sigma_next, sigma], divided by its standard deviation.

        Increments of overlapping intervals are correlated as they should be; intervals must descend.
        """
        ...


Sampler = Callable[[Tensor, list[float], SamplerOptions, StepNoise], Steps]


def eta_of(options: SamplerOptions, default: float = 1.0) -> float:
    """How much noise is added anew: 0 none (an ODE), 1 as much as the reverse process has."""
    return default if options.eta is None else options.eta


def ancestral_split(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """(sigma_down, sigma_up): go down to sigma_down, add sigma_up of noise, be at sigma_next."""
    if not eta:
        return sigma_next, 0.0
    variance = sigma_next**2 * max(sigma**2 - sigma_next**2, 0.0) / sigma**2
    sigma_up = min(sigma_next, eta * variance**0.5)
    return (sigma_next**2 - sigma_up**2) ** 0.5, sigma_up


def churn(
    x: Tensor, sigma: float, step_count: int, options: SamplerOptions, noise: StepNoise
) -> tuple[Tensor, float]:
    """Raised noise level and latents brought up to it: the stochastic part of Karras' Algorithm 2.

    Without s_churn, or outside [s_tmin, s_tmax], both come back as they are; in the second case noise is drawn all
    the same, as k-diffusion does, so that the window does not shift later noise. arXiv:2206.00364.
    """
    if not options.s_churn:
        return x, sigma
    fresh, s_tmax = noise.next(), float("inf") if options.s_tmax is None else options.s_tmax
    if not options.s_tmin <= sigma <= s_tmax:
        return x, sigma
    raised = sigma * (1 + min(options.s_churn / step_count, 2**0.5 - 1))
    return x + fresh * (options.s_noise * (raised**2 - sigma**2) ** 0.5), raised
