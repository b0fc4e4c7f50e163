"""From a finished picture to the next one: "Send to img2img"."""

from __future__ import annotations

from typing import Any

import gradio as gr

from generation.errors import StorageError, UserError
from service.services import Services
from ui import notices, uploads, visitor
from ui.workbench import QUIET, Workbench

CARRIED = ("prompt", "negative_prompt", "sampler", "schedule", "steps", "cfg_scale")


def wire(source: Workbench, target: Workbench, tabs: gr.Tabs, services: Services) -> None:
    """Let the stage of `source` send its picture, with its settings, to the form of `target`."""
    names = [name for name in (*CARRIED, "width", "height", "seed", "picture") if name in target.controls]

    def send(event: gr.EventData, request: gr.Request) -> list[Any]:
        data = event._data
        try:
            values = carried_over(services, str(data["job"]), int(data["index"]), visitor.owner_of(request))
        except UserError as error:
            notices.warn(error, "Not sent")
            return [gr.skip()] * (len(names) + 1)
        return [gr.Tabs(selected=target.tab), *(values[name] for name in names)]

    source.stage.select(send, None, [tabs, *(target.controls[name] for name in names)], **QUIET)


def carried_over(services: Services, job_id: str, index: int, owner: str | None) -> dict[str, Any]:
    """The picture as an upload, and the settings it was made with. Raises UnknownJob or StorageError."""
    request = services.generation.job(job_id, owner).request
    image = services.generation.status(job_id, owner).images[index]
    try:
        path = uploads.keep_as_upload(image.read_png(), f"{job_id[:8]}-{index}.png")
    except OSError as error:
        raise StorageError("The picture could not be read.", "Its file may have been moved or deleted.") from error
    values = {name: getattr(request, name) for name in CARRIED}
    size = {"width": request.width, "height": request.height}
    return {**values, **size, "seed": image.seed, "picture": {"image": path}}
