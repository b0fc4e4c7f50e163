"""Reading what pictures say about themselves."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from api import images
from api.access import ServicesOf
from api.schemas import PngInfo, PngInfoPayload
from generation import metadata
from generation.errors import InvalidRequest
from generation.infotext import parse_infotext
from service.limits import Limits


def router() -> APIRouter:
    """Routes below /sdapi/v1."""
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: pictures"])
    add = routes.add_api_route
    add("/png-info", png_info, methods=["POST"], response_model=PngInfo, summary="Infotext of a picture")
    return routes


async def png_info(payload: PngInfoPayload, services: ServicesOf) -> PngInfo:
    """The infotext in a picture of any format, its other text items, and the infotext parsed."""
    if not payload.image:
        raise InvalidRequest("image: there is no picture.", "Send it as base64.", "image")
    return await asyncio.to_thread(_read, payload.image, services.limits)


def _read(encoded: str, limits: Limits) -> PngInfo:
    picture = images.decode(encoded, "image")
    try:
        found = metadata.read_infotext(picture, limits.max_init_pixels)
    except InvalidRequest:
        images.check(picture, limits, "image")
        return PngInfo()  # a sound picture in a format that carries no infotext
    parameters = parse_infotext(found.infotext) if found.infotext else {}
    return PngInfo(info=found.infotext, items=dict(found.items), parameters=parameters)
