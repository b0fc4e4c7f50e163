"""One pass of sampling over a batch: from noise, or from latents, to latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.components import Components
from engine.conditioning import EncodedPrompt
from engine.denoiser import Denoiser, Guidance
from engine.latents import check_numbers
from engine.model_sigmas import ModelSigmas
from engine.noise import BatchNoise, PictureSeeds
from engine.preview import Previewer, PreviewSettings
from engine.samplers import SAMPLERS
from engine.sampling import Pacer, Sampled, sample
from engine.schedules import sigmas_for
from engine.start import InitPicture, blank_conditioning, is_inpainting_model, masked_content, stack_masks
from generation.job import Event, JobChannel, Phase, PhaseChanged, Previewed, Stepped
from generation.request import GenerationRequest, MaskedContent
from generation.sampler_info import SamplerInfo, find_sampler

CFG_PLUS_PLUS_DIVISOR = 12.5  # A1111's: so that one CFG scale suits both kinds of guidance
NAN_HINT = "Load the model in bfloat16 or float32, lower the CFG scale, or try another sampler."


@dataclass(frozen=True, slots=True)
class Pass:
    """What all batches of one pass have in common. `request` tells of this pass alone: size, steps, sampler."""

    components: Components
    request: GenerationRequest
    channel: JobChannel
    preview: PreviewSettings
    prompt: EncodedPrompt
    negative: EncodedPrompt
    sampler: SamplerInfo
    sigmas: list[float]  # empty: nothing to denoise
    shape: tuple[int, int, int]

    @property
    def steps(self) -> int:
        """How many steps it walks."""
        return max(len(self.sigmas) - 1, 0)


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a schedule of `steps` steps, from `places` before its last sigma above 0."""

    places: int
    steps: int


def sigmas_of(request: GenerationRequest, components: Components, tail: Tail | None = None) -> list[float]:
    """The sigmas to walk: the whole schedule, or its tail.

    As in A1111 most samplers walk one step more than the tail has places; those on timesteps do not.
    """
    sampler, model = find_sampler(request.sampler), ModelSigmas(components.alphas_cumprod)
    steps = tail.steps if tail else request.steps
    sigmas = sigmas_for(sampler, request.schedule, steps, model, request.sampling)
    if tail is None:
        return sigmas
    if sampler.uses_timesteps:
        return sigmas[-1 - max(tail.places, 1) :]
    return sigmas[steps - tail.places - 1 :]


def sample_pictures(this: Pass, batch: int, seeds: Sequence[PictureSeeds], pictures: list[InitPicture]) -> Sampled:
    """Latents of one batch; where steps depend on the picture, of one picture after the other.

    A stop may leave fewer latents than there are seeds. Raises UserError for numbers that overflow.
    """
    if not this.sampler.is_adaptive:
        return _sample_batch(this, batch, seeds, pictures)
    parts = []
    for k, seed in enumerate(seeds):
        one = replace(this, channel=_part_of(this.channel, k, len(seeds)))
        part = _sample_batch(one, batch, [seed], pictures[k : k + 1])
        if part.latents is not None:
            parts.append(part)
    latents = torch.cat([part.latents for part in parts if part.latents is not None]) if parts else None
    return Sampled(latents, any(part.is_partial for part in parts))


def _part_of(channel: JobChannel, k: int, count: int) -> JobChannel:
    """The channel for picture k of a batch that is made one by one: its steps are a part of the batch's."""

    def emit(event: Event) -> None:
        if isinstance(event, Stepped):
            event = replace(event, step=max((k * event.steps + event.step) // count, 1))
        channel.emit(event)

    return replace(channel, emit=emit)


def counting_on(channel: JobChannel, before: int, in_all: int) -> JobChannel:
    """The channel of a pass whose steps come after `before` others, of `in_all` in every batch."""

    def emit(event: Event) -> None:
        if isinstance(event, Stepped):
            event = replace(event, step=min(before + event.step, in_all), steps=in_all)
        elif isinstance(event, Previewed):
            event = Previewed(replace(event.preview, step=before + event.preview.step))
        channel.emit(event)

    return replace(channel, emit=emit)


@torch.inference_mode()
def _sample_batch(this: Pass, batch: int, seeds: Sequence[PictureSeeds], pictures: list[InitPicture]) -> Sampled:
    """Latents (batch, channels, height, width) of one batch."""
    components, request = this.components, this.request
    noise = BatchNoise(request, seeds, this.shape, components.device)
    settings = request.img2img
    content = settings.inpaint.content if settings and settings.inpaint else MaskedContent.ORIGINAL
    init = masked_content(pictures, content, noise) if pictures else None
    if not this.sigmas:
        return Sampled(init, False)
    x = _start(this, init, noise.first())
    conditioning = _image_conditioning(this, pictures, len(seeds))
    denoiser = Denoiser(components, this.prompt, this.negative, _guidance(this), conditioning)
    keep = _keeper(init, stack_masks(pictures))
    sampled = _run_sampler(this, batch, x, noise, denoiser, keep)
    if sampled.latents is None:
        return sampled
    check_numbers(sampled.latents, "The model", NAN_HINT)
    return Sampled(keep(sampled.latents), sampled.is_partial)


def _guidance(this: Pass) -> Guidance:
    scale, rescale = this.request.cfg_scale, this.request.sampling.cfg_rescale
    if this.sampler.is_cfg_plus_plus:
        return Guidance(scale / CFG_PLUS_PLUS_DIVISOR, rescale, always_unconditional=True)
    return Guidance(scale, rescale)


def _start(this: Pass, init: Tensor | None, noise: Tensor) -> Tensor:
    """Noisy latents at the first sigma.

    Timestep samplers start from unit noise in the variance-preserving form, which is a little more in ours.
    """
    sigma = this.sigmas[0]
    if init is not None:
        settings = this.request.img2img
        return init + noise * (sigma * (settings.initial_noise_multiplier if settings else 1.0))
    return noise * ((1 + sigma**2) ** 0.5 if this.sampler.uses_timesteps else sigma)


def _image_conditioning(this: Pass, pictures: list[InitPicture], count: int) -> Tensor | None:
    if not is_inpainting_model(this.components):
        return None
    given = [picture.conditioning for picture in pictures if picture.conditioning is not None]
    if given:
        return torch.stack(given)
    return blank_conditioning(this.components, this.request).expand(count, -1, -1, -1)


def _keeper(init: Tensor | None, masks: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Puts the init latents back wherever the mask is 0."""
    if init is None or masks is None:
        return lambda latents: latents
    kept = init * (1 - masks)
    return lambda latents: latents * masks + kept


def _run_sampler(
    this: Pass, batch: int, x: Tensor, noise: BatchNoise, denoiser: Denoiser, keep: Callable[[Tensor], Tensor]
) -> Sampled:
    request, channel, sigmas, steps = this.request, this.channel, this.sigmas, this.steps
    channel.emit(PhaseChanged(Phase.SAMPLING))
    previewer = Previewer(channel, this.components.latent_format, this.preview)
    pacer = Pacer(this.components.device)

    def on_step(step: int, denoised: Tensor) -> None:
        pacer.wait()
        channel.emit(Stepped(step, steps, batch + 1, request.batch_count))
        if step < steps:
            previewer.offer(step, denoised)

    sampled = sample(
        SAMPLERS[request.sampler](x, sigmas, request.sampling, noise),
        lambda x, sigma: keep(denoiser(x, sigma)),
        on_step,
        lambda: channel.stop.ends_batch,
        lambda: keep(denoiser.unconditional()),
    )
    if this.sampler.is_adaptive and not sampled.is_partial:
        channel.emit(Stepped(steps, steps, batch + 1, request.batch_count))  # its steps are its own
    if sampled.latents is None or sampled.is_partial or not this.sampler.uses_timesteps:
        return sampled
    return Sampled(sampled.latents / (1 + sigmas[-1] ** 2) ** 0.5, False)
