"""Choosing a model: the choice is saved, and both forms get the settings that suit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from generation.errors import UserError
from service.services import Services
from ui import notices, top_bar, workbench
from ui.model_defaults import ADAPTED
from ui.top_bar import TopBar
from ui.workbench import QUIET, Workbench


def wire(blocks: gr.Blocks, top: TopBar, benches: Sequence[Workbench], services: Services) -> None:
    """Connect the model picker with the forms, and bring it up to date when the page is opened."""

    def load() -> tuple[Any, Any]:
        found = top_bar.choices(services)
        return gr.Dropdown(**found), found["value"]

    def choose(name: str, shown: str | None, *current: Any) -> list[Any]:
        unchanged = [shown, *[gr.skip()] * len(outputs)]
        if name == shown:  # Gradio's dropdown reports one choice twice
            return unchanged
        try:
            after = services.catalog.find(name)
            services.preferences.update(sd_model_checkpoint=after.title)
            before = services.catalog.find(shown) if shown else None
        except UserError as error:
            notices.warn(error, "Model not changed")
            return unchanged
        answers: list[Any] = []
        for start in range(0, len(current), len(ADAPTED)):
            form = dict(zip(ADAPTED, current[start : start + len(ADAPTED)], strict=True))
            answers += workbench.suited_to(form, before, after, services)
        return [after.name, *answers]

    controls = [control for bench in benches for control in bench.adapted()]
    outputs = [part for bench in benches for part in (bench.stage, *bench.adapted())]
    blocks.load(load, None, [top.checkpoint, top.shown], **QUIET)
    top.checkpoint.input(choose, [top.checkpoint, top.shown, *controls], [top.shown, *outputs], **QUIET)
