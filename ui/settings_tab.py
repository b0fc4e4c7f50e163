"""The Settings tab, generated from the preferences: what exists, grouped, searchable, saved when it is valid."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any

import gradio as gr

from generation.errors import UserError
from service.preferences import Setting
from service.services import Services
from ui import assets, notices
from ui.controls import Controls
from ui.workbench import QUIET

ELSEWHERE = ("sd_model_checkpoint",)  # has its own place: the top line


def build(services: Services, blocks: gr.Blocks) -> None:
    """The tab's contents and wiring; values are read anew whenever the page is opened.

    Not when the tab is: on a slow line the answer would come after the first edit and undo it.
    """
    settings = _shown(services)
    with gr.Row(elem_id="settings_bar"):
        gr.HTML(
            html_template=assets.markup("settings_search.html"),
            js_on_load=assets.on_load("settings.js"),
            elem_id="settings_search",
        )
        save = gr.Button("Save", variant="primary", elem_id="settings_save", scale=0, min_width=120)
    found: Controls = {}
    for group, members in groupby(settings, key=lambda setting: setting.group):
        with gr.Group(elem_classes="easel-card easel-settings-group"):
            gr.HTML(f"<h2>{group}</h2>", js_on_load=None, elem_classes="easel-group-title")
            found |= {setting.name: control(setting) for setting in members}
    note = gr.HTML("", js_on_load=None, elem_id="settings_note")

    def store(**values: Any) -> str:
        try:
            services.preferences.update(**{name: _typed(services, name, value) for name, value in values.items()})
        except UserError as error:
            notices.warn(error, "Not saved")
            return assets.markup("settings_note.html", state="error", text=escape(str(error)))
        gr.Info("Settings saved.")
        return assets.markup("settings_note.html", state="saved", text="Saved.")

    save.click(store, inputs_kwargs=found, outputs=note, **QUIET)
    blocks.load(lambda: [update(setting) for setting in _shown(services)], None, list(found.values()), **QUIET)


def control(setting: Setting) -> gr.components.Component:
    """The component for one setting, by its type."""
    common: dict[str, Any] = {  # Any: Gradio's own types
        "label": setting.label,
        "info": _help(setting),
        "elem_id": f"setting_{setting.name}",
        "elem_classes": "easel-setting",
    }
    if setting.type is bool:
        return gr.Checkbox(setting.value, **common)
    if setting.choices is not None:
        return gr.Dropdown(list(setting.choices), value=setting.value, **common)
    if setting.type in (int, float):
        limits = {"minimum": setting.minimum, "maximum": setting.maximum, "step": setting.step or 1}
        if None in limits.values() or setting.maximum > 100_000:
            return gr.Number(setting.value, precision=0 if setting.type is int else None, **common)
        return gr.Slider(value=setting.value, buttons=[], **limits, **common)
    return gr.Textbox(setting.value, max_lines=1, **common)


def update(setting: Setting) -> Any:
    """The control's value as it is saved now, with the choices of today."""
    if setting.choices is not None:
        return gr.Dropdown(choices=list(setting.choices), value=setting.value)
    return setting.value


def _shown(services: Services) -> list[Setting]:
    settings = [setting for setting in services.preferences.describe() if setting.name not in ELSEWHERE]
    groups = list(dict.fromkeys(setting.group for setting in settings))
    return sorted(settings, key=lambda setting: groups.index(setting.group))


def _help(setting: Setting) -> str:
    default = setting.default
    if isinstance(default, bool):
        default = "on" if default else "off"
    default = "empty" if default == "" else default
    return f"{setting.help} Default: {default}".strip()


def _typed(services: Services, name: str, value: Any) -> Any:
    """Sliders of whole numbers may send 20.0."""
    kind = next(setting.type for setting in services.preferences.describe() if setting.name == name)
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value
