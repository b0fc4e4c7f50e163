"""A community single file in the original CompVis layout as a plan to load it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from engine.backends.clip import clip_skeleton, clip_tokenizer
from engine.backends.diffusers_networks import unet_skeleton, vae_skeleton
from engine.checkpoint_file import open_weights
from engine.diffusers_folder import latent_format, plan_vae_folder
from engine.key_names import (
    clip_name,
    ema_name,
    modern_vae_name,
    open_clip_names,
    unet_name,
    vae_levels,
    vae_name,
)
from engine.load_plan import ModelPlan, PartPlan, Source, plan_part
from engine.model_configs import Config, ConfigFolder, build, structure_of
from engine.model_family import OPEN_CLIP_PREFIX, VAE_PREFIXES, Family, FoundModel, find_model, other_kind
from engine.prediction import stated_prediction
from engine.training_noise import alphas_cumprod
from engine.weights_file import WeightsFile, unusable
from generation.model_card import ModelCard

OTHER_MODEL = "Choose a Stable Diffusion 1.x or 2.x model."
PADDING = {Family.SD2: "!"}  # what fills a text up to 77 tokens, where it is not the end of text
PLAIN, INPAINTING, INSTRUCTION = 4, 9, 8  # input channels


def plan_single_file(
    card: ModelCard, *, vae: PartPlan | None = None, prefer_ema: bool = True, configs: ConfigFolder | None = None
) -> ModelPlan:
    """Everything needed to load the file, checked. Raises ModelFileError naming what is wrong.

    Where a file holds an averaged copy of its weights (EMA) beside those of the last training step, the average is
    loaded: it is what the model's published pictures were made with. `vae` replaces the file's own autoencoder.
    """
    configs = configs or ConfigFolder()
    file = open_weights(card.path)
    found = find_model(file.shapes, configs.context_widths(Family.loadable()))
    if found is None:
        raise unusable(file.path, *other_kind(file.shapes))
    _check_supported(file.path, found)
    family = found.family.value
    scheduler = configs.of(family, "scheduler")
    return ModelPlan(
        card=card,
        unet=_plan_unet(file, found, prefer_ema, configs.of(family, "unet")),
        vae=vae or _plan_own_vae(file, found, configs.of(family, "vae")),
        text_encoder=_plan_text_encoder(file, found, configs.of(family, "text_encoder")),
        make_tokenizer=partial(clip_tokenizer, configs.clip_merges, PADDING.get(found.family)),
        alphas_cumprod=alphas_cumprod(scheduler),
        prediction_type=stated_prediction(file) or scheduler["prediction_type"],
        latent_format=latent_format(configs.of(family, "vae")),
    )


def _check_supported(path: Path, found: FoundModel) -> None:
    if found.family not in Family.loadable():
        raise unusable(path, f"is {found.family.label}, which Easel does not load", OTHER_MODEL)
    if found.in_channels not in (PLAIN, INPAINTING):
        kind = f"a model with {found.in_channels} input channels"
        if found.in_channels == INSTRUCTION:
            kind = "a model that edits pictures by instruction"
        raise unusable(path, f"is {kind} ({found.family.label}), which Easel does not load", OTHER_MODEL)


def _plan_unet(file: WeightsFile, found: FoundModel, prefer_ema: bool, config: Config) -> PartPlan:
    config = {**config, "in_channels": found.in_channels}
    network = build(unet_skeleton, config, file.path, "U-Net")
    layers = int(config["layers_per_block"])
    sources: dict[str, Source] = {}
    for key in file.tensors:
        if key.startswith(found.unet_prefix) and (name := unet_name(key.removeprefix(found.unet_prefix), layers)):
            average = ema_name(key)
            use_average = prefer_ema and found.has_ema and average in file.tensors
            sources[name] = Source(file, average if use_average else key)
    return plan_part(file.path, "U-Net", network, sources, structure_of(config))


def _plan_own_vae(file: WeightsFile, found: FoundModel, config: Config) -> PartPlan:
    if found.vae_prefix is None:
        hint = f"Put a VAE for {found.family.label} into models/VAE and choose it as the VAE."
        raise unusable(file.path, "contains no VAE", hint)
    return _plan_vae(file, found.vae_prefix, config)


def _plan_vae(file: WeightsFile, prefix: str, config: Config) -> PartPlan:
    network = build(vae_skeleton, config, file.path, "VAE")
    bare = {key.removeprefix(prefix): key for key in file.tensors if key.startswith(prefix)}
    levels = vae_levels(bare)
    sources: dict[str, Source] = {}
    for name, key in bare.items():
        renamed = vae_name(name, levels) if levels else modern_vae_name(name)
        if renamed is not None:
            sources[renamed] = Source(file, key)
    return plan_part(file.path, "VAE", network, sources, structure_of(config))


def plan_vae(path: Path, configs: ConfigFolder | None = None) -> PartPlan:
    """The plan for a VAE on its own: a diffusers folder, or a file in either layout, also out of a checkpoint.

    Raises ModelFileError if it is no VAE for Stable Diffusion.
    """
    if path.is_dir():
        return plan_vae_folder(path if (path / "config.json").is_file() else path / "vae", path)
    file = open_weights(path)
    config = (configs or ConfigFolder()).of(Family.SD1.value, "vae")
    for prefix in ("", *VAE_PREFIXES):
        shape = file.shapes.get(prefix + "decoder.conv_in.weight")
        if shape is None:
            continue
        wanted = config["latent_channels"]
        if shape[1:2] != (wanted,):
            what = f"is a VAE with {shape[1] if len(shape) > 1 else 0} latent channels; this model needs {wanted}"
            raise unusable(path, what, "Choose a VAE made for Stable Diffusion 1.x.")
        return _plan_vae(file, prefix, config)
    raise unusable(path, "holds no VAE", "Choose another VAE, or Automatic.")


def _plan_text_encoder(file: WeightsFile, found: FoundModel, config: Config) -> PartPlan:
    if found.text_prefix is None:
        raise unusable(file.path, "contains no text encoder", "Choose a checkpoint that contains all parts.")
    network = build(clip_skeleton, config, file.path, "text encoder")
    inner = "text_model." if any(key.startswith("text_model.") for key in network.state_dict()) else ""
    if found.text_prefix == OPEN_CLIP_PREFIX:
        sources = _open_clip_sources(file, inner)
    else:
        sources = _clip_sources(file, found.text_prefix, inner)
    return plan_part(file.path, "text encoder", network, sources, structure_of(config))


def _clip_sources(file: WeightsFile, prefix: str, inner: str) -> Mapping[str, Source]:
    sources: dict[str, Source] = {}
    for key in file.tensors:
        if key.startswith(prefix) and (name := clip_name(key.removeprefix(prefix))):
            sources[inner + name] = Source(file, key)
    return sources


def _open_clip_sources(file: WeightsFile, inner: str) -> Mapping[str, Source]:
    sources: dict[str, Source] = {}
    for key, entry in file.tensors.items():
        names = open_clip_names(key.removeprefix(OPEN_CLIP_PREFIX)) if key.startswith(OPEN_CLIP_PREFIX) else ()
        rows = entry.shape[0] // max(len(names), 1) if entry.shape else 0
        for number, name in enumerate(names):
            part = (number * rows, (number + 1) * rows) if len(names) > 1 else None
            sources[inner + name] = Source(file, key, part)
    return sources
