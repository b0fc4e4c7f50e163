"""The noise a model was trained with, from the facts its scheduler configuration states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def alphas_cumprod(config: Mapping[str, Any]) -> Tensor:  # Any: JSON
    """Share of the signal's variance left at each training timestep: (steps,) float32, falling.

    `config` is in diffusers' words (beta_schedule, beta_start, beta_end, num_train_timesteps, trained_betas,
    rescale_betas_zero_snr); what is not said is as in Stable Diffusion. Computed in double precision as the
    original code does. Raises ValueError for an unknown beta schedule or numbers out of range.
    """
    betas = _betas(config)
    if not (betas.numel() and bool(((betas > 0) & (betas < 1)).all())):
        raise ValueError("betas must lie between 0 and 1")
    product = torch.cumprod(1 - betas, 0)
    if config.get("rescale_betas_zero_snr"):
        product = zero_terminal_snr(product)
    return product.float()


def _betas(config: Mapping[str, Any]) -> Tensor:  # Any: JSON
    if trained := config.get("trained_betas"):
        return torch.tensor(trained, dtype=torch.float64)
    steps = int(config.get("num_train_timesteps", 1000))
    if not 2 <= steps <= 100_000:
        raise ValueError(f"{steps} training steps are out of range")
    start, end = float(config.get("beta_start", 0.00085)), float(config.get("beta_end", 0.012))
    match config.get("beta_schedule", "scaled_linear"):
        case "scaled_linear":
            return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
        case "linear":
            return torch.linspace(start, end, steps, dtype=torch.float64)
        case "squaredcos_cap_v2":
            grid = torch.arange(steps + 1, dtype=torch.float64) / steps
            level = torch.cos((grid + 0.008) / 1.008 * math.pi / 2) ** 2
            return (1 - level[1:] / level[:-1]).clamp(max=0.999)
        case other:
            raise ValueError(f"unknown beta schedule {other!r}")


def zero_terminal_snr(product: Tensor) -> Tensor:
    """The same schedule, shifted and scaled so that nothing of the signal is left at the last step.

    The very last value stays a little above zero, so that its sigma is finite. Source: arXiv:2305.08891, alg. 1.
    """
    root = product.sqrt()
    shifted = (root - root[-1]) * root[0] / (root[0] - root[-1])
    squared = shifted**2
    squared[-1] = 4.8973451890853435e-08  # sigma 4518, the value A1111 and ComfyUI use
    return squared
