"""Between pixels and latents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.components import Components
from generation.errors import InvalidRequest, UserError

TILED_FROM_PIXELS = 1536 * 1536  # larger pictures are encoded and decoded in tiles, to bound memory


def latent_shape(components: Components, width: int, height: int) -> tuple[int, int, int]:
    """Shape (channels, height, width) of one picture's latents. Raises InvalidRequest for sizes it cannot have."""
    latent = components.latent_format
    for name, size in (("width", width), ("height", height)):
        if size % latent.downscale:
            nearest = max(round(size / latent.downscale), 1) * latent.downscale
            message = f"{name} {size} is not a multiple of {latent.downscale}, as this model needs it."
            raise InvalidRequest(message, f"Use {nearest}.", name)
    return latent.channels, height // latent.downscale, width // latent.downscale


def encode(components: Components, pixels: Tensor) -> Tensor:
    """Latents (batch, channels, height, width) float32 of pixels (batch, 3, height, width) in [-1, 1].

    The mean of the encoder's distribution is taken, not a sample: the same picture gives the same latents.
    """
    _set_tiling(components, pixels.shape[-2] * pixels.shape[-1])
    latents = [
        components.vae.encode(picture.unsqueeze(0).to(components.device, components.vae_dtype)).latent_dist.mode()
        for picture in pixels
    ]
    return torch.cat(latents).float() * components.latent_format.scale


def decode(components: Components, latents: Tensor) -> np.ndarray:
    """RGB picture uint8 (height, width, 3) of one picture's latents (channels, height, width).

    Raises UserError if the autoencoder gives no numbers (NaN), which half precision can do.
    """
    latent = components.latent_format
    _set_tiling(components, latents.shape[-2] * latents.shape[-1] * latent.downscale**2)
    scaled = (latents / latent.scale).unsqueeze(0).to(components.vae_dtype)
    pixels = components.vae.decode(scaled, return_dict=False)[0][0].float()
    check_numbers(pixels, "The autoencoder", "Run the VAE in float32, or choose another VAE.")
    levels = pixels.add_(1).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def check_numbers(values: Tensor, what: str, hint: str) -> None:
    """Raises UserError if any of the values is NaN."""
    if values.isnan().any():
        raise UserError(f"{what} produced values that are not numbers (NaN), so there is no picture.", hint)


def _set_tiling(components: Components, pixel_count: int) -> None:
    if pixel_count > TILED_FROM_PIXELS:
        components.vae.enable_tiling()
    else:
        components.vae.disable_tiling()
