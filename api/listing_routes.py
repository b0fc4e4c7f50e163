"""A1111's lists. A list of something we do not have is empty, which is true; nothing is invented."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from fastapi import APIRouter, Depends

from api.access import ServicesOf, User, UserOf, only_owners
from api.metrics_routes import resident_bytes
from generation.model_card import ModelCard
from generation.sampler_info import SAMPLERS, SCHEDULES
from generation.upscalers import LATENT_MODES, PIXEL_UPSCALERS
from service.services import Services

EMPTY_LISTS = {
    "hypernetworks": "Hypernetworks",
    "face-restorers": "Face restorers",
    "realesrgan-models": "RealESRGAN models",
    "prompt-styles": "Prompt styles",
    "script-info": "Arguments of scripts",
    "extensions": "Extensions",
}

# The values are A1111's free JSON, hence Any in this file.


def router() -> APIRouter:
    """Routes below /sdapi/v1."""
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: lists"])
    add = routes.add_api_route
    add("/samplers", samplers, methods=["GET"], summary="Samplers")
    add("/schedulers", schedulers, methods=["GET"], summary="Schedules")
    add("/upscalers", upscalers, methods=["GET"], summary="Upscalers of pixels")
    add("/latent-upscale-modes", latent_upscale_modes, methods=["GET"], summary="Upscalers of latents")
    add("/sd-models", sd_models, methods=["GET"], summary="Checkpoints")
    add("/sd-vae", sd_vae, methods=["GET"], summary="VAE files")
    add("/loras", loras, methods=["GET"], summary="LoRAs")
    guard = [Depends(only_owners)]
    add("/refresh-checkpoints", refresh, methods=["POST"], dependencies=guard, summary="Look for new checkpoints")
    add("/refresh-vae", refresh, methods=["POST"], dependencies=guard, summary="Look for new VAE files")
    add("/refresh-loras", refresh, methods=["POST"], dependencies=guard, summary="Look for new LoRAs")
    for path, summary in EMPTY_LISTS.items():
        add(f"/{path}", nothing, methods=["GET"], name=path, summary=f"{summary}: none are available yet")
    add("/embeddings", embeddings, methods=["GET"], summary="Textual inversions: none are available yet")
    add("/scripts", scripts, methods=["GET"], summary="Scripts: none are available yet")
    add("/cmd-flags", cmd_flags, methods=["GET"], summary="How the server was started; no secrets")
    add("/memory", memory, methods=["GET"], summary="Main memory in bytes")
    return routes


async def samplers() -> list[dict[str, Any]]:
    """Samplers by A1111's names. `options` tell the schedule that "Automatic" means."""
    return [
        {
            "name": info.name,
            "aliases": list(info.aliases),
            "options": {"scheduler": info.default_schedule} if info.default_schedule != "Uniform" else {},
        }
        for info in SAMPLERS
    ]


async def schedulers() -> list[dict[str, Any]]:
    """Noise schedules; the field `scheduler` of a request takes name or label."""
    return [
        {
            "name": info.name,
            "label": info.label,
            "aliases": list(info.aliases) or None,
            "default_rho": info.default_rho,
            "need_inner_model": info.need_inner_model,
        }
        for info in SCHEDULES
    ]


async def upscalers() -> list[dict[str, Any]]:
    """Upscalers that work on pixels, for hires fix and extras; none of them needs a model."""
    return [
        {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4.0}
        for name in PIXEL_UPSCALERS
    ]


async def latent_upscale_modes() -> list[dict[str, str]]:
    """Upscalers that work on latents, for hires fix only."""
    return [{"name": mode.name} for mode in LATENT_MODES]


async def sd_models(services: ServicesOf, user: UserOf) -> list[dict[str, Any]]:
    """Checkpoints. `hash` and `sha256` are null until they are computed in the background."""
    return [
        {
            "title": card.title,
            "model_name": card.name,
            "hash": card.short_hash,
            "sha256": card.sha256,
            "filename": _shown_path(card, user),
            "config": None,
        }
        for card in services.catalog.checkpoints()
    ]


async def sd_vae(services: ServicesOf, user: UserOf) -> list[dict[str, Any]]:
    """VAE files. "Automatic" and "None" may be asked for as well."""
    return [{"model_name": card.filename, "filename": _shown_path(card, user)} for card in services.catalog.vaes()]


async def loras(services: ServicesOf, user: UserOf) -> list[dict[str, Any]]:
    """LoRAs. A prompt uses one by `<lora:name:0.8>`, or by its alias; `metadata` is what its trainer wrote."""
    return await asyncio.to_thread(_loras, services, user)


def _loras(services: Services, user: User) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "alias": services.catalog.lora_alias(card) or name,
            "path": _shown_path(card, user),
            "metadata": services.catalog.lora_metadata(card),
        }
        for name, card in services.catalog.lora_names().items()
    ]


def _shown_path(card: ModelCard, user: User) -> str:
    """Where the file is; guests see only its name."""
    return card.filename if user.is_guest else str(card.path)


async def refresh(services: ServicesOf) -> None:
    """Looks through the model folders again."""
    await asyncio.to_thread(services.catalog.refresh)


async def nothing() -> list[dict[str, Any]]:
    """An empty list."""
    return []


async def embeddings() -> dict[str, dict[str, Any]]:
    """No textual inversions."""
    return {"loaded": {}, "skipped": {}}


async def scripts() -> dict[str, list[str]]:
    """No scripts."""
    return {"txt2img": [], "img2img": []}


async def cmd_flags() -> dict[str, Any]:
    """What A1111's clients look at. Users, passwords and folders are not among it."""
    return {"api": True, "nowebui": False, "api_server_stop": False, "hide_ui_dir_config": True}


async def memory() -> dict[str, Any]:
    """Main memory of the machine, and what this process uses of it."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    free = page * os.sysconf("SC_AVPHYS_PAGES")
    return {
        "ram": {"free": free, "used": resident_bytes() or 0, "total": total},
        "cuda": {"error": "The memory of the device is not measured here."},
    }
