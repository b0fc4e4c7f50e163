"""A1111's calls that enlarge finished pictures."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from api import images
from api.access import ServicesOf
from api.errors import NotAvailable
from api.schemas import Payload
from generation.errors import InvalidRequest
from generation.extras import Upscaling, upscaled_png
from generation.upscalers import pixel_upscaler
from service.limits import Limits

MAX_PICTURES = 100
MAX_SIDE = 16_384


class ExtrasPayload(Payload):
    """What both calls share, by A1111's names and with its defaults."""

    resize_mode: int | None = Field(0, ge=0, le=1, description="0: upscaling_resize times; 1: to a size.")
    show_extras_results: bool | None = True
    gfpgan_visibility: float | None = Field(0, ge=0, le=1, description="Not available: leave it at 0.")
    codeformer_visibility: float | None = Field(0, ge=0, le=1, description="Not available: leave it at 0.")
    codeformer_weight: float | None = Field(0, ge=0, le=1)
    upscaling_resize: float | None = Field(2, gt=0, le=16)
    upscaling_resize_w: int | None = Field(512, ge=1, le=MAX_SIDE)
    upscaling_resize_h: int | None = Field(512, ge=1, le=MAX_SIDE)
    upscaling_crop: bool | None = True
    upscaler_1: str | None = "None"
    upscaler_2: str | None = "None"
    extras_upscaler_2_visibility: float | None = Field(0, ge=0, le=1)
    upscale_first: bool | None = False


class ExtrasSinglePayload(ExtrasPayload):
    """Body of POST /sdapi/v1/extra-single-image."""

    image: str | None = Field("", description="Base64 or a data URI.")


class NamedPicture(Payload):
    """One picture of a batch."""

    data: str = Field(description="Base64 or a data URI.")
    name: str | None = ""


class ExtrasBatchPayload(ExtrasPayload):
    """Body of POST /sdapi/v1/extra-batch-images."""

    image_list: list[NamedPicture] = Field(alias="imageList", description="Pictures to work on, in this order.")


def router() -> APIRouter:
    """Routes below /sdapi/v1."""
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: pictures"])
    add = routes.add_api_route
    add("/extra-single-image", extra_single_image, methods=["POST"], summary="Enlarge a finished picture")
    add("/extra-batch-images", extra_batch_images, methods=["POST"], summary="Enlarge finished pictures")
    return routes


async def extra_single_image(payload: ExtrasSinglePayload, services: ServicesOf) -> dict[str, Any]:
    """`{html_info, image}`: the picture as PNG in base64, with its infotext and a chunk `postprocessing`."""
    if not payload.image:
        raise InvalidRequest("image: there is no picture.", "Send it as base64.", "image")
    done = await asyncio.to_thread(_work, payload, [(payload.image, "image")], services.limits)
    return {"html_info": done[0][1], "image": images.as_base64(done[0][0])}


async def extra_batch_images(payload: ExtrasBatchPayload, services: ServicesOf) -> dict[str, Any]:
    """`{html_info, images}`, in the order of `imageList`."""
    if not 0 < len(payload.image_list) <= MAX_PICTURES:
        count = len(payload.image_list)
        message = f"imageList: {count} pictures; send 1 to {MAX_PICTURES}."
        raise InvalidRequest(message, "Send fewer at a time." if count else "Send one.", "imageList")
    given = [(entry.data, "imageList") for entry in payload.image_list]
    done = await asyncio.to_thread(_work, payload, given, services.limits)
    return {"html_info": done[-1][1], "images": [images.as_base64(png) for png, _ in done]}


def _work(payload: ExtrasPayload, given: list[tuple[str, str]], limits: Limits) -> list[tuple[bytes, str]]:
    """PNG and what was done, of each picture. Slow. Raises InvalidRequest, UnknownName or NotAvailable."""
    wanted = _wanted(payload)
    done = []
    for text, field in given:
        picture = images.check(images.decode(text, field), limits, field)
        done.append(upscaled_png(picture, wanted, limits.max_pixels))
    return done


def _wanted(payload: ExtrasPayload) -> Upscaling:
    for field in ("gfpgan_visibility", "codeformer_visibility"):
        if getattr(payload, field):
            raise NotAvailable(f"{field}: face restoration is not available yet.", "Leave it at 0.", field)
    size = payload.upscaling_resize_w or 512, payload.upscaling_resize_h or 512
    return Upscaling(
        upscaler=pixel_upscaler(payload.upscaler_1 or "None", "upscaler_1"),
        scale=payload.upscaling_resize or 2.0,
        to_size=size if payload.resize_mode == 1 else None,
        crop=payload.upscaling_crop is not False,
        second=pixel_upscaler(payload.upscaler_2 or "None", "upscaler_2"),
        second_visibility=payload.extras_upscaler_2_visibility or 0.0,
    )
