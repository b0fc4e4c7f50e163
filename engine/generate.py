"""txt2img, img2img and hires fix as a recipe: conditioning, sampling, enlarging, decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.components import Components
from engine.conditioning import Conditioner
from engine.hires import SecondPass, refine
from engine.latents import decode, latent_shape
from engine.noise import PictureSeeds, picture_seeds
from engine.preview import PreviewSettings
from engine.sampling_pass import Pass, Tail, counting_on, sample_pictures, sigmas_of
from engine.start import InitPicture, encode_init
from generation.hires import second_pass, stretched_steps
from generation.job import JobChannel, Phase, PhaseChanged, Warned
from generation.prompt import extract_networks, parse_prompt
from generation.request import GenerationRequest
from generation.sampler_info import find_sampler

HIRES_NETWORKS = "LoRAs that only the hires prompt names are not used: both passes have those of the first prompt."


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

    first: Pass
    second: SecondPass | None
    init: list[InitPicture]


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
    first = _pass(components, request, channel, conditioner, preview, _first_timing(request))
    second = None
    if request.hires is not None:
        later = second_pass(request, request.hires)
        timing = _second_timing(request, later.steps, request.hires.denoising_strength)
        sampling = _pass(components, later, channel, conditioner, preview, timing)
        in_all = first.steps + sampling.steps
        sampling = replace(sampling, channel=counting_on(channel, first.steps, in_all))
        first = replace(first, channel=counting_on(channel, 0, in_all))
        size = request.hires.size_from(request.width, request.height)
        second = SecondPass(sampling, size, request.hires.upscaler)
    return _Plan(first, second, encode_init(components, request, lambda: channel.stop.requested))


@dataclass(frozen=True, slots=True)
class _Timing:
    """Which part of its schedule a pass walks (None = all, unless it is still), and after which other pass."""

    tail: Tail | None = None
    is_still: bool = False  # nothing to denoise
    after: GenerationRequest | None = None


def _first_timing(request: GenerationRequest) -> _Timing:
    """txt2img walks the whole schedule. img2img, as in A1111, its last `int(strength * steps)` places."""
    if request.img2img is None:
        return _Timing()
    strength = request.img2img.denoising_strength
    return _Timing(Tail(int(min(strength, 0.999) * request.steps), request.steps), is_still=strength == 0)


def _second_timing(first: GenerationRequest, steps: int, strength: float) -> _Timing:
    """All steps that were asked for, at the end of a schedule that is as much longer."""
    if strength == 0:
        return _Timing(is_still=True, after=first)
    return _Timing(Tail(steps - 1, stretched_steps(steps, strength)), after=first)


def _pass(
    components: Components,
    request: GenerationRequest,
    channel: JobChannel,
    conditioner: Conditioner,
    preview: PreviewSettings,
    timing: _Timing,
) -> Pass:
    shape = latent_shape(components, request.width, request.height)
    calls = (_calls(timing.after), _calls(request)) if timing.after else (_calls(request),)
    parsed = parse_prompt(request.prompt, *calls)
    negative = parse_prompt(request.negative_prompt, *calls, is_negative=True)
    already = (timing.after.prompt, timing.after.negative_prompt) if timing.after else None
    if already != (request.prompt, request.negative_prompt):
        for warning in (*parsed.warnings, *negative.warnings):
            channel.emit(Warned(warning))
    if timing.after and not set(parsed.networks) <= set(extract_networks(timing.after.prompt)[1]):
        channel.emit(Warned(HIRES_NETWORKS))
    return Pass(
        components,
        request,
        channel,
        preview,
        conditioner.encode_prompt(parsed, request.clip_skip),
        conditioner.encode_prompt(negative, request.clip_skip),
        find_sampler(request.sampler),
        [] if timing.is_still else sigmas_of(request, components, timing.tail),
        shape,
    )


def _calls(request: GenerationRequest) -> int:
    """Model calls that a prompt's schedule counts."""
    return request.steps * (2 if find_sampler(request.sampler).second_order else 1)


def _make_batch(plan: _Plan, batch: int, seeds: Sequence[PictureSeeds]) -> Iterator[Picture]:
    channel = plan.first.channel
    first = batch * plan.first.request.batch_size
    pictures = [plan.init[(first + k) % len(plan.init)] for k in range(len(seeds) if plan.init else 0)]
    sampled = sample_pictures(plan.first, batch, seeds, pictures)
    if sampled.latents is None or _is_discarded(channel):
        return
    latents, is_partial = list(sampled.latents), sampled.is_partial
    if plan.second is not None and not is_partial:
        refined = refine(plan.second, batch, seeds, sampled.latents)
        latents, is_partial = refined.latents, refined.is_partial
        if _is_discarded(channel):
            return
    channel.emit(PhaseChanged(Phase.DECODING))
    for k, (seed, own) in enumerate(zip(seeds, latents, strict=False)):  # a stop may leave fewer latents
        pixels = _decode(plan.first.components, own)
        if _is_discarded(channel):
            return
        pixels = pictures[k].finish(pixels) if pictures else pixels
        yield Picture(pixels, seed.seed, seed.variation_seed, is_partial)


def _is_discarded(channel: JobChannel) -> bool:
    return channel.stop.requested and not channel.stop.keep


@torch.inference_mode()
def _decode(components: Components, latents: Tensor) -> np.ndarray:
    return decode(components, latents)
