"""A diffusers folder (model_index.json and a folder a network) as a plan to load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from engine.backends.clip import clip_skeleton, tokenizer_from_folder
from engine.backends.diffusers_networks import unet_skeleton, vae_skeleton
from engine.checkpoint_file import open_weights
from engine.components import LatentFormat
from engine.key_names import clip_name, modern_vae_name
from engine.load_plan import ModelPlan, PartPlan, Source, plan_part
from engine.model_configs import Config, build, read_config, structure_of
from engine.training_noise import alphas_cumprod
from engine.weights_file import WeightsFile, unusable
from generation.errors import ModelFileError
from generation.model_card import ModelCard

WHOLE_FOLDER = "Download the whole folder again."
NETWORK_STEMS = ("diffusion_pytorch_model",)
TEXT_STEMS = ("model", "pytorch_model")
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
PREDICTIONS = ("epsilon", "v_prediction")


def plan_folder(card: ModelCard) -> ModelPlan:
    """Everything needed to load the folder, checked. Raises ModelFileError naming what is wrong."""
    root = card.path
    _check_index(root, read_config(root / "model_index.json", root))
    vae_config = read_config(root / "vae" / "config.json", root)
    scheduler = read_config(root / "scheduler" / "scheduler_config.json", root)
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise unusable(
            root, f"predicts {str(prediction)[:30]!r}, which Easel does not know", "Choose another model."
        )
    return ModelPlan(
        card=card,
        unet=_plan(root, "unet", "U-Net", unet_skeleton, str),
        vae=plan_vae_folder(root / "vae", root),
        text_encoder=_plan(root, "text_encoder", "text encoder", clip_skeleton, clip_name),
        make_tokenizer=partial(_tokenizer, root),
        alphas_cumprod=build(alphas_cumprod, scheduler, root, "scheduler/scheduler_config.json"),
        prediction_type=prediction,
        latent_format=latent_format(vae_config, root / "preview.json"),
    )


def _check_index(root: Path, index: Config) -> None:
    for part, wanted in CLASSES.items():
        entry = index.get(part)
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
            kind = str(index.get("_class_name", "unknown"))[:60]
            hint = "Choose a Stable Diffusion 1.x or 2.x model."
            raise unusable(root, f"is a {kind} without a {part}, which Easel does not load", hint)
        if entry[1] != wanted:
            hint = "Choose a Stable Diffusion 1.x or 2.x model."
            raise unusable(
                root, f"has a {part} of the class {str(entry[1])[:60]}, which Easel does not load", hint
            )
    if index.get("text_encoder_2"):
        raise unusable(root, "is a Stable Diffusion XL model, which Easel does not load", "Choose another model.")


def plan_vae_folder(folder: Path, owner: Path) -> PartPlan:
    """The plan for an autoencoder in diffusers' layout: config.json and its weights."""
    return _plan(owner, folder.name, "VAE", vae_skeleton, modern_vae_name, folder)


def _plan(
    owner: Path,
    name: str,
    title: str,
    skeleton: Callable[[Config], nn.Module],
    rename: Callable[[str], str | None],
    folder: Path | None = None,
) -> PartPlan:
    folder = folder or owner / name
    config = read_config(folder / "config.json", owner)
    network = build(skeleton, config, owner, f"{name}/config.json")
    sources: dict[str, Source] = {}
    prefix = "text_model." if any(key.startswith("text_model.") for key in network.state_dict()) else ""
    for file in _weights(folder, owner, title):
        for key in file.tensors:
            if (renamed := rename(key)) is not None:
                sources[prefix + renamed] = Source(file, key)
    return plan_part(owner, title, network, sources, structure_of(config))


def _weights(folder: Path, owner: Path, title: str) -> list[WeightsFile]:
    """The files with the weights: full precision before fp16, safetensors before .bin, one file before parts."""
    stems = (*NETWORK_STEMS, *TEXT_STEMS)
    for suffix in ("safetensors", "bin"):
        for variant in ("", ".fp16"):
            for stem in stems:
                single = folder / f"{stem}{variant}.{suffix}"
                if single.is_file():
                    return [_opened(single, owner)]
                parts = folder / f"{stem}.{suffix}.index{variant}.json"
                if parts.is_file():
                    return [_opened(file, owner) for file in _parts(parts, owner)]
    raise unusable(owner, f"has no weights of the {title} in its folder {folder.name!r}", WHOLE_FOLDER)


def _parts(index: Path, owner: Path) -> list[Path]:
    table = read_part_names(index, owner)
    if any(Path(name).name != name for name in table):
        raise unusable(owner, f"points to files outside itself in {index.name}", "Do not use this model.")
    return [index.parent / name for name in table]


def read_part_names(index: Path, owner: Path) -> list[str]:
    """Names of the files that a split network lies in, in order."""
    table = read_config(index, owner).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise unusable(owner, f"has an {index.name} without a list of files", WHOLE_FOLDER)
    return sorted({str(name) for name in table.values()})


def _opened(file: Path, owner: Path) -> WeightsFile:
    try:
        return open_weights(file)
    except ModelFileError as error:
        message = f"{owner.name}: {file.parent.name}/{error.message}"
        raise ModelFileError(message, error.hint, error.field) from error


def _tokenizer(root: Path) -> Any:  # Any: a transformers tokenizer is untyped
    try:
        return tokenizer_from_folder(root / "tokenizer")
    except Exception as error:  # libraries raise anything for files they do not expect
        raise unusable(root, "has no tokenizer that can be read", WHOLE_FOLDER) from error


def latent_format(vae: Config, preview: Path | None = None) -> LatentFormat:
    """The latent space of an autoencoder, with the preview colours in `preview` if there are any that fit."""
    blocks = vae.get("block_out_channels", [0])
    plain = LatentFormat(
        channels=int(vae.get("latent_channels", 4)),
        downscale=2 ** (len(blocks) - 1),
        scale=float(vae.get("scaling_factor") or 0.18215),
    )
    colours = _preview_colours(preview, plain.channels) if preview and preview.is_file() else None
    if colours is None:
        return plain
    return LatentFormat(plain.channels, plain.downscale, plain.scale, *colours)


def _preview_colours(
    file: Path, channels: int
) -> tuple[tuple[tuple[float, float, float], ...], tuple[float, float, float]] | None:
    """Factors (channels, 3) and bias (3); None if the file holds none, which is no reason to refuse a model."""
    table: Mapping[str, Any] = read_config(file, file.parent)
    try:
        rows = [tuple(map(float, row)) for row in table["latent_rgb_factors"]]
        bias = tuple(map(float, table.get("latent_rgb_bias", (0, 0, 0))))
    except (KeyError, TypeError, ValueError):
        return None
    if len(rows) != channels or any(len(row) != 3 for row in (*rows, bias)):
        return None
    return tuple((row[0], row[1], row[2]) for row in rows), (bias[0], bias[1], bias[2])
