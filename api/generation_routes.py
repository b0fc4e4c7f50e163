"""A1111's calls that make pictures, and those that look at or stop what is being made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import images, translate
from api.access import ServicesOf, User, UserOf
from api.errors import JobFailed
from api.generation_answer import Outcome, answer_of, timestamp
from api.overrides import kept_preferences
from api.schemas import (
    GenerationAnswer,
    GenerationPayload,
    Img2ImgPayload,
    Progress,
    ProgressState,
    Txt2ImgPayload,
)
from api.translate import Translated
from generation.errors import StorageError, UnknownJob, UnknownName, UserError
from generation.job import JobId, JobStatus
from service.services import Services


def router() -> APIRouter:
    """Routes below /sdapi/v1."""
    routes = APIRouter(prefix="/sdapi/v1", tags=["A1111: generation"])
    add = routes.add_api_route
    add("/txt2img", txt2img, methods=["POST"], response_model=GenerationAnswer, summary="Pictures from a prompt")
    add("/img2img", img2img, methods=["POST"], response_model=GenerationAnswer, summary="Pictures from pictures")
    add("/progress", progress, methods=["GET"], response_model=Progress, summary="What runs now")
    add("/interrupt", interrupt, methods=["POST"], summary="End the running job with what is there")
    add("/skip", skip, methods=["POST"], summary="Go on with the next picture")
    return routes


async def txt2img(payload: Txt2ImgPayload, services: ServicesOf, user: UserOf) -> JSONResponse:
    """Makes pictures and waits for them. The job goes on if the client leaves."""
    return await _generate(payload, translate.from_txt2img(payload), services, user)


async def img2img(payload: Img2ImgPayload, services: ServicesOf, user: UserOf) -> JSONResponse:
    """Makes pictures from pictures and waits for them. The job goes on if the client leaves."""
    translated = await asyncio.to_thread(_checked_img2img, payload, services)
    return await _generate(payload, translated, services, user)


def _checked_img2img(payload: Img2ImgPayload, services: Services) -> Translated:
    translated = translate.from_img2img(payload)
    img2img_part = translated.request.img2img
    if img2img_part is not None:
        for picture in img2img_part.init_images:
            images.check(picture, services.limits, "init_images")
        if img2img_part.inpaint is not None:
            images.check(img2img_part.inpaint.mask, services.limits, "mask")
    return translated


async def _generate(
    payload: GenerationPayload, translated: Translated, services: Services, user: User
) -> JSONResponse:
    translated = _with_known_model(translated, services)
    try:
        job_id = _submit(payload, translated, services, user)
    except UserError as error:
        error.field = translate.A1111_NAME.get(error.field or "", error.field)
        raise
    job = services.generation.job(job_id)
    status = await services.generation.result(job_id)
    if status.error is not None:
        raise JobFailed(status.error)
    if payload.override_settings_restore_afterwards is False and not user.is_guest:
        kept = kept_preferences(payload.override_settings)
        await asyncio.to_thread(services.preferences.update, **kept)
    return await asyncio.to_thread(_response, Outcome(payload, job, status, translated))


def _with_known_model(translated: Translated, services: Services) -> Translated:
    """A model that only the infotext names may not be here: then the current one is used, and that is said."""
    if not translated.has_pasted_model:
        return translated
    try:
        services.catalog.find(translated.request.model)
    except UnknownName as error:
        request = translated.request.model_copy(update={"model": ""})
        sentences = (*translated.not_carried_over, error.message)
        return replace(translated, request=request, not_carried_over=sentences)
    return translated


def _submit(payload: GenerationPayload, translated: Translated, services: Services, user: User) -> JobId:
    """The new job, under the client's own task id if that is free: A1111 makes a picture at every call."""
    wished = payload.force_task_id or None
    if wished is not None:
        try:
            services.generation.status(wished)
        except UnknownJob:
            pass
        else:
            wished = None
    return services.generation.submit(translated.request, owner=user.name, job_id=wished)


def _response(outcome: Outcome) -> JSONResponse:
    try:
        return JSONResponse(answer_of(outcome))
    except OSError as error:
        raise StorageError("A saved picture could not be read back.", "Look into the outputs folder.") from error


async def progress(services: ServicesOf, user: UserOf, skip_current_image: bool = False) -> Progress:
    """The running job in A1111's terms; `current_image` is a PNG preview. Others' pictures are not shown."""
    status = services.generation.running()
    if status is None:
        return Progress()
    shown = Progress(
        progress=min(0.99, status.progress),
        eta_relative=services.generation.eta(status.id) or 0.0,
        state=_state(services, status),
    )
    if not _may_see(services, status.id, user):
        return shown
    shown.job_id = status.id
    shown.textinfo = status.phase.value if status.phase else None
    preview = None if skip_current_image else services.generation.look(status.id)
    if preview is not None:
        png = await asyncio.to_thread(images.png_of, preview.jpeg)
        shown.current_image = images.as_base64(png)
    return shown


def _state(services: Services, status: JobStatus) -> ProgressState:
    job = services.generation.job(status.id)
    batches = job.request.batch_count
    kind = "img2img" if job.request.img2img else "txt2img"
    return ProgressState(
        job=f"Batch {status.batch} out of {batches}" if batches > 1 else f"scripts_{kind}",
        job_count=batches,
        job_timestamp=timestamp(job.created),
        job_no=status.batch - 1,
        sampling_step=status.step,
        sampling_steps=status.steps or job.request.steps,
    )


def _may_see(services: Services, job_id: JobId, user: User) -> bool:
    return user.owner is None or services.generation.job(job_id).owner == user.owner


async def interrupt(services: ServicesOf, user: UserOf) -> dict[str, Any]:
    """Ends the running job; its request answers with the unfinished picture. Waiting jobs are spared."""
    status = services.generation.running(user.owner)
    if status is not None:
        services.generation.stop(status.id, keep=True)
    return {}


async def skip(services: ServicesOf, user: UserOf) -> None:
    """Ends the running picture with what is there; the job goes on with its next one."""
    status = services.generation.running(user.owner)
    if status is not None:
        services.generation.skip(status.id)
