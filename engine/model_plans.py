"""From a catalogue entry to a checked plan, whatever its layout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.diffusers_folder import plan_folder
from engine.load_plan import ModelPlan, PartPlan
from engine.model_configs import ConfigFolder
from engine.single_file import plan_single_file, plan_vae
from engine.weights_file import unusable
from generation.model_card import ModelCard, ModelLayout


def plan_model(card: ModelCard, vae: ModelCard | None = None, configs: ConfigFolder | None = None) -> ModelPlan:
    """The plan to load a checkpoint, with another VAE if one is chosen. Reads headers, no weights.

    Raises ModelFileError naming the file, what is wrong, and what to do.
    """
    chosen = plan_vae(vae.path, configs) if vae is not None else None
    if card.layout is ModelLayout.SINGLE_FILE:
        return plan_single_file(card, vae=chosen, configs=configs)
    plan = plan_folder(card)
    if vae is None or chosen is None:
        return plan
    _check_same_latents(vae, plan.vae, chosen)
    return replace(plan, vae=chosen)


def _check_same_latents(vae: ModelCard, own: PartPlan, chosen: PartPlan) -> None:
    """Raises ModelFileError if the chosen VAE has latents of another size than the model's own."""
    sizes = [_latent_size(part) for part in (own, chosen)]
    if sizes[0] != sizes[1]:
        what = f"is a VAE with {sizes[1][0]} latent channels at 1/{2 ** (sizes[1][1] - 1)} of the size"
        wanted = f"this model needs {sizes[0][0]} at 1/{2 ** (sizes[0][1] - 1)}"
        raise unusable(vae.path, f"{what}; {wanted}", "Choose another VAE, or Automatic.")


def _latent_size(part: PartPlan) -> tuple[int, int]:
    """Latent channels and number of resolutions of an autoencoder."""
    config: Any = part.skeleton.config  # diffusers' table of settings
    return config.latent_channels, len(config.block_out_channels)
