"""A1111's `hr_…` fields -> the second pass of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.schemas import Txt2ImgPayload
from generation import sampler_info
from generation.errors import UserError
from generation.request import GRID

# Our field -> A1111's, for error messages.
A1111_NAME: Mapping[str, str] = {
    "hires.scale": "hr_scale",
    "hires.width": "hr_resize_x",
    "hires.height": "hr_resize_y",
    "hires.upscaler": "hr_upscaler",
    "hires.steps": "hr_second_pass_steps",
    "hires.denoising_strength": "denoising_strength",
    "hires.sampler": "hr_sampler_name",
    "hires.schedule": "hr_scheduler",
    "hires.prompt": "hr_prompt",
    "hires.negative_prompt": "hr_negative_prompt",
}
SAME = ("use same sampler", "use same scheduler", "use same checkpoint")


def fill(values: dict[str, Any], payload: Txt2ImgPayload) -> None:  # Any: values of any field of a request
    """Adds `hires` to the fields of a request. With `firstphase_…` the request's size is that of the second pass.

    Raises UnknownName for a sampler or schedule that does not exist.
    """
    width, height = payload.hr_resize_x or 0, payload.hr_resize_y or 0
    first = payload.firstphase_width or 0, payload.firstphase_height or 0
    if any(first):
        if not (width or height):
            width, height = values["width"], values["height"]
        values["width"] = first[0] // GRID * GRID or values["width"]
        values["height"] = first[1] // GRID * GRID or values["height"]
    sampler, schedule = _sampler(_named(payload.hr_sampler_name), _named(payload.hr_scheduler))
    hires: dict[str, Any] = {
        "scale": payload.hr_scale,
        "width": width,
        "height": height,
        "upscaler": payload.hr_upscaler or None,
        "steps": payload.hr_second_pass_steps,
        "denoising_strength": payload.denoising_strength,
        "sampler": sampler,
        "schedule": schedule,
        "prompt": payload.hr_prompt,
        "negative_prompt": payload.hr_negative_prompt,
    }
    values["hires"] = {name: value for name, value in hires.items() if value is not None}


def _named(name: str | None) -> str:
    """The name, or "" for A1111's ways to say "as in the first pass"."""
    text = (name or "").strip()
    return "" if text.casefold() in SAME else text


def _sampler(sampler: str, schedule: str) -> tuple[str, str]:
    """Also splits old combined names ("DPM++ 2M Karras")."""
    if not sampler:
        return "", schedule
    try:
        name, found = sampler_info.resolve(sampler, schedule or sampler_info.AUTOMATIC)
    except UserError as error:
        error.field = A1111_NAME.get(f"hires.{error.field}", error.field)
        raise
    return name, schedule if found == sampler_info.AUTOMATIC else found
