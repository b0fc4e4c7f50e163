"""The line above the tabs: brand, model picker, theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from service.services import Services
from ui import assets, model_defaults
from ui.workbench import QUIET


@dataclass(frozen=True)
class TopBar:
    """Its components. `shown` remembers per page which model the forms were last adapted to."""

    checkpoint: gr.Dropdown
    refresh: gr.Button
    shown: gr.State


def build(services: Services) -> TopBar:
    """The line, with the models that are known now; `choices` brings it up to date."""
    with gr.Row(elem_id="easel_top", equal_height=True):
        gr.HTML(
            html_template=assets.markup("brand.html"),
            js_on_load=None,
            elem_id="easel_brand",
            min_width=100,
        )
        found = choices(services)
        checkpoint = gr.Dropdown(
            found["choices"],
            value=found["value"],
            label="Checkpoint",
            show_label=False,
            container=False,
            elem_id="setting_sd_model_checkpoint",
            min_width=160,
        )
        refresh = gr.Button(
            "Look for new models",
            elem_id="refresh_sd_model_checkpoint",
            elem_classes="easel-tool",
            min_width=40,
            scale=0,
        )
        gr.HTML(
            html_template=assets.markup("page_tools.html"),
            js_on_load=assets.on_load("page.js"),
            elem_id="easel_page_tools",
            min_width=44,
        )
    return TopBar(checkpoint, refresh, gr.State(found["value"]))


def choices(services: Services) -> dict[str, Any]:
    """Choices and value of the model picker: titles are shown, names are chosen."""
    card = model_defaults.current_card(services)
    cards = services.catalog.checkpoints()
    return {"choices": [(each.title, each.name) for each in cards], "value": card.name if card else None}


def wire_refresh(top: TopBar, services: Services) -> None:
    """Look for new model files."""

    def refresh() -> Any:
        services.catalog.refresh()
        return gr.Dropdown(**choices(services))

    top.refresh.click(refresh, None, top.checkpoint, **QUIET)
