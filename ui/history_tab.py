"""The tab with all saved pictures. The browser asks our API for them page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from generation.errors import UserError
from service.services import Services
from ui import assets, notices, pasting, uploads, visitor
from ui.workbench import QUIET, Workbench


def build(
    services: Services, tab: gr.Tab, benches: Mapping[str, Workbench], checkpoint: gr.Dropdown, tabs: gr.Tabs
) -> None:
    """The tab's contents and wiring; the pictures are asked for anew whenever the tab is opened."""
    history = gr.HTML(
        None,
        html_template=assets.markup("history.html"),
        js_on_load=assets.on_load("history.js"),
        elem_id="history",
    )
    # Without the server: its answer could come after the first click and take the list away under it.
    tab.select(None, None, None, js="() => { document.dispatchEvent(new Event('easel:history')); }", **QUIET)
    targets = [pasting.targets(bench, checkpoint) for bench in benches.values()]

    def send(event: gr.EventData, request: gr.Request) -> list[Any]:
        wanted = str(event._data["tab"])
        try:
            filled = _filled(services, benches[wanted], checkpoint, int(event._data["image"]), request)
        except UserError as error:
            notices.warn(error, "Not sent")
            return [gr.skip()] * (1 + sum(len(each) for each in targets))
        answers: list[Any] = [gr.Tabs(selected=wanted)]
        for name, each in zip(benches, targets, strict=True):
            answers += filled if name == wanted else [gr.skip()] * len(each)
        return answers

    history.select(send, None, [tabs, *(component for each in targets for component in each)], **QUIET)


def _filled(
    services: Services, bench: Workbench, checkpoint: gr.Dropdown, image_id: int, request: gr.Request
) -> list[Any]:
    row = services.history.get(image_id, visitor.owner_of(request))
    values = pasting.fill(bench, checkpoint, row.infotext, services)
    if bench.is_img2img:
        path = uploads.keep_file(row.path)
        values[1 + list(bench.controls).index("picture")] = {"image": path}
    return values
