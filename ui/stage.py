"""The live stage: one component that shows a job of the server while it is made, and then its pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gradio as gr

from generation.errors import UnknownJob, UserError
from generation.job import JobId, JobStatus
from service.services import Services
from ui import assets

REMEMBERED_SECONDS = 3600  # a finished job older than this is not put on the stage of a new page

Order = dict[str, Any]  # JSON for stage.js: `job` or `error`, `examples`, and `loaded` once the page is complete


def build_stage(tab: str, examples: Sequence[str]) -> gr.HTML:
    """The stage of one tab. Its value is an order for stage.js: see the functions below."""
    return gr.HTML(
        {"examples": list(examples)},
        html_template=assets.markup("stage.html", tab=tab),
        js_on_load=assets.on_load("stage.js"),
        elem_id=f"{tab}_results",
        elem_classes="easel-results",
    )


def show_job(job_id: JobId) -> Order:
    """Follow this job."""
    return {"job": job_id}


def show_error(error: UserError) -> Order:
    """Say what was wrong with a request that never became a job. The time makes every order a new one."""
    return {"error": {"message": error.message, "hint": error.hint}, "at": time.time()}


def show_again(services: Services, owner: str | None, *, is_img2img: bool, examples: Sequence[str]) -> Order:
    """For a page that was just opened: the newest job of this kind, if it is still of interest."""
    order: Order = {"examples": list(examples), "loaded": time.time()}
    newest = _newest_job(services, owner, is_img2img)
    return {**order, "job": newest, "restored": True} if newest else order


def _newest_job(services: Services, owner: str | None, is_img2img: bool) -> JobId | None:
    def is_wanted(status: JobStatus) -> bool:
        if status.finished is not None and time.time() - status.finished > REMEMBERED_SECONDS:
            return False
        try:
            request = services.generation.job(status.id).request
        except UnknownJob:  # forgotten since the list was made
            return False
        return (request.img2img is not None) == is_img2img

    wanted = [status for status in services.generation.jobs(owner) if is_wanted(status)]
    return max(wanted, key=lambda status: status.created).id if wanted else None
