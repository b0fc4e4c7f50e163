"""What sampling starts from: nothing, pictures, or pictures with a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine import inpaint
from engine.components import Components
from engine.init_image import flatten, open_image, resize, to_tensor
from engine.latents import encode, latent_shape
from engine.noise import BatchNoise
from generation.request import GenerationRequest, Img2Img, MaskedContent, ResizeMode


@dataclass(frozen=True)
class InitPicture:
    """One init image, encoded. `latents` (channels, height, width); `mask` (1, height, width), 1 = repaint.

    `conditioning` (1 + channels, height, width): the extra input of inpainting models, mask and kept part.
    """

    latents: Tensor
    mask: Tensor | None = None
    canvas: inpaint.Canvas | None = None
    conditioning: Tensor | None = None

    def finish(self, pixels: np.ndarray) -> np.ndarray:
        """The final picture from the decoded one: laid into the original if there was a mask."""
        if self.canvas is None:
            return pixels
        return np.asarray(self.canvas.compose(Image.fromarray(pixels)))


def is_inpainting_model(components: Components) -> bool:
    """True for U-Nets with input channels for a mask and the latents of the kept part."""
    channels: int = components.unet.config.in_channels
    return channels == 2 * components.latent_format.channels + 1


def encode_init(
    components: Components, request: GenerationRequest, should_stop: Callable[[], bool]
) -> list[InitPicture]:
    """The init images that the request will use, encoded; fewer if told to stop, none for txt2img.

    Raises InvalidRequest for files that are no pictures.
    """
    pictures: list[InitPicture] = []
    if request.img2img is not None:
        for data in request.img2img.init_images[: request.image_count]:
            if should_stop():
                break
            pictures.append(_encode_one(components, request, request.img2img, data))
    return pictures


def _encode_one(components: Components, request: GenerationRequest, settings: Img2Img, data: bytes) -> InitPicture:
    width, height = request.width, request.height
    image = flatten(open_image(data, "img2img.init_images"))
    if settings.inpaint is not None:
        canvas = inpaint.prepare(image, settings.inpaint, settings.resize_mode, width, height)
        shape = latent_shape(components, width, height)
        mask = inpaint.latent_mask(canvas.mask, shape, is_rounded=settings.inpaint.round_mask)
        latents = encode(components, to_tensor(canvas.image).unsqueeze(0))[0]
        conditioning = _masked_conditioning(components, canvas) if is_inpainting_model(components) else None
        return InitPicture(latents, mask.to(components.device), canvas, conditioning)
    if settings.resize_mode is ResizeMode.LATENT_UPSCALE:
        latents = _upscaled_latents(components, image, latent_shape(components, width, height))
    else:
        picture = resize(image, settings.resize_mode, width, height)
        latents = encode(components, to_tensor(picture).unsqueeze(0))[0]
    return InitPicture(latents)


def _upscaled_latents(components: Components, image: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    step = components.latent_format.downscale
    fitting = (max(image.width // step, 1) * step, max(image.height // step, 1) * step)
    latents = encode(components, to_tensor(resize(image, ResizeMode.JUST_RESIZE, *fitting)).unsqueeze(0))
    return torch.nn.functional.interpolate(latents, size=shape[1:], mode="bilinear")[0]


def _masked_conditioning(components: Components, canvas: inpaint.Canvas) -> Tensor:
    """Mask and latents of the picture with its masked part grey, as inpainting models were trained on."""
    pixels = to_tensor(canvas.image).unsqueeze(0)
    mask = (torch.from_numpy(np.array(canvas.mask, dtype=np.float32)) / 255).round()[None, None]
    latents = encode(components, pixels * (1 - mask))
    small = torch.nn.functional.interpolate(mask, size=latents.shape[-2:])
    return torch.cat([small.to(latents), latents], 1)[0]


def blank_conditioning(components: Components, request: GenerationRequest) -> Tensor:
    """The extra input of an inpainting model that is to paint all of the picture: full mask, grey latents."""
    latents = encode(components, torch.zeros(1, 3, request.height, request.width))
    return torch.cat([torch.ones_like(latents[:, :1]), latents], 1)[0]


def masked_content(pictures: list[InitPicture], content: MaskedContent, noise: BatchNoise) -> Tensor:
    """Latents (batch, channels, height, width) with the masked part replaced as asked."""
    latents = torch.stack([picture.latents for picture in pictures])
    masks = stack_masks(pictures)
    if masks is None or content in (MaskedContent.FILL, MaskedContent.ORIGINAL):
        return latents
    kept = latents * (1 - masks)
    return kept + noise.of_seeds() * masks if content is MaskedContent.LATENT_NOISE else kept


def stack_masks(pictures: list[InitPicture]) -> Tensor | None:
    """The masks of a batch (batch, 1, height, width), 1 = repaint; None without."""
    masks = [picture.mask for picture in pictures if picture.mask is not None]
    return torch.stack(masks) if masks else None
