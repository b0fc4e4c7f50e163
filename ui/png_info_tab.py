"""The tab that shows how a picture was made and brings its parameters back into a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from generation.errors import UserError
from generation.metadata import read_infotext
from service.services import Services
from ui import assets, notices, pasting, uploads
from ui.workbench import QUIET, Workbench

NOTHING = "This picture says nothing about how it was made."


def build(services: Services, benches: Sequence[Workbench], checkpoint: gr.Dropdown, tabs: gr.Tabs) -> None:
    """The tab's contents and wiring."""
    with gr.Row(elem_classes="easel-workbench", equal_height=False):
        with gr.Column(scale=5, min_width=320):
            picture = gr.HTML(
                None,
                html_template=assets.markup("canvas.html"),
                js_on_load=assets.on_load("canvas.js"),
                elem_id="pnginfo_image",
                elem_classes="easel-picture easel-plain-picture",
            )
        with gr.Column(scale=7, min_width=320):
            text = gr.Textbox(
                label="Parameters",
                lines=8,
                max_lines=30,
                interactive=False,
                placeholder="Drop a picture: its parameters appear here",
                buttons=["copy"],
                elem_id="pnginfo_text",
            )
            with gr.Row(elem_classes="easel-send-row"):
                buttons = [
                    gr.Button(f"Send to {bench.tab}", elem_id=f"pnginfo_send_{bench.tab}") for bench in benches
                ]

    def show(value: Any) -> str:
        try:
            return parameters(value, services.limits.max_upload_bytes)
        except UserError as error:
            notices.warn(error, "Not read")
            return ""

    picture.change(show, picture, text, **QUIET)
    for button, bench in zip(buttons, benches, strict=True):
        _wire_sending(button, bench, text, picture, checkpoint, tabs, services)


def parameters(value: Mapping[str, Any] | None, max_bytes: int) -> str:
    """The infotext of the uploaded picture, or a sentence that there is none. Raises UserError."""
    if not value or not value.get("image"):
        return ""
    return read_infotext(uploads.read_upload(str(value["image"]), max_bytes)).infotext or NOTHING


def _wire_sending(
    button: gr.Button,
    bench: Workbench,
    text: gr.Textbox,
    picture: gr.HTML,
    checkpoint: gr.Dropdown,
    tabs: gr.Tabs,
    services: Services,
) -> None:
    def send(infotext: str, value: Any) -> list[Any]:
        values = pasting.fill(bench, checkpoint, infotext, services)
        if bench.is_img2img and value:
            values[1 + list(bench.controls).index("picture")] = {"image": value["image"]}
        return [gr.Tabs(selected=bench.tab), *values]

    button.click(send, [text, picture], [tabs, *pasting.targets(bench, checkpoint)], **QUIET)
