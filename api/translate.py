"""A1111's request fields -> GenerationRequest. Pure functions: no services, no files, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from api import hires_fields, images, unavailable
from api.infotext_field import Filling, read_filling
from api.overrides import Overrides, read_overrides
from api.schemas import GenerationPayload, Img2ImgPayload, Txt2ImgPayload
from generation import sampler_info
from generation.errors import InvalidRequest, UserError
from generation.request import GenerationRequest, make_request

T = TypeVar("T")
GRID = 8  # pixels; sizes are rounded down to it, as A1111 does

# Our field -> A1111's, for error messages. Fields with the same name are not listed.
A1111_NAME: Mapping[str, str] = {
    "variation_seed": "subseed",
    "variation_strength": "subseed_strength",
    "seed_resize_width": "seed_resize_from_w",
    "seed_resize_height": "seed_resize_from_h",
    "sampler": "sampler_name",
    "schedule": "scheduler",
    "batch_count": "n_iter",
    "clip_skip": "override_settings.CLIP_stop_at_last_layers",
    "noise_source": "override_settings.randn_source",
    "model": "override_settings.sd_model_checkpoint",
    "vae": "override_settings.sd_vae",
    "sampling.eta": "eta",
    "sampling.s_churn": "s_churn",
    "sampling.s_tmin": "s_tmin",
    "sampling.s_tmax": "s_tmax",
    "sampling.s_noise": "s_noise",
    "sampling.eta_noise_seed_delta": "override_settings.eta_noise_seed_delta",
    "img2img.init_images": "init_images",
    "img2img.denoising_strength": "denoising_strength",
    "img2img.resize_mode": "resize_mode",
    "img2img.initial_noise_multiplier": "initial_noise_multiplier",
    "img2img.inpaint.mask": "mask",
    "img2img.inpaint.blur_x": "mask_blur_x",
    "img2img.inpaint.blur_y": "mask_blur_y",
    "img2img.inpaint.content": "inpainting_fill",
    "img2img.inpaint.padding": "inpaint_full_res_padding",
    **hires_fields.A1111_NAME,
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A request, the names of override settings that we do not have, and what its infotext said in vain.

    `has_pasted_model`: the model is the one in the infotext, which may not be here.
    """

    request: GenerationRequest
    ignored_settings: tuple[str, ...] = ()
    not_carried_over: tuple[str, ...] = ()
    has_pasted_model: bool = False


def from_txt2img(payload: Txt2ImgPayload) -> Translated:
    """The request of a txt2img call. Raises InvalidRequest, UnknownName or NotAvailable, with A1111's field."""
    unavailable.refuse(payload)
    overrides, filling, values = _shared(payload)
    if payload.enable_hr:
        hires_fields.fill(values, payload)
    return _translated(values, overrides, filling)


def from_img2img(payload: Img2ImgPayload) -> Translated:
    """The request of an img2img call; pictures are decoded from base64 but not yet looked at. Raises likewise."""
    unavailable.refuse(payload)
    overrides, filling, values = _shared(payload)
    pictures = _init_images(payload)
    if len(pictures) > 1:
        values["batch_size"] = len(pictures)
    values["img2img"] = {
        "init_images": pictures,
        "denoising_strength": _or(payload.denoising_strength, 0.75),
        "resize_mode": _or(payload.resize_mode, 0),
        "initial_noise_multiplier": _or(payload.initial_noise_multiplier, 1.0),
        "inpaint": _inpaint(payload),
        **(overrides.img2img if payload.initial_noise_multiplier is None else {}),
        **filling.img2img,
    }
    return _translated(values, overrides, filling)


def _translated(values: Mapping[str, Any], overrides: Overrides, filling: Filling) -> Translated:
    return Translated(_made(values), overrides.ignored, filling.not_carried_over, "model" in filling.request)


def _shared(payload: GenerationPayload) -> tuple[Overrides, Filling, dict[str, Any]]:  # Any: values of any field
    filling = read_filling(payload)
    asked_sampler = payload.sampler_name or payload.sampler_index or "Euler"
    sampler, schedule = _sampler(asked_sampler, payload.scheduler or sampler_info.AUTOMATIC)
    pasted = dict(filling.request)
    if schedule != sampler_info.AUTOMATIC:
        pasted.pop("schedule", None)  # it was in the sampler's name
    overrides = read_overrides(payload.override_settings, pasted.get("sampler", sampler))
    resize = (payload.seed_resize_from_w or 0, payload.seed_resize_from_h or 0)
    has_resize = min(resize) > 0
    values: dict[str, Any] = {
        "prompt": payload.prompt or "",
        "negative_prompt": payload.negative_prompt or "",
        "seed": _or(payload.seed, -1),
        "variation_seed": _or(payload.subseed, -1),
        "variation_strength": _or(payload.subseed_strength, 0.0),
        "seed_resize_width": resize[0] if has_resize else 0,
        "seed_resize_height": resize[1] if has_resize else 0,
        "steps": _or(payload.steps, 50),
        "cfg_scale": _or(payload.cfg_scale, 7.0),
        "width": _or(payload.width, 512) // GRID * GRID,
        "height": _or(payload.height, 512) // GRID * GRID,
        "sampler": sampler,
        "schedule": schedule,
        "batch_size": _or(payload.batch_size, 1),
        "batch_count": _or(payload.n_iter, 1),
        "save": bool(payload.save_images) and overrides.saves,
        **overrides.request,
        **pasted,
    }
    values["sampling"] = {**filling.sampling, **overrides.sampling, **_sampling(payload)}
    return overrides, filling, values


def _sampler(name: str, schedule: str) -> tuple[str, str]:
    try:
        return sampler_info.resolve(name, schedule)
    except UserError as error:
        error.field = A1111_NAME.get(error.field or "", error.field)
        raise


def _sampling(payload: GenerationPayload) -> dict[str, float | None]:
    """Only what the client set: the rest is left to the overrides, the preferences and the sampler."""
    given: dict[str, float | None] = {
        "eta": payload.eta,
        "s_churn": payload.s_churn,
        "s_tmin": payload.s_tmin,
        "s_tmax": payload.s_tmax or None,  # 0 means no end, as in A1111
        "s_noise": payload.s_noise,
    }
    return {name: value for name, value in given.items() if value is not None}


def _init_images(payload: Img2ImgPayload) -> tuple[bytes, ...]:
    texts = [text for text in payload.init_images or [] if text]
    if not texts:
        raise InvalidRequest(
            "init_images: there is no init image.", "Send at least one, as base64.", "init_images"
        )
    batch = _or(payload.batch_size, 1)
    if 1 < len(texts) > batch:
        raise InvalidRequest(
            f"init_images: {len(texts)} pictures do not fit into a batch of {batch}.",
            "Send one picture, or at most as many as batch_size.",
            "init_images",
        )
    return tuple(images.decode(text, "init_images") for text in texts)


def _inpaint(payload: Img2ImgPayload) -> dict[str, Any] | None:
    if not payload.mask:
        return None
    blur = payload.mask_blur  # sets both directions, as in A1111
    return {
        "mask": images.decode(payload.mask, "mask"),
        "blur_x": _or(payload.mask_blur_x, 4) if blur is None else blur,
        "blur_y": _or(payload.mask_blur_y, 4) if blur is None else blur,
        "round_mask": _or(payload.mask_round, True),
        "invert": bool(payload.inpainting_mask_invert),
        "content": _or(payload.inpainting_fill, 0),
        "only_masked": _or(payload.inpaint_full_res, True),
        "padding": _or(payload.inpaint_full_res_padding, 0),
    }


def _made(values: Mapping[str, Any]) -> GenerationRequest:
    """The validated request; errors speak of A1111's field names."""
    try:
        return make_request(**values)
    except UserError as error:
        ours = error.field or ""
        base = next((name for name in A1111_NAME if ours == name or ours.startswith(name + ".")), None)
        if base is None:
            raise
        theirs = A1111_NAME[base]
        message = error.message.replace(f"{ours}:", f"{theirs}:", 1)
        raise type(error)(message, error.hint, theirs) from None


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
