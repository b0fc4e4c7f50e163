"""A loaded model: its parts, and the constants of its family that sampling needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from generation.model_card import ModelCard

# Least-squares fits of 8x down-sampled RGB on scaled latents; published constants of the SD 1.x / 2.x autoencoder.
SD1_LATENT_RGB = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """Latent space of an autoencoder.

    `scale`: latents = scale * encoder mean, so that they have unit variance. `downscale`: pixels per latent.
    `rgb_factors` (channels, 3) and `rgb_bias` (3) map latents to RGB in [-1, 1] for previews.
    """

    channels: int = 4
    downscale: int = 8
    scale: float = 0.18215
    rgb_factors: tuple[tuple[float, float, float], ...] = SD1_LATENT_RGB
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Components:
    """One loaded text-to-image model on its device.

    `alphas_cumprod`: (train steps,) float32 on the CPU, the training noise schedule.
    `prediction_type`: "epsilon" or "v_prediction". `dtype` is that of the U-Net and text encoder; `vae_dtype`
    that of the autoencoder.
    """

    card: ModelCard
    tokenizer: Any  # transformers.CLIPTokenizer: untyped
    text_encoder: Any  # transformers.CLIPTextModel
    unet: Any  # diffusers.UNet2DConditionModel
    vae: Any  # diffusers.AutoencoderKL
    alphas_cumprod: Tensor
    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    prediction_type: str = "epsilon"
    latent_format: LatentFormat = field(default_factory=LatentFormat)
