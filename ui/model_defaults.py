"""Settings that suit a model, offered when it is chosen, unless the user has set something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generation.errors import UserError
from generation.model_card import ModelCard, ModelKind
from generation.request import GenerationRequest
from generation.sampler_info import AUTOMATIC
from service.preferences import Preferences
from service.services import Services
from service.submission import NO_VAE

ADAPTED = ("width", "height", "steps", "cfg_scale", "sampler", "schedule")
EXAMPLES = (
    "a lighthouse on a cliff at dusk, oil painting",
    "a fox asleep in autumn leaves, soft light",
    "an isometric cutaway of a tiny bakery",
)

Values = dict[str, Any]  # Any: int, float or str, by field


def current_card(services: Services) -> ModelCard | None:
    """The checkpoint of the preferences, else the catalogue's default; None when there is no model at all."""
    chosen = services.preferences.get().sd_model_checkpoint
    if chosen:
        try:
            return services.catalog.find(chosen)
        except UserError:  # the file is gone: fall back
            pass
    return services.catalog.default()


def defaults_for(card: ModelCard | None, preferences: Preferences) -> Values:
    """Values of the ADAPTED fields: the model's own opinion, else the user's preferences, else the request's."""
    values = {name: GenerationRequest.model_fields[name].default for name in ADAPTED}
    for name in ("steps", "cfg_scale", "sampler", "schedule"):
        values[name] = getattr(preferences, f"default_{name}", None) or values[name]
    if card is not None:
        own = card.defaults
        suited = {
            "width": own.native_size,
            "height": own.native_size,
            "steps": own.default_steps,
            "cfg_scale": own.default_cfg_scale,
            "sampler": own.default_sampler,
            "schedule": own.default_schedule,
        }
        values |= {name: value for name, value in suited.items() if value is not None}
    return values


def saved_settings(services: Services) -> Values:
    """Values of the rare controls that have a place in the settings."""
    preferences = services.preferences.get()
    vae = preferences.sd_vae
    if vae not in (AUTOMATIC, NO_VAE):
        try:
            vae = services.catalog.find(vae, ModelKind.VAE).name
        except UserError:  # the file is gone
            vae = AUTOMATIC
    return {
        "clip_skip": preferences.clip_skip,
        "eta_noise_seed_delta": preferences.eta_noise_seed_delta,
        "vae": vae,
    }


def adapt(current: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> Values:
    """The form's values for another model: a field that still has the old model's default gets the new one's."""
    return {name: after[name] if current[name] == before.get(name) else current[name] for name in ADAPTED}


def examples_for(card: ModelCard | None) -> tuple[str, ...]:
    """Prompts to begin with."""
    return (card.defaults.example_prompts if card else ()) or EXAMPLES
