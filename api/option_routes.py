"""A1111's options, mapped to the settings that we have."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Body, Depends

from api.access import ServicesOf, only_owners
from api.overrides import PREFERENCE_OF, kept_preferences
from generation.errors import InvalidRequest, UnknownName, UserError
from generation.model_card import ModelCard
from service.services import Services

# Option values are free JSON, hence Any in this file.
Options = dict[str, Any]
CATALOGUE_FIELDS = {"model": "sd_model_checkpoint", "vae": "sd_vae"}  # what the catalogue's errors name
EXAMPLE = {"sd_model_checkpoint": "demo", "CLIP_stop_at_last_layers": 1}


def router() -> APIRouter:
    """Routes below /sdapi/v1."""
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: options"])
    routes.add_api_route("/options", get_options, methods=["GET"], summary="Settings")
    guard = [Depends(only_owners)]
    routes.add_api_route("/options", set_options, methods=["POST"], dependencies=guard, summary="Change settings")
    return routes


async def get_options(services: ServicesOf) -> Options:
    """Settings by A1111's names. Only those that mean something here are listed."""
    preferences = services.preferences.get()
    options: Options = {name: getattr(preferences, ours) for name, ours in PREFERENCE_OF.items()}
    current = current_checkpoint(services)
    options["sd_model_checkpoint"] = current.title if current else None
    options["sd_checkpoint_hash"] = current.sha256 if current else None
    return options | {
        "samples_format": "png",
        "enable_pnginfo": True,
        "randn_source": "CPU",
        "return_grid": True,
        "grid_save": False,
        "live_previews_image_format": "png",
    }


def current_checkpoint(services: Services) -> ModelCard | None:
    """The checkpoint that a request without a model gets; None if there is none."""
    wished = services.preferences.get().sd_model_checkpoint
    try:
        return services.catalog.find(wished) if wished else services.catalog.default()
    except UnknownName:
        return services.catalog.default()


async def set_options(
    services: ServicesOf,
    options: Options = Body(examples=[EXAMPLE]),  # noqa: B008 (FastAPI's way)
) -> Options | None:
    """Changes settings, all or none. Null if all were known, else the names that have no meaning here."""
    changes = kept_preferences(options)
    for name, value in options.items():
        if name in ("sd_model_checkpoint", "sd_vae") and value is not None and not isinstance(value, str):
            raise InvalidRequest(f"{name}: this must be a text, got {ascii(value)[:80]}.", "Send a name.", name)
    try:
        await asyncio.to_thread(lambda: services.preferences.update(**changes))
    except UserError as error:
        theirs = {ours: name for name, ours in PREFERENCE_OF.items()} | CATALOGUE_FIELDS
        error.field = theirs.get(error.field or "", error.field)
        raise
    ignored = [name for name in options if name not in PREFERENCE_OF]
    return {"ignored": ignored} if ignored else None
