"""The request field `infotext`: what a picture's text says fills the fields that the client did not set itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.schemas import GenerationPayload
from generation.infotext_request import request_from_infotext

# Our field -> those of A1111's that set it as well. Fields with the same name are not listed.
SET_BY: Mapping[str, tuple[str, ...]] = {
    "variation_seed": ("subseed",),
    "variation_strength": ("subseed_strength",),
    "seed_resize_width": ("seed_resize_from_w", "seed_resize_from_h"),
    "seed_resize_height": ("seed_resize_from_w", "seed_resize_from_h"),
    "sampler": ("sampler_name", "sampler_index"),
    "schedule": ("scheduler",),
    "hires": ("enable_hr",),
}
SET_BY_OVERRIDE: Mapping[str, str] = {
    "model": "sd_model_checkpoint",
    "vae": "sd_vae",
    "clip_skip": "CLIP_stop_at_last_layers",
    "noise_source": "randn_source",
    "eta_noise_seed_delta": "eta_noise_seed_delta",
}


@dataclass(frozen=True, slots=True)
class Filling:
    """Fields of GenerationRequest, of its SamplerOptions and Img2Img that the infotext gives, and sentences
    about what it says that could not be used."""

    request: Mapping[str, Any] = field(default_factory=dict)  # Any: values of any field
    sampling: Mapping[str, Any] = field(default_factory=dict)
    img2img: Mapping[str, Any] = field(default_factory=dict)
    not_carried_over: tuple[str, ...] = ()


def read_filling(payload: GenerationPayload) -> Filling:
    """What the payload's infotext fills in; nothing if it has none."""
    if not payload.infotext:
        return Filling()
    pasted = request_from_infotext(payload.infotext)
    overridden = {name for name, value in (payload.override_settings or {}).items() if value is not None}

    def is_free(name: str) -> bool:
        theirs = SET_BY.get(name, (name,))
        is_set = any(
            part in payload.model_fields_set and getattr(payload, part, None) is not None for part in theirs
        )
        return not is_set and SET_BY_OVERRIDE.get(name) not in overridden

    def free(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if is_free(name)}

    fields = {name: value for name, value in pasted.fields.items() if name != "sampling"}
    strength = {name: value for name, value in pasted.img2img.items() if name == "denoising_strength"}
    return Filling(free(fields), free(pasted.fields.get("sampling", {})), free(strength), pasted.not_carried_over)
