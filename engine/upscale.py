"""Enlarging what the first pass made, as latents or as pixels."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from engine.components import Components
from engine.init_image import to_tensor
from engine.latents import decode, encode
from generation.request import HiresSize
from generation.upscalers import LatentMode, find_latent_mode, upscale_pixels


def upscale(components: Components, latents: Tensor, size: HiresSize, upscaler: str) -> Tensor:
    """Latents (channels, height, width) of one picture at `size`, by a latent mode or a pixel upscaler.

    Pixel upscalers decode, resize and encode again. The overhang is cut off the latents, as A1111 does it.
    """
    step = components.latent_format.downscale
    mode = find_latent_mode(upscaler)
    if mode is not None:
        enlarged = _upscale_latents(latents, mode, size.scaled_width // step, size.scaled_height // step)
    else:
        picture = Image.fromarray(decode(components, latents))
        picture = upscale_pixels(picture, upscaler, size.scaled_width, size.scaled_height)
        enlarged = encode(components, to_tensor(picture).unsqueeze(0))[0]
    return _cut(enlarged, size.width // step, size.height // step)


def _upscale_latents(latents: Tensor, mode: LatentMode, width: int, height: int) -> Tensor:
    return torch.nn.functional.interpolate(
        latents.unsqueeze(0), size=(height, width), mode=mode.mode, antialias=mode.antialias
    )[0]


def _cut(latents: Tensor, width: int, height: int) -> Tensor:
    """The middle of the latents; of an odd overhang the larger part goes at the right and the bottom."""
    left, top = (latents.shape[-1] - width) // 2, (latents.shape[-2] - height) // 2
    return latents[:, top : top + height, left : left + width]
