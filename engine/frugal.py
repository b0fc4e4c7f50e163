"""What is given up, step by step, when memory runs out: first speed of decoding, then the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from engine.components import Components
from engine.conditioning import Conditioner
from engine.device import free_memory, is_out_of_memory, out_of_memory
from engine.generate import Picture, generate
from engine.noise import picture_seeds
from engine.preview import PreviewSettings
from generation.job import Event, JobChannel, Stepped, Warned
from generation.request import GenerationRequest

TILE_PIXELS = 256
TILED_WARNING = (
    "Memory ran out while decoding; the picture was decoded in tiles instead. Seams may be faintly visible."
)
SPLIT_WARNING = "Memory ran out; the pictures of the batch are made one after the other instead."


class TilingVae:
    """An autoencoder that goes on in small tiles when memory runs out, so that finished latents are not lost.

    Everything else is the wrapped autoencoder's.
    """

    def __init__(self, vae: Any, components: Components, warn: Callable[[str], None]) -> None:
        self._vae = vae  # diffusers' AutoencoderKL: untyped
        self._device = components.device
        self._downscale = components.latent_format.downscale
        self._warn = warn

    def __getattr__(self, name: str) -> Any:  # Any: whatever the autoencoder has
        return getattr(self._vae, name)

    def encode(self, pixels: Tensor) -> Any:  # Any: diffusers' output
        """The autoencoder's answer, computed in tiles if it does not fit otherwise."""
        return self._attempt(lambda: self._vae.encode(pixels))

    def decode(self, latents: Tensor, return_dict: bool = True) -> Any:  # Any: diffusers' output
        """The autoencoder's answer, computed in tiles if it does not fit otherwise."""
        return self._attempt(lambda: self._vae.decode(latents, return_dict=return_dict))

    def _attempt(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: the traceback would keep the failed attempt's tensors alive.
        free_memory(self._device)
        before = self._vae.tile_sample_min_size, self._vae.tile_latent_min_size, self._vae.use_tiling
        self._vae.tile_sample_min_size = TILE_PIXELS
        self._vae.tile_latent_min_size = TILE_PIXELS // self._downscale
        self._vae.use_tiling = True
        try:
            result = work()
        finally:
            self._vae.tile_sample_min_size, self._vae.tile_latent_min_size, self._vae.use_tiling = before
        self._warn(TILED_WARNING)
        return result


def generate_frugally(
    components: Components,
    request: GenerationRequest,
    channel: JobChannel,
    conditioner: Conditioner,
    preview: PreviewSettings,
) -> Iterator[Picture]:
    """As `generate`, but a batch that does not fit into memory is made picture by picture, which changes none.

    Raises OutOfMemory with what helps if a single picture does not fit either.
    """
    done = 0
    try:
        for picture in generate(components, request, channel, conditioner, preview):
            done += 1
            yield picture
        return
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    free_memory(components.device)
    doing = f"making a picture of {request.width}x{request.height}"
    if request.batch_size == 1:
        raise out_of_memory(components.device, doing)
    channel.emit(Warned(SPLIT_WARNING))
    try:
        for number, single in enumerate(_singles(request)):
            if number >= done and not channel.stop.requested:
                numbered = _numbered(channel, number + 1, request.image_count)
                yield from generate(components, single, numbered, conditioner, preview)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(components.device, doing) from None


def _singles(request: GenerationRequest) -> Iterator[GenerationRequest]:
    """A request for each picture alone; seeds and init images are the ones it has in the batch."""
    for number, seeds in enumerate(picture_seeds(request)):
        init = request.img2img
        if init is not None:
            init = init.model_copy(update={"init_images": (init.init_images[number % len(init.init_images)],)})
        changes = {"seed": seeds.seed, "variation_seed": seeds.variation_seed, "batch_size": 1, "batch_count": 1}
        yield request.model_copy(update={**changes, "img2img": init})


def _numbered(channel: JobChannel, batch: int, batches: int) -> JobChannel:
    """The channel of one picture of a job: its steps count as those of batch `batch` of `batches`."""

    def emit(event: Event) -> None:
        if isinstance(event, Stepped):
            event = Stepped(event.step, event.steps, batch, batches)
        channel.emit(event)

    return JobChannel(emit, channel.stop, channel.is_watched)
