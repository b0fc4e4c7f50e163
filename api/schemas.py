"""A1111's request fields, by its names and with its defaults. Any field may be null; unknown ones are ignored.

Limits are not written here: they are the limits of GenerationRequest.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEEPEST_NESTING = 64

# Values inside override_settings and script arguments are free JSON, hence Any in this file.


class Payload(BaseModel):
    """A JSON object whose strings and numbers can be echoed: no NaN, no half surrogates, no endless nesting."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_plain_json(cls, values: Any) -> Any:
        pending = [(values, 0)]
        while pending:
            value, depth = pending.pop()
            if depth > DEEPEST_NESTING:
                raise ValueError("the values are nested too deeply")
            if isinstance(value, dict):
                pending += [(part, depth + 1) for pair in value.items() for part in pair]
            elif isinstance(value, list):
                pending += [(part, depth + 1) for part in value]
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("NaN and infinity are not JSON numbers")
            elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                raise ValueError("a text holds half of a surrogate pair")
        return values


class GenerationPayload(Payload):
    """The fields that txt2img and img2img share."""

    prompt: str | None = ""
    negative_prompt: str | None = ""
    styles: list[str] | None = None
    seed: int | None = -1
    subseed: int | None = -1
    subseed_strength: float | None = 0
    seed_resize_from_h: int | None = -1
    seed_resize_from_w: int | None = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int | None = 1
    n_iter: int | None = 1
    steps: int | None = 50
    cfg_scale: float | None = 7.0
    width: int | None = 512
    height: int | None = 512
    restore_faces: bool | None = Field(None, description="Not available: leave it off.")
    tiling: bool | None = Field(None, description="Not available: leave it off.")
    do_not_save_samples: bool | None = Field(False, description="Has no effect, as in A1111: see save_images.")
    do_not_save_grid: bool | None = Field(False, description="Has no effect, as in A1111: see save_images.")
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = Field(None, description="Not available: leave it at 0.")
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool | None = True
    refiner_checkpoint: str | None = Field(None, description="Not available: leave it empty.")
    refiner_switch_at: float | None = None
    disable_extra_networks: bool | None = False
    firstpass_image: str | None = None
    comments: dict[str, Any] | None = None
    force_task_id: str | None = None
    sampler_index: str | None = "Euler"
    script_name: str | None = Field(None, description="Not available: leave it empty.")
    script_args: list[Any] | None = Field(default_factory=list)
    send_images: bool | None = True
    save_images: bool | None = False
    alwayson_scripts: dict[str, Any] | None = Field(default_factory=dict)
    infotext: str | None = None


class Txt2ImgPayload(GenerationPayload):
    """Body of POST /sdapi/v1/txt2img."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prompt": "a red apple on a blue background", "steps": 20, "seed": 1, "cfg_scale": 7}]
        }
    )

    enable_hr: bool | None = Field(False, description="A second pass on the enlarged picture: hires fix.")
    firstphase_width: int | None = 0
    firstphase_height: int | None = 0
    hr_scale: float | None = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = 0
    hr_resize_x: int | None = 0
    hr_resize_y: int | None = 0
    hr_checkpoint_name: str | None = Field(None, description="Not available: leave it empty.")
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = ""
    hr_negative_prompt: str | None = ""


class Img2ImgPayload(GenerationPayload):
    """Body of POST /sdapi/v1/img2img."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"init_images": ["<base64 of a picture>"], "prompt": "a pear", "denoising_strength": 0.6}]
        }
    )

    denoising_strength: float | None = 0.75
    init_images: list[str | None] | None = Field(None, description="Base64 or data URIs. Addresses are refused.")
    resize_mode: int | None = 0
    image_cfg_scale: float | None = None
    mask: str | None = None
    mask_blur_x: int | None = 4
    mask_blur_y: int | None = 4
    mask_blur: int | None = None
    mask_round: bool | None = True
    inpainting_fill: int | None = 0
    inpaint_full_res: bool | None = True
    inpaint_full_res_padding: int | None = 0
    inpainting_mask_invert: int | None = 0
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = Field(None, description="Not available: leave it empty.")
    include_init_images: bool | None = False


class GenerationAnswer(BaseModel):
    """What txt2img and img2img answer: pictures as base64 PNG, the request, and `info` as a JSON *string*."""

    images: list[str]
    parameters: dict[str, Any]
    info: str


class ProgressState(BaseModel):
    """A1111's `state`; `job_count` is 0 when nothing runs."""

    skipped: bool = False
    interrupted: bool = False
    stopping_generation: bool = False
    job: str = ""
    job_count: int = 0
    job_timestamp: str = "0"
    job_no: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class Progress(BaseModel):
    """What runs now, whoever asked for it. `job_id` is our addition: the job's id in /api/v1/jobs."""

    progress: float = 0.0
    eta_relative: float = 0.0
    state: ProgressState = ProgressState()
    current_image: str | None = None
    textinfo: str | None = None
    job_id: str | None = None


class PngInfoPayload(Payload):
    """Body of POST /sdapi/v1/png-info."""

    image: str | None = ""


class PngInfo(BaseModel):
    """The infotext of a picture, its other text items, and the infotext parsed."""

    info: str = ""
    items: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
