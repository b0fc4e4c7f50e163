"""What txt2img and img2img have in common: the form on the left, the stage on the right, and their wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from generation.errors import UserError
from generation.model_card import ModelCard
from generation.request import GenerationRequest
from service.services import Services
from ui import controls, form, hires, model_defaults, notices, stage, visitor
from ui.controls import Controls
from ui.model_defaults import ADAPTED

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}  # Any: Gradio's own types
# Not part of the draft in the browser: pictures, and what the settings remember.
NOT_KEPT = ("picture", "clip_skip", "eta_noise_seed_delta", "vae")


@dataclass(frozen=True, eq=False)
class Workbench:
    """One tab with a form and a stage."""

    tab: str
    controls: Controls
    stage: gr.HTML
    generate: gr.Button
    paste: gr.Button
    draft: gr.BrowserState

    @property
    def is_img2img(self) -> bool:
        """Whether jobs of this tab start from a picture."""
        return self.tab == "img2img"

    def adapted(self) -> list[gr.components.Component]:
        """The controls that follow the model."""
        return [self.controls[name] for name in ADAPTED]


def build(tab: str, services: Services, more_controls: Callable[[str], Controls] | None = None) -> Workbench:
    """The layout of one tab. `more_controls` adds the tab's own between the prompt and the sampler."""
    examples = model_defaults.examples_for(model_defaults.current_card(services))
    with gr.Row(elem_classes="easel-workbench", equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_classes="easel-form"):
            with gr.Group(elem_classes="easel-card"):
                found = controls.prompt_controls(tab)
                paste = gr.Button(
                    "Take over the parameters in the prompt",
                    elem_id=f"{tab}_paste",
                    elem_classes="easel-tool easel-paste",
                )
            if more_controls is not None:
                found |= more_controls(tab)
            with gr.Group(elem_classes="easel-card"):
                found |= controls.sampling_controls(tab)
                found |= controls.size_controls(tab)
                found |= controls.seed_control(tab)
            if tab == "txt2img":
                found |= hires.controls(tab)
            found |= controls.rare_controls(tab, [card.name for card in services.catalog.vaes()])
            generate = _actions(tab)
        with gr.Column(scale=7, min_width=320, elem_classes="easel-side"):
            live = stage.build_stage(tab, examples)
    draft = gr.BrowserState({}, storage_key=f"easel-{tab}", secret="easel-draft")
    return Workbench(tab, found, live, generate, paste, draft)


def _actions(tab: str) -> gr.Button:
    with gr.Row(elem_id=f"{tab}_actions", elem_classes="easel-actions"):
        generate = gr.Button("Generate", variant="primary", size="lg", elem_id=f"{tab}_generate", scale=4)
        interrupt = gr.Button("Interrupt", size="lg", elem_id=f"{tab}_interrupt", scale=1, min_width=92)
        skip = gr.Button("Skip", size="lg", elem_id=f"{tab}_skip", scale=1, min_width=64)
    for button, name in ((interrupt, "interrupt"), (skip, "skip")):
        send = f"() => {{ document.dispatchEvent(new CustomEvent('easel:{name}', {{detail: '{tab}'}})); }}"
        button.click(None, None, None, js=send, **QUIET)
    return generate


def wire(
    bench: Workbench,
    services: Services,
    checkpoint: gr.Dropdown,
    to_request: Callable[[Mapping[str, Any]], GenerationRequest] = form.to_request,
) -> None:
    """Connect Generate and the page load."""

    def generate(request: gr.Request, **values: Any) -> tuple[stage.Order, Any]:
        try:
            wanted = to_request(values)
            job_id = services.generation.submit(wanted, owner=visitor.owner_of(request) or "")
        except UserError as error:
            notices.warn(error, "Not started")
            return stage.show_error(error), gr.skip()
        kept = {name: value for name, value in values.items() if name in bench.controls and name not in NOT_KEPT}
        return stage.show_job(job_id), kept

    bench.generate.click(
        generate,
        inputs_kwargs={**bench.controls, "model": checkpoint},
        outputs=[bench.stage, bench.draft],
        concurrency_limit=None,
        **QUIET,
    )


def restored(
    bench: Workbench, services: Services, draft: Mapping[str, Any] | None, owner: str | None
) -> list[Any]:
    """Values of the stage and all controls for a page that was just opened."""
    card = model_defaults.current_card(services)
    values = model_defaults.defaults_for(card, services.preferences.get())
    values |= model_defaults.saved_settings(services)
    values |= {name: value for name, value in (draft or {}).items() if fits(bench.controls.get(name), value)}
    order = stage.show_again(
        services, owner, is_img2img=bench.is_img2img, examples=model_defaults.examples_for(card)
    )
    return [order, *(values.get(name, gr.skip()) for name in bench.controls)]


def fits(control: gr.components.Component | None, value: Any) -> bool:
    """Whether a remembered value may go into the control: choices change between versions and models."""
    if isinstance(control, gr.Dropdown):
        return value in [choice for _, choice in control.choices]
    if isinstance(control, gr.Slider):
        return isinstance(value, int | float) and control.minimum <= value <= control.maximum
    return control is not None


def suited_to(
    current: Mapping[str, Any], before: ModelCard | None, after: ModelCard, services: Services
) -> list[Any]:
    """Values of the stage and the adapted controls after another model was chosen."""
    preferences = services.preferences.get()
    values = model_defaults.adapt(
        current,
        model_defaults.defaults_for(before, preferences),
        model_defaults.defaults_for(after, preferences),
    )
    order = {"examples": list(model_defaults.examples_for(after))}
    return [order, *(values[name] for name in ADAPTED)]
