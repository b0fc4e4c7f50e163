"""Parameters of a picture -> values of the form, with sentences about everything that could not be taken over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from generation.errors import UserError
from generation.infotext import request_from_infotext
from service.services import Services
from ui import hires, workbench
from ui.workbench import QUIET, Workbench

TELLING = {"steps", "seed", "sampler"}  # a text without any of them is just a prompt


@dataclass(frozen=True)
class Pasted:
    """Values by control name, the name of the model in the picker ("" = leave it), and what is missing."""

    values: Mapping[str, Any]
    model: str
    missing: tuple[str, ...]


def read(text: str, services: Services) -> Pasted:
    """What an infotext says, as far as this server has what it names."""
    pasted = request_from_infotext(text)
    fields = dict(pasted.fields)
    sampling = fields.pop("sampling", {})
    asked = str(fields.pop("model", ""))
    second_pass, without_control = hires.spread(fields.pop("hires", None))
    missing = [*pasted.not_carried_over, *without_control]
    model = ""
    if asked:
        try:
            model = services.catalog.find(asked).name
        except UserError:
            missing.append(f"The model {pasted.model_name or asked!r} is not here: the current one is kept.")
    return Pasted({**fields, **sampling, **second_pass, **pasted.img2img}, model, tuple(missing))


def fill(bench: Workbench, checkpoint: gr.Dropdown, text: str, services: Services) -> list[Any]:
    """Values for `targets`; what the text does not mention stays as it is."""
    try:
        pasted = read(text, services)
    except UserError as error:
        gr.Warning(escape(str(error)), title="Nothing pasted")
        return [gr.skip()] * len(targets(bench, checkpoint))
    known = {
        name: value for name, value in pasted.values.items() if workbench.fits(bench.controls.get(name), value)
    }
    if not known.keys() & TELLING:
        gr.Warning("This text holds no generation parameters.", title="Nothing pasted")
        return [gr.skip()] * len(targets(bench, checkpoint))
    beyond = [name for name in pasted.values if name in bench.controls and name not in known]
    missing = [*pasted.missing, *(f"{name}: {pasted.values[name]} is not possible here." for name in beyond)]
    if missing:
        gr.Info("<br>".join(escape(sentence) for sentence in missing[:8]), title="Not carried over", duration=12)
    return [pasted.model or gr.skip(), *(known.get(name, gr.skip()) for name in bench.controls)]


def targets(bench: Workbench, checkpoint: gr.Dropdown) -> list[gr.components.Component]:
    """The components that `fill` gives values for."""
    return [checkpoint, *bench.controls.values()]


def wire(bench: Workbench, paste: gr.Button, checkpoint: gr.Dropdown, services: Services) -> None:
    """The button beside the prompt: reads the parameters that were pasted into the prompt box."""
    paste.click(
        lambda text: fill(bench, checkpoint, text, services),
        bench.controls["prompt"],
        targets(bench, checkpoint),
        **QUIET,
    )
