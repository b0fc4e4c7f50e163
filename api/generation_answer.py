"""A finished job -> A1111's answer: pictures, the request as it came, and `info` as a JSON string."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import Image

from api.images import as_base64
from api.schemas import GenerationPayload, Img2ImgPayload
from api.translate import Translated
from generation.infotext import hires_parameters
from generation.job import Job, JobStatus
from generation.metadata import write_png
from generation.request import GenerationRequest
from generation.version import INFOTEXT_VERSION


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call led to."""

    payload: GenerationPayload
    job: Job
    status: JobStatus
    translated: Translated


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """`{images, parameters, info}`. Reads pictures from disk and encodes them: call it in a thread.

    With `save_images` and several pictures a grid comes first, as in A1111. Raises OSError if a saved picture is
    gone.
    """
    images = outcome.status.images
    pngs = [image.read_png() for image in images]
    infotexts = [image.infotext for image in images]
    has_grid = bool(outcome.payload.save_images) and len(pngs) > 1
    if has_grid:
        pngs.insert(0, _grid(pngs, infotexts[0]))
        infotexts.insert(0, infotexts[0])
    sends = outcome.payload.send_images is not False
    return {
        "images": [as_base64(png) for png in pngs] if sends else [],
        "parameters": _echo(outcome.payload),
        "info": json.dumps(_info(outcome, infotexts, int(has_grid)), ensure_ascii=False, allow_nan=False),
    }


def _echo(payload: GenerationPayload) -> dict[str, Any]:
    """The request as it came, with defaults; init images only if asked for."""
    echo = payload.model_dump(mode="json")
    if isinstance(payload, Img2ImgPayload) and not payload.include_init_images:
        echo |= {"init_images": None, "mask": None}
    return echo


def _info(outcome: Outcome, infotexts: Sequence[str], index_of_first_image: int) -> dict[str, Any]:
    job, request = outcome.job, outcome.job.request
    seeds, subseeds = _seeds(request), _subseeds(request)
    info: dict[str, Any] = {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * request.image_count,
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * request.image_count,
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": subseeds[0],
        "all_subseeds": subseeds,
        "subseed_strength": request.variation_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "cfg_scale": request.cfg_scale,
        "steps": request.steps,
        "batch_size": request.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": job.checkpoint.name,
        "sd_model_hash": job.checkpoint.short_hash,
        "sd_vae_name": job.vae.filename if job.vae else None,
        "sd_vae_hash": job.vae.short_hash if job.vae else None,
        "seed_resize_from_w": request.seed_resize_width or -1,
        "seed_resize_from_h": request.seed_resize_height or -1,
        "denoising_strength": part.denoising_strength if (part := request.img2img or request.hires) else None,
        "extra_generation_params": {"Schedule type": request.schedule} | _hires(request),
        "index_of_first_image": index_of_first_image,
        "infotexts": list(infotexts),
        "styles": list(outcome.payload.styles or []),
        "job_timestamp": timestamp(job.created),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": INFOTEXT_VERSION,
        "job_id": job.id,
    }
    notes = {
        "ignored_override_settings": outcome.translated.ignored_settings,
        "infotext_not_carried_over": outcome.translated.not_carried_over,
        "warnings": outcome.status.warnings,
    }
    return info | {name: list(sentences) for name, sentences in notes.items() if sentences}


def _hires(request: GenerationRequest) -> dict[str, Any]:
    parameters = hires_parameters(request.hires) if request.hires else {}
    return {name: value for name, value in parameters.items() if value is not None}


def _seeds(request: GenerationRequest) -> list[int]:
    """Seeds count up over the job, unless there is a variation: then the subseeds do."""
    step = 0 if request.variation_strength > 0 else 1
    return [request.seed + step * index for index in range(request.image_count)]


def _subseeds(request: GenerationRequest) -> list[int]:
    return [request.variation_seed + index for index in range(request.image_count)]


def timestamp(seconds: float) -> str:
    """Local time as A1111 writes it: `20260131235959`."""
    return datetime.fromtimestamp(seconds).strftime("%Y%m%d%H%M%S")


def _grid(pngs: Sequence[bytes], infotext: str) -> bytes:
    """All pictures on one sheet, as square as can be, row by row; PNG."""
    pictures = [Image.open(io.BytesIO(png)) for png in pngs]
    width, height = max(p.width for p in pictures), max(p.height for p in pictures)
    rows = max(1, round(math.sqrt(len(pictures))))
    columns = math.ceil(len(pictures) / rows)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture.convert("RGB"), (index % columns * width, index // columns * height))
    return write_png(sheet, infotext)
