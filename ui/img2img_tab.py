"""The tab that makes a picture from a picture and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from generation.errors import InvalidRequest
from generation.request import GenerationRequest, MaskedContent, ResizeMode
from service.services import Services
from ui import assets, controls, form, uploads, workbench
from ui.controls import Controls
from ui.workbench import Workbench

RESIZE_MODES = [
    ("Just resize", ResizeMode.JUST_RESIZE.value),
    ("Crop and resize", ResizeMode.CROP_AND_RESIZE.value),
    ("Resize and fill", ResizeMode.RESIZE_AND_FILL.value),
    ("Just resize (latent upscale)", ResizeMode.LATENT_UPSCALE.value),
]

MASKED_CONTENT = [
    ("Original", MaskedContent.ORIGINAL.value),
    ("Fill", MaskedContent.FILL.value),
    ("Latent noise", MaskedContent.LATENT_NOISE.value),
    ("Latent nothing", MaskedContent.LATENT_NOTHING.value),
]
INPAINT_FIELDS = ("mask_blur", "content", "only_masked", "padding")


def build(services: Services, checkpoint: gr.Dropdown) -> Workbench:
    """The img2img tab, ready to be used."""
    bench = workbench.build("img2img", services, _picture_controls)
    workbench.wire(
        bench, services, checkpoint, lambda values: to_request(values, services.limits.max_upload_bytes)
    )
    return bench


def to_request(values: Mapping[str, Any], max_bytes: int) -> GenerationRequest:
    """The form's request with the contents of the uploaded picture. Raises UserError."""
    picture = values.get("picture") or {}
    if not picture.get("image"):
        raise InvalidRequest("There is no picture to start from.", "Drop one into the box above.", "init_images")
    inpaint = {name: values[name] for name in INPAINT_FIELDS if name in values}
    rest = {name: value for name, value in values.items() if name != "picture" and name not in inpaint}
    init_images = (uploads.read_upload(str(picture["image"]), max_bytes),)
    if not picture.get("mask"):
        return form.to_request(rest, init_images)
    blur = inpaint.pop("mask_blur", 4)
    mask = uploads.read_upload(str(picture["mask"]), max_bytes)
    return form.to_request(rest, init_images, {**inpaint, "mask": mask, "blur_x": blur, "blur_y": blur})


def _picture_controls(tab: str) -> Controls:
    picture = gr.HTML(
        None,
        html_template=assets.markup("canvas.html"),
        js_on_load=assets.on_load("canvas.js"),
        elem_id=f"{tab}_image",
        elem_classes="easel-picture",
    )
    with gr.Group(elem_classes="easel-card"), gr.Row(elem_classes="easel-pair easel-strength"):
        strength = controls.slider(tab, "img2img.denoising_strength", "Denoising strength")
        resize_mode = gr.Dropdown(
            RESIZE_MODES,
            value=ResizeMode.JUST_RESIZE.value,
            label="Resize mode",
            elem_id=f"{tab}_resize_mode",
            min_width=150,
        )
    shared = {"picture": picture, "denoising_strength": strength, "resize_mode": resize_mode}
    return shared | _mask_controls(tab)


def _mask_controls(tab: str) -> Controls:
    """How the painted part is made anew; without a mask they have no effect."""
    with gr.Accordion("Mask", open=False, elem_id=f"{tab}_mask_options"):
        with gr.Row(elem_classes="easel-pair"):
            blur = gr.Slider(
                0, 64, 4, step=1, label="Mask blur", elem_id=f"{tab}_mask_blur", min_width=150, buttons=[]
            )
            content = gr.Dropdown(
                MASKED_CONTENT,
                value=MaskedContent.ORIGINAL.value,
                label="Masked content",
                elem_id=f"{tab}_inpainting_fill",
                min_width=150,
            )
        with gr.Row(elem_classes="easel-pair"):
            only_masked = gr.Checkbox(
                False,
                label="Only the masked area",
                info="Works on a crop, at full size",
                elem_id=f"{tab}_inpaint_full_res",
                min_width=150,
            )
            padding = gr.Slider(
                0,
                256,
                32,
                step=4,
                label="Padding",
                elem_id=f"{tab}_inpaint_full_res_padding",
                min_width=150,
                buttons=[],
            )
    return {"mask_blur": blur, "content": content, "only_masked": only_masked, "padding": padding}
