"""Hires fix on the page: its controls, and how their values become the second pass of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from generation.request import Hires, limits_of
from generation.upscalers import LATENT_MODES, PIXEL_UPSCALERS
from ui.controls import Controls

SWITCH = "enable_hr"
# Control -> field of Hires.
FIELDS = {
    "hr_upscaler": "upscaler",
    "hr_steps": "steps",
    "hr_denoising_strength": "denoising_strength",
    "hr_scale": "scale",
    "hr_resize_x": "width",
    "hr_resize_y": "height",
}
UI_MAXIMUM = {"steps": 150, "scale": 4, "width": 4096, "height": 4096}
UI_STEP = {"scale": 0.05, "width": 8, "height": 8}


def controls(tab: str) -> Controls:
    """The closed accordion "Hires fix", with A1111's element ids."""
    with gr.Accordion("Hires fix", open=False, elem_id=f"{tab}_hr"):
        switch = gr.Checkbox(
            False, label="Enlarge the picture and refine it in a second pass", elem_id=f"{tab}_enable_hr"
        )
        with gr.Row(elem_classes="easel-pair"):
            upscaler = gr.Dropdown(
                [*(mode.name for mode in LATENT_MODES), *PIXEL_UPSCALERS],
                value=Hires.model_fields["upscaler"].default,
                label="Upscaler",
                elem_id=f"{tab}_hr_upscaler",
                min_width=150,
            )
            steps = _slider(f"{tab}_hires_steps", "steps", "Hires steps (0: as above)")
        with gr.Row(elem_classes="easel-pair"):
            strength = _slider(f"{tab}_denoising_strength", "denoising_strength", "Denoising strength")
            scale = _slider(f"{tab}_hr_scale", "scale", "Upscale by")
        with gr.Row(elem_classes="easel-pair"):
            width = _slider(f"{tab}_hr_resize_x", "width", "Resize width to (0: by the scale)")
            height = _slider(f"{tab}_hr_resize_y", "height", "Resize height to (0: by the scale)")
    made = (upscaler, steps, strength, scale, width, height)
    return {SWITCH: switch, **dict(zip(FIELDS, made, strict=True))}


def take(values: dict[str, Any]) -> dict[str, Any]:  # Any: whatever each control holds
    """Removes the values of these controls from the form's; `{"hires": …}` if the second pass is on, else {}."""
    is_on = bool(values.pop(SWITCH, False))
    given = {field: values.pop(name) for name, field in FIELDS.items() if name in values}
    return {"hires": given} if is_on else {}


def spread(hires: Mapping[str, Any] | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Values of these controls for pasted fields of Hires, and sentences about fields that have no control."""
    if hires is None:
        return {SWITCH: False}, ()
    values = {name: hires[field] for name, field in FIELDS.items() if field in hires}
    without = [field for field in hires if field not in FIELDS.values()]
    sentences = tuple(f"Hires {field}: {hires[field]} is not on this page." for field in without)
    return {SWITCH: True, **values}, sentences


def _slider(elem_id: str, field: str, label: str) -> gr.Slider:
    limits = limits_of(f"hires.{field}")
    return gr.Slider(
        limits.minimum,
        min(limits.maximum, UI_MAXIMUM.get(field, limits.maximum)),
        value=Hires.model_fields[field].default,
        step=UI_STEP.get(field, limits.step),
        label=label,
        elem_id=elem_id,
        min_width=150,
        buttons=[],
    )
