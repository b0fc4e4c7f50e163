"""Small pictures of what is being made, while it is being made, at next to no cost."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.components import LatentFormat
from generation.job import JobChannel, Preview, Previewed


@dataclass(frozen=True, slots=True)
class PreviewSettings:
    """`interval`: least seconds between two previews. `size`: longest side in pixels. `share`: at most this part
    of the sampling time is spent on previews."""

    enabled: bool = True
    interval: float = 0.1
    size: int = 512
    share: float = 0.03
    jpeg_quality: int = 80


class Previewer:
    """Emits previews of one batch over the job's channel: if somebody watches, and within the time budget."""

    def __init__(
        self,
        channel: JobChannel,
        latent_format: LatentFormat,
        settings: PreviewSettings,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._channel = channel
        self._format = latent_format
        self._settings = settings
        self._clock = clock
        if settings.enabled and channel.is_watched():
            # The first JPEG of a process loads Pillow's plug-ins: that must not use up the budget of all others.
            blank = torch.zeros(1, latent_format.channels, 1, 1)
            encode_jpeg(preview_image(blank, latent_format, 8), settings.jpeg_quality)
        self._began = clock()
        self._last = float("-inf")
        self._spent = 0.0
        self._cost = 0.0

    def offer(self, step: int, denoised: Tensor) -> None:
        """Perhaps emits a preview of the predicted x0 (batch, channels, height, width) after `step`."""
        if not self._is_due():
            return
        if denoised.is_cuda:
            torch.cuda.synchronize()  # or else the model's own work would be booked as the preview's
        begin = self._clock()
        jpeg = encode_jpeg(preview_image(denoised, self._format, self._settings.size), self._settings.jpeg_quality)
        self._channel.emit(Previewed(Preview(step, jpeg)))
        self._last = self._clock()
        self._cost = self._last - begin
        self._spent += self._cost

    def _is_due(self) -> bool:
        settings, now = self._settings, self._clock()
        if not settings.enabled or now - self._last < settings.interval:
            return False
        if self._spent + self._cost > settings.share * (now - self._began) and self._spent:
            return False
        return self._channel.is_watched()


def latents_to_rgb(latents: Tensor, latent_format: LatentFormat) -> np.ndarray:
    """Rough RGB uint8 (batch, height, width, 3) of latents, one pixel a latent.

    In numpy: it takes a fraction of a millisecond, and torch's threads would wait for cores that others use.
    """
    factors = np.array(latent_format.rgb_factors, dtype=np.float32)
    values = latents.float().cpu().numpy()
    rgb = np.einsum("bchw,cr->bhwr", values, factors) + np.array(latent_format.rgb_bias, dtype=np.float32)
    return np.nan_to_num((rgb + 1) * 127.5).clip(0, 255).astype(np.uint8)


def preview_image(latents: Tensor, latent_format: LatentFormat, size: int) -> Image.Image:
    """The batch as one picture, a grid as square as may be, its longest side `size` pixels."""
    pictures = latents_to_rgb(latents, latent_format)
    count, height, width, _ = pictures.shape
    columns = min(count, ceil(sqrt(count * height / width)))
    rows = ceil(count / columns)
    grid = Image.new("RGB", (columns * width, rows * height))
    for k, picture in enumerate(pictures):
        grid.paste(Image.fromarray(picture), (k % columns * width, k // columns * height))
    zoom = size / max(grid.size)
    return grid.resize(
        (max(round(grid.width * zoom), 1), max(round(grid.height * zoom), 1)), Image.Resampling.BILINEAR
    )


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """JPEG file bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
