"""txt2img and img2img as a recipe: conditioning, noise, sampling, decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.components import Components
from engine.conditioning import Conditioner, EncodedPrompt
from engine.denoiser import Denoiser, Guidance
from engine.latents import check_numbers, decode, latent_shape
from engine.model_sigmas import ModelSigmas
from engine.noise import BatchNoise, PictureSeeds, picture_seeds
from engine.preview import Previewer, PreviewSettings
from engine.samplers import SAMPLERS
from engine.sampling import Pacer, Sampled, sample
from engine.schedules import sigmas_for
from engine.start import (
    InitPicture,
    blank_conditioning,
    encode_init,
    is_inpainting_model,
    masked_content,
    stack_masks,
)
from generation.job import Event, JobChannel, Phase, PhaseChanged, Stepped, Warned
from generation.prompt import parse_prompt
from generation.request import GenerationRequest, MaskedContent
from generation.sampler_info import SamplerInfo, find_sampler

CFG_PLUS_PLUS_DIVISOR = 12.5  # A1111's: so that one CFG scale suits both kinds of guidance
NAN_HINT = "Load the model in bfloat16 or float32, lower the CFG scale, or try another sampler."


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture: `pixels` uint8 RGB (height, width, 3). `is_partial`: stopped before its last step."""

    pixels: np.ndarray
    seed: int
    variation_seed: int
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all batches of a request have in common."""

    components: Components
    request: GenerationRequest
    channel: JobChannel
    preview: PreviewSettings
    prompt: EncodedPrompt
    negative: EncodedPrompt
    sampler: SamplerInfo
    sigmas: list[float]  # empty: nothing to denoise
    init: list[InitPicture]
    shape: tuple[int, int, int]


def generate(
    components: Components,
    request: GenerationRequest,
    channel: JobChannel,
    conditioner: Conditioner | None = None,
    preview: PreviewSettings | None = None,
) -> Iterator[Picture]:
    """Makes the pictures of a request and yields each as soon as it is decoded.

    Emits PhaseChanged, Stepped, Previewed and Warned over the channel. A stop is seen within one model call: with
    *keep* the running batch is decoded from what is there, else nothing more comes. `request.seed` must not be -1.
    Raises UserError for what the user can mend: sizes, files, numbers that overflow.
    """
    if request.seed < 0:
        raise ValueError("the seed must be drawn before a request reaches the engine")
    plan = _prepare(
        components, request, channel, conditioner or Conditioner(components), preview or PreviewSettings()
    )
    seeds = picture_seeds(request)
    for batch in range(request.batch_count):
        if channel.stop.requested:
            return
        channel.stop.batch_begins()
        first = batch * request.batch_size
        yield from _make_batch(plan, batch, seeds[first : first + request.batch_size])


@torch.inference_mode()
def _prepare(
    components: Components,
    request: GenerationRequest,
    channel: JobChannel,
    conditioner: Conditioner,
    preview: PreviewSettings,
) -> _Plan:
    channel.emit(PhaseChanged(Phase.ENCODING))
    shape = latent_shape(components, request.width, request.height)
    sampler = find_sampler(request.sampler)
    calls = request.steps * (2 if sampler.second_order else 1)
    parsed = parse_prompt(request.prompt, calls)
    negative = parse_prompt(request.negative_prompt, calls, is_negative=True)
    for warning in (*parsed.warnings, *negative.warnings):
        channel.emit(Warned(warning))
    return _Plan(
        components,
        request,
        channel,
        preview,
        conditioner.encode_prompt(parsed, request.clip_skip),
        conditioner.encode_prompt(negative, request.clip_skip),
        sampler,
        _sigmas(sampler, request, ModelSigmas(components.alphas_cumprod)),
        encode_init(components, request, lambda: channel.stop.requested),
        shape,
    )


def _sigmas(sampler: SamplerInfo, request: GenerationRequest, model: ModelSigmas) -> list[float]:
    """The sigmas to walk; for img2img only the last ones, as many as the denoising strength asks for.

    As in A1111, strength 0.5 of 20 steps starts 10 steps before the end, and most samplers walk one step more:
    10 places before the last sigma above 0.
    """
    sigmas = sigmas_for(sampler, request.schedule, request.steps, model, request.sampling)
    if request.img2img is None:
        return sigmas
    strength = request.img2img.denoising_strength
    if strength == 0:
        return []
    share = int(min(strength, 0.999) * request.steps)
    if sampler.uses_timesteps:
        return sigmas[-1 - max(share, 1) :]
    return sigmas[request.steps - share - 1 :]


def _make_batch(plan: _Plan, batch: int, seeds: Sequence[PictureSeeds]) -> Iterator[Picture]:
    first = batch * plan.request.batch_size
    pictures = [plan.init[(first + k) % len(plan.init)] for k in range(len(seeds) if plan.init else 0)]
    sampled = _sample(plan, batch, seeds, pictures)
    if sampled.latents is None or _is_discarded(plan.channel):
        return
    plan.channel.emit(PhaseChanged(Phase.DECODING))
    for k, (seed, latents) in enumerate(
        zip(seeds, sampled.latents, strict=False)
    ):  # a stop may leave fewer latents
        pixels = _decode(plan, latents)
        if _is_discarded(plan.channel):
            return
        pixels = pictures[k].finish(pixels) if pictures else pixels
        yield Picture(pixels, seed.seed, seed.variation_seed, sampled.is_partial)


def _is_discarded(channel: JobChannel) -> bool:
    return channel.stop.requested and not channel.stop.keep


@torch.inference_mode()
def _decode(plan: _Plan, latents: Tensor) -> np.ndarray:
    return decode(plan.components, latents)


def _sample(plan: _Plan, batch: int, seeds: Sequence[PictureSeeds], pictures: list[InitPicture]) -> Sampled:
    """Latents of one batch; where steps depend on the picture, of one picture after the other."""
    if not plan.sampler.is_adaptive:
        return _sample_batch(plan, batch, seeds, pictures)
    parts = []
    for k, seed in enumerate(seeds):
        one = replace(plan, channel=_part_of(plan.channel, k, len(seeds)))
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


@torch.inference_mode()
def _sample_batch(plan: _Plan, batch: int, seeds: Sequence[PictureSeeds], pictures: list[InitPicture]) -> Sampled:
    """Latents (batch, channels, height, width) of one batch."""
    components, request = plan.components, plan.request
    noise = BatchNoise(request, seeds, plan.shape, components.device)
    settings = request.img2img
    content = settings.inpaint.content if settings and settings.inpaint else MaskedContent.ORIGINAL
    init = masked_content(pictures, content, noise) if pictures else None
    if not plan.sigmas:
        return Sampled(init, False)
    x = _start(plan, init, noise.first())
    conditioning = _image_conditioning(plan, pictures, len(seeds))
    denoiser = Denoiser(components, plan.prompt, plan.negative, _guidance(plan), conditioning)
    keep = _keeper(init, stack_masks(pictures))
    sampled = _run_sampler(plan, batch, x, noise, denoiser, keep)
    if sampled.latents is None:
        return sampled
    check_numbers(sampled.latents, "The model", NAN_HINT)
    return Sampled(keep(sampled.latents), sampled.is_partial)


def _guidance(plan: _Plan) -> Guidance:
    scale, rescale = plan.request.cfg_scale, plan.request.sampling.cfg_rescale
    if plan.sampler.is_cfg_plus_plus:
        return Guidance(scale / CFG_PLUS_PLUS_DIVISOR, rescale, always_unconditional=True)
    return Guidance(scale, rescale)


def _start(plan: _Plan, init: Tensor | None, noise: Tensor) -> Tensor:
    """Noisy latents at the first sigma.

    Timestep samplers start from unit noise in the variance-preserving form, which is a little more in ours.
    """
    sigma = plan.sigmas[0]
    if init is not None and plan.request.img2img is not None:
        return init + noise * (sigma * plan.request.img2img.initial_noise_multiplier)
    return noise * ((1 + sigma**2) ** 0.5 if plan.sampler.uses_timesteps else sigma)


def _image_conditioning(plan: _Plan, pictures: list[InitPicture], count: int) -> Tensor | None:
    if not is_inpainting_model(plan.components):
        return None
    given = [picture.conditioning for picture in pictures if picture.conditioning is not None]
    if given:
        return torch.stack(given)
    return blank_conditioning(plan.components, plan.request).expand(count, -1, -1, -1)


def _keeper(init: Tensor | None, masks: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Puts the init latents back wherever the mask is 0."""
    if init is None or masks is None:
        return lambda latents: latents
    kept = init * (1 - masks)
    return lambda latents: latents * masks + kept


def _run_sampler(
    plan: _Plan, batch: int, x: Tensor, noise: BatchNoise, denoiser: Denoiser, keep: Callable[[Tensor], Tensor]
) -> Sampled:
    request, channel, sigmas = plan.request, plan.channel, plan.sigmas
    channel.emit(PhaseChanged(Phase.SAMPLING))
    steps = len(sigmas) - 1
    previewer = Previewer(channel, plan.components.latent_format, plan.preview)
    pacer = Pacer(plan.components.device)

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
    if plan.sampler.is_adaptive and not sampled.is_partial:
        channel.emit(Stepped(steps, steps, batch + 1, request.batch_count))  # its steps are its own
    if sampled.latents is None or sampled.is_partial or not plan.sampler.uses_timesteps:
        return sampled
    return Sampled(sampled.latents / (1 + sigmas[-1] ** 2) ** 0.5, False)
