"""The controls that txt2img and img2img share: built once, for both, with A1111's element ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from generation.request import GenerationRequest, Img2Img, NoiseSource, limits_of
from generation.sampler_info import AUTOMATIC, SAMPLERS, SCHEDULES
from service.submission import NO_VAE

# Sliders end earlier than requests may go: beyond these, a slider is no way to choose a number.
UI_MAXIMUM = {
    "steps": 150,
    "cfg_scale": 30,
    "width": 2048,
    "height": 2048,
    "batch_count": 100,
    "batch_size": 16,
}
UI_MINIMUM = {"width": 64, "height": 64}
UI_STEP = {"cfg_scale": 0.5}

Controls = dict[str, gr.components.Component]  # field name of the request -> its component


def slider(tab: str, field: str, label: str, *, elem_id: str = "", info: str | None = None) -> gr.Slider:
    """A slider for a numeric field of the request, with the request's own limits and default."""
    limits = limits_of(field)
    name = field.removeprefix("img2img.")
    return gr.Slider(
        max(limits.minimum, UI_MINIMUM.get(name, limits.minimum)),
        min(limits.maximum, UI_MAXIMUM.get(name, limits.maximum)),
        value=_default_of(name),
        step=UI_STEP.get(name, limits.step),
        label=label,
        info=info,
        elem_id=f"{tab}_{elem_id or name}",
        min_width=150,
        buttons=[],
    )


def prompt_controls(tab: str) -> Controls:
    """Prompt and negative prompt."""
    prompt = gr.Textbox(
        label="Prompt",
        lines=3,
        max_lines=12,
        placeholder="Describe the picture you want",
        elem_id=f"{tab}_prompt",
        elem_classes="easel-prompt",
    )
    negative = gr.Textbox(
        label="Negative prompt",
        lines=1,
        max_lines=6,
        placeholder="What should not be in it",
        elem_id=f"{tab}_neg_prompt",
        elem_classes="easel-prompt",
    )
    return {"prompt": prompt, "negative_prompt": negative}


def sampling_controls(tab: str) -> Controls:
    """Sampler, schedule, steps and guidance."""
    with gr.Row(elem_classes="easel-pair"):
        sampler = gr.Dropdown(
            [info.name for info in SAMPLERS],
            value=_default_of("sampler"),
            label="Sampler",
            elem_id=f"{tab}_sampling",
            min_width=150,
        )
        schedule = gr.Dropdown(
            [info.label for info in SCHEDULES],
            value=_default_of("schedule"),
            label="Schedule",
            elem_id=f"{tab}_scheduler",
            min_width=150,
        )
    with gr.Row(elem_classes="easel-pair"):
        steps = slider(tab, "steps", "Steps")
        cfg_scale = slider(tab, "cfg_scale", "CFG scale")
    return {"sampler": sampler, "schedule": schedule, "steps": steps, "cfg_scale": cfg_scale}


def size_controls(tab: str) -> Controls:
    """Width and height with a button that swaps them, and how many pictures."""
    with gr.Row(elem_classes="easel-pair easel-size"):
        width = slider(tab, "width", "Width")
        swap = gr.Button(
            "Swap width and height", elem_id=f"{tab}_swap", elem_classes="easel-tool", min_width=36, scale=0
        )
        height = slider(tab, "height", "Height")
    swap.click(
        None,
        [width, height],
        [width, height],
        js="(width, height) => [height, width]",
        api_visibility="private",
        show_progress="hidden",
    )
    with gr.Row(elem_classes="easel-pair"):
        batch_count = slider(tab, "batch_count", "Batch count")
        batch_size = slider(tab, "batch_size", "Batch size")
    return {"width": width, "height": height, "batch_count": batch_count, "batch_size": batch_size}


def seed_control(tab: str) -> Controls:
    """The seed, with "draw a new one every time" and "use the last one again"; neither asks the server."""
    with gr.Row(elem_classes="easel-seed"):
        seed = gr.Number(
            -1, label="Seed (-1: a new one each time)", precision=0, elem_id=f"{tab}_seed", min_width=140, scale=1
        )
        random = gr.Button(
            "Random seed", elem_id=f"{tab}_random_seed", elem_classes="easel-tool", min_width=44, scale=0
        )
        reuse = gr.Button(
            "Reuse the last seed", elem_id=f"{tab}_reuse_seed", elem_classes="easel-tool", min_width=44, scale=0
        )
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}  # Any: Gradio's own types
    random.click(None, None, seed, js="() => -1", **quiet)
    last_seed = f"(seed) => Number(document.getElementById('{tab}_stage')?.dataset.seed ?? seed)"
    reuse.click(None, seed, seed, js=last_seed, **quiet)
    return {"seed": seed}


def rare_controls(tab: str, vaes: Sequence[str]) -> Controls:
    """What few people change, in a closed accordion (it costs nothing until it is opened)."""
    with gr.Accordion("More", open=False, elem_id=f"{tab}_more"):
        with gr.Row(elem_classes="easel-pair"):
            vae = gr.Dropdown(
                [AUTOMATIC, NO_VAE, *vaes],
                value=AUTOMATIC,
                label="VAE",
                info="None: the one inside the checkpoint",
                elem_id=f"{tab}_vae",
                min_width=150,
            )
            clip_skip = slider(tab, "clip_skip", "Clip skip")
        with gr.Row(elem_classes="easel-pair"):
            variation_seed = gr.Number(
                -1, label="Variation seed", precision=0, elem_id=f"{tab}_subseed", min_width=150
            )
            variation_strength = slider(
                tab, "variation_strength", "Variation strength", elem_id="subseed_strength"
            )
        with gr.Row(elem_classes="easel-pair"):
            eta = gr.Number(
                None, label="Eta", info="Empty: the sampler's own", elem_id=f"{tab}_eta", min_width=150, step=0.05
            )
            seed_delta = gr.Number(
                0, label="Eta noise seed delta", precision=0, elem_id=f"{tab}_ensd", min_width=150
            )
        noise_source = gr.Dropdown(
            [source.value for source in NoiseSource],
            value=NoiseSource.CPU.value,
            label="Noise from",
            info="CPU gives the same picture on every machine",
            elem_id=f"{tab}_noise_source",
        )
    return {
        "vae": vae,
        "clip_skip": clip_skip,
        "variation_seed": variation_seed,
        "variation_strength": variation_strength,
        "eta": eta,
        "eta_noise_seed_delta": seed_delta,
        "noise_source": noise_source,
    }


def _default_of(field: str) -> Any:  # Any: the type of that field
    fields = GenerationRequest.model_fields
    if field in fields:
        return fields[field].default
    return Img2Img.model_fields[field].default
