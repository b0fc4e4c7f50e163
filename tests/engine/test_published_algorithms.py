"""k-diffusion's own results, recorded by running its `sample_*` functions (version 0.1.1.post1, MIT) in float64.

Both sides start at `START` on 11 Karras sigmas, with the ideal denoiser of a mixture of four Gaussians and the
same made-up "noise", so nothing but the algorithm can make a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.samplers import SAMPLERS
from engine.sampling import sample
from generation.request import SamplerOptions

VECTORS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "k_diffusion_vectors.json").read_text(encoding="utf-8")
)
SHAPE = (1, 1, 2, 4)
START = torch.linspace(-1.4, 1.6, 8, dtype=torch.float64).reshape(SHAPE)
MEANS = torch.tensor([-1.5, -0.2, 0.7, 1.8], dtype=torch.float64)
SPREAD = 0.35
# The reference keeps its times in float32 there.
TOLERANCES = {"DPM fast": 2e-6, "DPM adaptive": 1e-4}


class WavyNoise:
    """Numbers that look like noise enough and need no random generator."""

    def __init__(self) -> None:
        self._stream = self._numbers()

    def _numbers(self) -> Iterator[Tensor]:
        places = torch.arange(1, START.numel() + 1, dtype=torch.float64)
        k = 0
        while True:
            k += 1
            yield (1.3 * torch.sin(places * 1.7 + k * 2.3) + 0.4 * torch.cos(places * 0.9 * k)).reshape(SHAPE)

    def next(self) -> Tensor:
        return next(self._stream)

    def between(self, sigma: float, sigma_next: float) -> Tensor:
        return next(self._stream)


def mixture_denoiser(x: Tensor, sigma: float) -> Tensor:
    variance = SPREAD**2 + sigma**2
    distance = x[..., None] - MEANS
    weights = (-(distance**2) / (2 * variance)).softmax(-1)
    return (weights * (MEANS + distance * (SPREAD**2 / variance))).sum(-1)


def karras_sigmas(steps: int = 11, sigma_min: float = 0.0291675, sigma_max: float = 14.614641) -> list[float]:
    low, high = sigma_min ** (1 / 7), sigma_max ** (1 / 7)
    return [*((high + (low - high) * k / (steps - 1)) ** 7 for k in range(steps)), 0.0]


@pytest.mark.parametrize("case", list(VECTORS))
def test_sampler_ends_where_k_diffusion_ends(case: str):
    vector, sigmas = VECTORS[case], karras_sigmas()
    walk = SAMPLERS[vector["sampler"]](START * sigmas[0], sigmas, SamplerOptions(**vector["options"]), WavyNoise())
    end = sample(walk, mixture_denoiser, lambda step, denoised: None, lambda: False).latents
    assert end is not None
    tolerance = TOLERANCES.get(vector["sampler"], 1e-8)
    torch.testing.assert_close(
        end.flatten(), torch.tensor(vector["end"], dtype=torch.float64), rtol=0, atol=tolerance
    )
