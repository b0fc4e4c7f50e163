"""Classifier-free guidance: how predictions with and without the prompt become one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def needs_unconditional(weights: Sequence[float], cfg_scale: float) -> bool:
    """False if the prediction without prompt cancels out: cfg_scale 1 and weights that sum to 1."""
    return abs(cfg_scale * sum(weights) - 1) > 1e-9


def combine(
    conditional: Tensor, weights: Sequence[float], unconditional: Tensor | None, cfg_scale: float
) -> Tensor:
    """uncond + sum of weight * cfg_scale * (cond - uncond).

    `conditional` (sides, batch, channels, height, width): one prediction for each side of an AND;
    `unconditional` (batch, channels, height, width), None where `needs_unconditional` says so.
    """
    scales = [weight * cfg_scale for weight in weights]
    if unconditional is None:
        return torch.stack([side * scale for side, scale in zip(conditional, scales, strict=True)]).sum(0)
    guided = unconditional
    for side, scale in zip(conditional, scales, strict=True):
        guided = guided + (side - unconditional) * scale
    return guided


def rescale(guided: Tensor, conditional: Tensor, x: Tensor, sigma: float, amount: float) -> Tensor:
    """Takes back the contrast that guidance adds: CFG rescale, arXiv:2305.08891, section 3.4.

    All are x0 predictions (batch, channels, height, width), the result is too. The standard deviation of the
    velocity is brought to that of the prediction with prompt alone, by `amount` 0 … 1, picture by picture.
    """
    velocity, target = (_velocity(denoised, x, sigma) for denoised in (guided, conditional))
    dims = tuple(range(1, x.ndim))
    ratio = target.std(dims, keepdim=True) / velocity.std(dims, keepdim=True).clamp(min=1e-8)
    velocity = velocity * (1 - amount + amount * ratio)
    return x / (sigma**2 + 1) - velocity * (sigma / (sigma**2 + 1) ** 0.5)


def _velocity(denoised: Tensor, x: Tensor, sigma: float) -> Tensor:
    return (x / (sigma**2 + 1) - denoised) * ((sigma**2 + 1) ** 0.5 / sigma)
