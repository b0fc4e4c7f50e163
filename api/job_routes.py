"""The jobs API: submit, follow, fetch, stop. The page's jobs and those of A1111's calls are here as well."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from api import images
from api.access import ServicesOf, UserOf
from api.idempotency import IdempotencyKeys
from api.job_schemas import (
    HistoryImage,
    HistoryPage,
    JobBody,
    JobView,
    PreviewCounter,
    StopBody,
    view,
)
from generation.errors import InvalidRequest, UnknownName
from generation.job import JobStatus
from generation.request import GenerationRequest
from generation.result import GeneratedImage
from service.services import Services

Responses = dict[int | str, dict[str, Any]]  # Any: FastAPI's own type
PNG_ANSWER: Responses = {200: {"content": {"image/png": {}}}}
JPEG_ANSWER: Responses = {200: {"content": {"image/jpeg": {}}}}
EVENTS_ANSWER: Responses = {200: {"content": {"text/event-stream": {}}, "description": "`data:` lines: JobViews"}}
NO_STORE = {"Cache-Control": "no-store"}
# Pictures never change; "private" because they belong to somebody.
KEEP = {"Cache-Control": "private, max-age=31536000, immutable"}
EVENT_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def router() -> APIRouter:
    """Routes below /api/v1."""
    routes = APIRouter(prefix="/api/v1", tags=["jobs"])
    add = routes.add_api_route
    add("/jobs", submit, methods=["POST"], status_code=201, response_model=JobView, summary="Make pictures")
    add("/jobs", jobs, methods=["GET"], response_model=list[JobView], summary="All jobs")
    add("/jobs/{job_id}", job, methods=["GET"], response_model=JobView, summary="One job")
    add("/jobs/{job_id}", cancel, methods=["DELETE"], response_model=JobView, summary="Stop and discard")
    add("/jobs/{job_id}/stop", stop, methods=["POST"], response_model=JobView, summary="Stop")
    add(
        "/jobs/{job_id}/skip",
        skip,
        methods=["POST"],
        response_model=JobView,
        summary="Go on with the next picture",
    )
    add("/jobs/{job_id}/events", events, methods=["GET"], responses=EVENTS_ANSWER, summary="Follow a job")
    add("/jobs/{job_id}/preview", preview, methods=["GET"], responses=JPEG_ANSWER, summary="The newest preview")
    add("/jobs/{job_id}/request", request_of, methods=["GET"], summary="The request, with everything resolved")
    add("/jobs/{job_id}/images/{index}", image, methods=["GET"], responses=PNG_ANSWER, summary="One picture")
    add("/jobs/{job_id}/images/{index}/infotext", infotext, methods=["GET"], summary="How the picture was made")
    add("/history", history, methods=["GET"], response_model=HistoryPage, summary="Saved pictures, newest first")
    add(
        "/history/{image_id}/image",
        history_image,
        methods=["GET"],
        responses=PNG_ANSWER,
        summary="A saved picture",
    )
    return routes


async def submit(
    body: JobBody,
    request: Request,
    response: Response,
    services: ServicesOf,
    user: UserOf,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> JobView:
    """Queues a job. Sent again with the same `Idempotency-Key`, it answers with the first job again."""
    asked = await asyncio.to_thread(_checked, body, services)
    is_new = True
    if idempotency_key is None:
        job_id = services.generation.submit(asked, owner=user.name)
    else:
        keys: IdempotencyKeys = request.app.state.idempotency
        digest = hashlib.sha256(await request.body()).hexdigest()
        job_id, is_new = keys.job(
            user.name, idempotency_key, digest, lambda: services.generation.submit(asked, owner=user.name)
        )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/api/v1/jobs/{job_id}"
    return view(services, services.generation.status(job_id))


def _checked(body: JobBody, services: Services) -> GenerationRequest:
    asked = body.to_request()
    if asked.img2img is not None:
        for picture in asked.img2img.init_images:
            images.check(picture, services.limits, "img2img.init_images")
        if asked.img2img.inpaint is not None:
            images.check(asked.img2img.inpaint.mask, services.limits, "img2img.inpaint.mask")
    return asked


async def jobs(services: ServicesOf, user: UserOf) -> list[JobView]:
    """Running jobs, then waiting ones in order, then finished ones, newest first."""
    return [view(services, status) for status in services.generation.jobs(user.owner)]


async def job(job_id: str, services: ServicesOf, user: UserOf) -> JobView:
    """What is known of the job now."""
    return view(services, services.generation.status(job_id, user.owner))


async def cancel(job_id: str, services: ServicesOf, user: UserOf) -> JobView:
    """Stops the job and discards the unfinished picture; finished ones stay."""
    services.generation.stop(job_id, keep=False, owner=user.owner)
    return view(services, services.generation.status(job_id))


async def stop(job_id: str, services: ServicesOf, user: UserOf, body: StopBody | None = None) -> JobView:
    """Stops the job: a waiting one at once, a running one after its step. The answer comes before it has."""
    services.generation.stop(job_id, keep=body is None or body.keep, owner=user.owner)
    return view(services, services.generation.status(job_id))


async def skip(job_id: str, services: ServicesOf, user: UserOf) -> JobView:
    """Ends the running batch with what is there; the job goes on with its next one."""
    services.generation.skip(job_id, user.owner)
    return view(services, services.generation.status(job_id))


async def events(job_id: str, services: ServicesOf, user: UserOf) -> StreamingResponse:
    """Server-sent events: the status now, at each change and at least every second; ends after the final one."""
    statuses = services.generation.watch(job_id, user.owner)

    async def lines() -> AsyncIterator[str]:
        previews = PreviewCounter()
        async with aclosing(statuses):
            async for status in statuses:
                yield f"data: {view(services, status, previews).model_dump_json()}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers=EVENT_HEADERS)


async def preview(job_id: str, services: ServicesOf, user: UserOf) -> Response:
    """A small JPEG of what is being made. Fetching it counts as watching, so that there will be a next one."""
    found = services.generation.look(job_id, user.owner)
    if found is None:
        raise UnknownName("There is no preview of this job yet.", "Try again in a moment.", "id")
    return Response(found.jpeg, media_type="image/jpeg", headers=NO_STORE)


async def request_of(job_id: str, services: ServicesOf, user: UserOf) -> JSONResponse:
    """The job's request in the form that can be submitted again, seeds and model included; without pictures."""
    asked = services.generation.job(job_id, user.owner).request
    shown = asked.model_dump(mode="json", exclude={"img2img": {"init_images": True, "inpaint": {"mask": True}}})
    return JSONResponse(shown)


async def image(job_id: str, index: int, services: ServicesOf, user: UserOf) -> Response:
    """Picture `index` (from 0) as PNG with its infotext."""
    found = _image(services.generation.status(job_id, user.owner), index)
    return await _png_answer(found, f"{job_id[:8]}-{index}")


async def infotext(job_id: str, index: int, services: ServicesOf, user: UserOf) -> PlainTextResponse:
    """A1111's text of how picture `index` was made."""
    found = _image(services.generation.status(job_id, user.owner), index)
    return PlainTextResponse(found.infotext, headers=KEEP)


def _image(status: JobStatus, index: int) -> GeneratedImage:
    if 0 <= index < len(status.images):
        return status.images[index]
    raise UnknownName(
        f"This job has {len(status.images)} pictures, no number {index}.", "They count from 0.", "index"
    )


async def _png_answer(found: GeneratedImage, name: str) -> Response:
    try:
        png = await asyncio.to_thread(found.read_png)
    except OSError:
        raise UnknownName("The file of this picture is gone.", "It was moved or deleted.", "index") from None
    headers = {**KEEP, "Content-Disposition": f'inline; filename="{name}.png"'}
    return Response(png, media_type="image/png", headers=headers)


async def history(
    services: ServicesOf,
    user: UserOf,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> HistoryPage:
    """Saved pictures, newest first; also those of earlier runs of the server."""
    rows = await asyncio.to_thread(services.history.recent, limit, offset, user.owner)
    total = await asyncio.to_thread(services.history.count, user.owner)
    return HistoryPage(total=total, images=[HistoryImage.of(row) for row in rows])


async def history_image(image_id: int, services: ServicesOf, user: UserOf) -> Response:
    """A saved picture as PNG."""
    if abs(image_id) > 2**62:
        raise InvalidRequest(f"There is no picture {image_id}.", "Numbers are in the history.", "image_id")
    row = await asyncio.to_thread(services.history.get, image_id, user.owner)
    saved = GeneratedImage(row.seed, row.infotext, row.width, row.height, path=row.path)
    return await _png_answer(saved, f"{row.job_id[:8]}-{row.id}")
