"""The tab that makes a picture from words."""

from __future__ import annotations

import gradio as gr

from service.services import Services
from ui import workbench
from ui.workbench import Workbench


def build(services: Services, checkpoint: gr.Dropdown) -> Workbench:
    """The txt2img tab, ready to be used."""
    bench = workbench.build("txt2img", services)
    workbench.wire(bench, services, checkpoint)
    return bench
