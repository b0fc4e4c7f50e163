"""A1111's infotext: the text that says how a picture was made, readable by people and by every other program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generation.infotext_parse import NEGATIVE, parse_infotext, quote, unquote
from generation.infotext_request import request_from_infotext
from generation.infotext_words import MASKED_CONTENTS, RESIZE_MODES
from generation.prompt import strip_comments
from generation.request import GenerationRequest, Hires, Img2Img, Inpaint, MaskedContent, NoiseSource, ResizeMode
from generation.sampler_info import find_sampler
from generation.version import INFOTEXT_VERSION

__all__ = [
    "carries_prompts",
    "format_infotext",
    "parse_infotext",
    "quote",
    "request_from_infotext",
    "unquote",
]


def format_infotext(
    request: GenerationRequest,
    *,
    seed: int,
    variation_seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
    model_name: str = "",
    model_hash: str = "",
    vae_name: str = "",
    vae_hash: str = "",
    extra: Mapping[str, object] | None = None,
) -> str:
    """Infotext of one picture, keys in A1111's order; `extra` comes before "Version".

    `seed` and `variation_seed` are this picture's. Width and height are those of the first pass, the request's
    unless given. Empty names and hashes are left out, as are settings that have their default value and, as in
    A1111, `#` comments in the prompts.
    """
    is_varied = request.variation_strength > 0
    varied_seed = request.variation_seed if variation_seed is None else variation_seed
    resize = (request.seed_resize_width, request.seed_resize_height)
    ensd = request.sampling.eta_noise_seed_delta
    parameters: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": request.schedule,
        "CFG scale": number(request.cfg_scale),
        "Seed": seed,
        "Size": f"{width or request.width}x{height or request.height}",
        "Model hash": model_hash or None,
        "Model": model_name or None,
        "VAE hash": vae_hash or None,
        "VAE": vae_name or None,
        "Variation seed": varied_seed if is_varied else None,
        "Variation seed strength": number(request.variation_strength) if is_varied else None,
        "Seed resize from": f"{resize[0]}x{resize[1]}" if all(resize) else None,
        "Denoising strength": None if (strength := _strength(request)) is None else number(strength),
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "ENSD": ensd or None,
        "RNG": request.noise_source.value if request.noise_source is not NoiseSource.GPU else None,
        **_sampling_parameters(request),
        **(_img2img_parameters(request.img2img) if request.img2img else {}),
        **(hires_parameters(request.hires) if request.hires else {}),
        **(extra or {}),
        "Version": INFOTEXT_VERSION,
    }
    prompt, negative = strip_comments(request.prompt), strip_comments(request.negative_prompt)
    return f"{_prompts(prompt, negative)}\n{_join(parameters)}".strip()


def number(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def carries_prompts(prompt: str, negative_prompt: str) -> bool:
    """True if reading infotext gives these prompts back unchanged.

    The text form strips white space from both ends of every line, drops blank lines at the beginning of either
    prompt, and takes a line that starts with "Negative prompt:" for the mark between the two. `#` comments are
    not written at all. Our own JSON beside the infotext carries every prompt.
    """
    written = _prompts(strip_comments(prompt), strip_comments(negative_prompt))
    read = parse_infotext(f"{written}\nSteps: 1, Seed: 1, Size: 1")
    return read["Prompt"] == prompt and read["Negative prompt"] == negative_prompt


def _prompts(prompt: str, negative_prompt: str) -> str:
    return f"{prompt}\n{NEGATIVE} {negative_prompt}" if negative_prompt else prompt


def _join(parameters: Mapping[str, object]) -> str:
    pairs = ((key, value) for key, value in parameters.items() if value is not None)
    return ", ".join(key if key == value else f"{key}: {quote(value)}" for key, value in pairs)


def _sampling_parameters(request: GenerationRequest) -> dict[str, object]:
    options = request.sampling
    eta_key = "Eta DDIM" if find_sampler(request.sampler).uses_timesteps else "Eta"
    return {
        eta_key: None if options.eta is None else number(options.eta),
        "Sigma churn": number(options.s_churn) if options.s_churn else None,
        "Sigma tmin": number(options.s_tmin) if options.s_tmin else None,
        "Sigma tmax": None if options.s_tmax is None else number(options.s_tmax),
        "Sigma noise": number(options.s_noise) if options.s_noise != 1 else None,
        "Schedule min sigma": None if options.sigma_min is None else number(options.sigma_min),
        "Schedule max sigma": None if options.sigma_max is None else number(options.sigma_max),
        "Schedule rho": None if options.rho is None else number(options.rho),
        "CFG rescale": number(options.cfg_rescale) if options.cfg_rescale else None,
    }


def _img2img_parameters(img2img: Img2Img) -> dict[str, object]:
    multiplier, mode = img2img.initial_noise_multiplier, img2img.resize_mode
    return {
        "Resize mode": RESIZE_MODES[mode] if mode is not ResizeMode.JUST_RESIZE else None,
        "Noise multiplier": number(multiplier) if multiplier != 1 else None,
        **(_inpaint_parameters(img2img.inpaint) if img2img.inpaint else {}),
    }


def _strength(request: GenerationRequest) -> float | None:
    part = request.img2img or request.hires
    return part.denoising_strength if part else None


def hires_parameters(hires: Hires) -> dict[str, Any]:  # Any: as dict[str, object], but unpackable
    """What infotext says of the second pass; None = not written. "Hires CFG Scale" is Forge's."""
    has_size = bool(hires.width or hires.height)
    return {
        "Hires sampler": hires.sampler or None,
        "Hires prompt": strip_comments(hires.prompt) or None,
        "Hires negative prompt": strip_comments(hires.negative_prompt) or None,
        "Hires schedule type": hires.schedule or None,
        "Hires CFG Scale": None if hires.cfg_scale is None else number(hires.cfg_scale),
        "Hires upscale": None if has_size else number(hires.scale),
        "Hires resize": f"{hires.width}x{hires.height}" if has_size else None,
        "Hires steps": hires.steps or None,
        "Hires upscaler": hires.upscaler,
    }


def _inpaint_parameters(inpaint: Inpaint) -> dict[str, Any]:  # Any: as dict[str, object], but unpackable
    is_round = inpaint.blur_x == inpaint.blur_y
    return {
        "Mask blur": number(inpaint.blur_x) if is_round else None,
        "Mask blur x": None if is_round else number(inpaint.blur_x),
        "Mask blur y": None if is_round else number(inpaint.blur_y),
        "Mask mode": "Inpaint not masked" if inpaint.invert else None,
        "Mask rounding": None if inpaint.round_mask else "False",
        "Masked content": MASKED_CONTENTS[inpaint.content]
        if inpaint.content is not MaskedContent.ORIGINAL
        else None,
        "Inpaint area": "Only masked" if inpaint.only_masked else None,
        "Masked area padding": inpaint.padding if inpaint.only_masked else None,
    }
