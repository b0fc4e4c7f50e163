"""The noise levels a model was trained on, and the way between them and its timesteps."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from math import exp, log

import torch
from torch import Tensor

# Models with zero terminal SNR have an infinite last sigma; this floor on alphas_cumprod makes it about 4500.
SMALLEST_ALPHA_CUMPROD = 4.8973451890853435e-08


class ModelSigmas:
    """Sigma (noise standard deviation over signal) of each training timestep, ascending, in double precision.

    Between two timesteps log sigma is interpolated linearly, as k-diffusion's discrete schedules do.
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        alphas = alphas_cumprod.detach().to("cpu", torch.float64).clamp(min=SMALLEST_ALPHA_CUMPROD)
        self.sigmas: list[float] = ((1 - alphas) / alphas).sqrt().tolist()
        self._log_sigmas = [log(sigma) for sigma in self.sigmas]

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def smallest(self) -> float:
        """Sigma of timestep 0."""
        return self.sigmas[0]

    @property
    def largest(self) -> float:
        """Sigma of the last timestep."""
        return self.sigmas[-1]

    def at(self, timestep: float) -> float:
        """Sigma of a (fractional) timestep; timesteps out of range are moved to the nearest end."""
        timestep = min(max(timestep, 0.0), len(self) - 1.0)
        low = min(int(timestep), len(self) - 2)
        weight = timestep - low
        if weight == 0:
            return self.sigmas[low]
        return exp((1 - weight) * self._log_sigmas[low] + weight * self._log_sigmas[low + 1])

    def timestep(self, sigma: float) -> float:
        """The (fractional) timestep of a sigma > 0; sigmas out of range get the nearest end."""
        wanted = log(sigma)
        high = min(max(bisect_left(self._log_sigmas, wanted), 1), len(self) - 1)
        below, above = self._log_sigmas[high - 1], self._log_sigmas[high]
        return high - 1 + min(max((wanted - below) / (above - below), 0.0), 1.0)


@cache
def stable_diffusion_sigmas() -> ModelSigmas:
    """The noise levels of Stable Diffusion 1, 2 and XL: beta from 0.00085 to 0.012, linear in its root."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return ModelSigmas((1 - betas).cumprod(0))
