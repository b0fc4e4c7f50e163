"""Which kind of model a file holds, decided by names and shapes of its weights. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Shapes = Mapping[str, tuple[int, ...]]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIXES = ("first_stage_model.", "vae.")
CLIP_PREFIX = "cond_stage_model.transformer."
OPEN_CLIP_PREFIX = "cond_stage_model.model."
FEW_EMA_WEIGHTS = 100  # a handful of `model_ema` entries are counters, not a copy of the model


class Family(StrEnum):
    """Architectures with a U-Net that a single file can hold; the value is the name of its configurations."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"
    SDXL_REFINER = "sdxl_refiner"

    @property
    def label(self) -> str:
        """The name in words for people."""
        return _TITLES[self]

    @staticmethod
    def loadable() -> tuple[Family, ...]:
        """The families that Easel loads."""
        return (Family.SD1, Family.SD2)


_TITLES: Mapping[Family, str] = {
    Family.SD1: "Stable Diffusion 1.x",
    Family.SD2: "Stable Diffusion 2.x",
    Family.SDXL: "Stable Diffusion XL",
    Family.SDXL_REFINER: "the refiner of Stable Diffusion XL",
}
# Width of the text features that a U-Net takes: the one number in which all families differ.
CONTEXT_WIDTHS: Mapping[int, str] = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl_refiner"}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """What was found: the family, and which parts are there under which prefix (None = not there).

    `in_channels` tells plain models (4) from inpainting (9) and instruction (8) ones.
    """

    family: Family
    in_channels: int
    unet_prefix: str
    vae_prefix: str | None
    text_prefix: str | None
    has_ema: bool


def find_model(shapes: Shapes, context_widths: Mapping[int, str] = CONTEXT_WIDTHS) -> FoundModel | None:
    """The checkpoint with a U-Net in original layout among these weights; None if there is none.

    `context_widths` adds to the known widths of text features and the families they belong to.
    """
    prefix = _unet_prefix(shapes)
    if prefix is None:
        return None
    first = shapes[prefix + "input_blocks.0.0.weight"]
    context = next((shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), 0)
    name = {**CONTEXT_WIDTHS, **context_widths}.get(context)
    if name is None or len(first) != 4:
        return None
    return FoundModel(
        family=Family(name),
        in_channels=first[1],
        unet_prefix=prefix,
        vae_prefix=_first_prefix(shapes, VAE_PREFIXES, "decoder.conv_in.weight"),
        text_prefix=_text_prefix(shapes),
        has_ema=sum(name.startswith("model_ema.") for name in shapes) > FEW_EMA_WEIGHTS,
    )


def _unet_prefix(shapes: Shapes) -> str | None:
    return _first_prefix(shapes, (UNET_PREFIX, "diffusion_model.", ""), "input_blocks.0.0.weight")


def _first_prefix(shapes: Shapes, prefixes: tuple[str, ...], marker: str) -> str | None:
    return next((prefix for prefix in prefixes if prefix + marker in shapes), None)


def _text_prefix(shapes: Shapes) -> str | None:
    for prefix in (CLIP_PREFIX, OPEN_CLIP_PREFIX, "conditioner."):
        if any(name.startswith(prefix) for name in shapes):
            return prefix
    return None


# Marker weights of what people mistake for a checkpoint, or of families not loaded. First match wins.
_OTHER_KINDS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", ".lora_A.", ".lora_B.", "lora_down", "lora_up",
         ".lora.down", ".lora.up", "hada_w1_a", "lokr_w1", "oft_blocks", "oft_diag",
         "unet:0:", "text_encoder:0:"),
        "is a LoRA, not a checkpoint",
        "Put it into models/Lora and write <lora:name:1> in the prompt.",
    ),
    (("control_model.", "controlnet_cond_embedding", "controlnet_down_blocks", "zero_convs."),
     "is a ControlNet, not a checkpoint", "Put it into models/ControlNet."),
    (("emb_params", "string_to_param", "clip_l", "clip_g"),
     "is a textual inversion embedding, not a checkpoint", "Put it into models/embeddings."),
    (("double_stream_modulation_img.", "model.diffusion_model.double_stream_modulation_img."),
     "is a FLUX.2 model, which Easel does not load", "Choose a Stable Diffusion 1.x or 2.x model."),
    (("double_blocks.", "single_transformer_blocks."),
     "is a FLUX model, which Easel does not load", "Choose a Stable Diffusion 1.x or 2.x model."),
    (("joint_blocks.",), "is a Stable Diffusion 3 model, which Easel does not load",
     "Choose a Stable Diffusion 1.x or 2.x model."),
    (("cap_embedder.", "noise_refiner."), "is a Z-Image or Lumina model, which Easel does not load",
     "Choose a Stable Diffusion 1.x or 2.x model."),
    (("transformer_blocks.0.img_mod",), "is a Qwen-Image model, which Easel does not load",
     "Choose a Stable Diffusion 1.x or 2.x model."),
    (("model.0.weight", "conv_first.weight", "body.0.rdb1"),
     "is an upscaler, not a checkpoint", "Put it into models/ESRGAN."),
    (("down_blocks.0.resnets", "unet.down_blocks.0"),
     "is a U-Net of a diffusers folder, not a whole checkpoint", "Choose the folder that it belongs to."),
)  # fmt: skip


def other_kind(shapes: Shapes) -> tuple[str, str]:
    """For weights that are no loadable checkpoint: what they are instead, and what to do with them."""
    for markers, what, hint in _OTHER_KINDS:
        if any(marker in name for name in shapes for marker in markers):
            return what, hint
    if is_vae(shapes):
        return "is a VAE, not a checkpoint", "Put it into models/VAE and choose it as the VAE."
    if _unet_prefix(shapes) is not None:
        return "is a model of a family that Easel does not know", "Choose a Stable Diffusion 1.x or 2.x model."
    if any("text_model.encoder" in name or "transformer.resblocks" in name for name in shapes):
        return "is a text encoder, not a whole checkpoint", "Choose a checkpoint that contains the U-Net too."
    return "holds no model that Easel knows", "Choose a Stable Diffusion 1.x or 2.x model."


def is_vae(shapes: Shapes) -> bool:
    """True if there is an autoencoder and no U-Net."""
    decoders = ("decoder.conv_in.weight", *(prefix + "decoder.conv_in.weight" for prefix in VAE_PREFIXES))
    return any(name in shapes for name in decoders) and _unet_prefix(shapes) is None
