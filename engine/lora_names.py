"""Names in LoRA files, of all trainers, and the networks' weights they mean. Pure text, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Endings of the files' names and the part they stand for; longer ones first where one ends with another.
_PARTS: Mapping[str, str] = {
    ".lora_linear_layer.down.weight": "lora_down",
    ".lora_linear_layer.up.weight": "lora_up",
    "_lora.down.weight": "lora_down",
    "_lora.up.weight": "lora_up",
    ".lora_magnitude_vector.weight": "dora_scale",
    ".lora_magnitude_vector": "dora_scale",
    ".lora_down.weight": "lora_down",
    ".lora_up.weight": "lora_up",
    ".lora_mid.weight": "lora_mid",
    ".lora_A.default.weight": "lora_down",
    ".lora_B.default.weight": "lora_up",
    ".lora_A.weight": "lora_down",
    ".lora_B.weight": "lora_up",
    ".lora.down.weight": "lora_down",
    ".lora.up.weight": "lora_up",
    ":down": "lora_down",
    ":up": "lora_up",
}
_PLAIN_PARTS = (
    "alpha", "dora_scale", "diff", "diff_b", "oft_blocks",
    "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
    "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
)  # fmt: skip

# The order in which cloneofsimo's trainer numbers the linear layers of a block (its 2022 version).
_UNET_ORDER = (
    *(f"attn1.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")),
    "ff.net.0.proj",
    *(f"attn2.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")),
)
_TEXT_ORDER = ("k_proj", "v_proj", "q_proj", "out_proj")

_TEXT_READERS = (6, 7)
_READS_TEXT = re.compile(r"attn2[._](processor\.)?to_[kv]")

_LAYER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)")
_RESAMPLER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(?:down|up)samplers\.0\.conv")
_MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_RESNET = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "conv_in": "input_blocks.0.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
}  # fmt: skip


def split_name(name: str) -> tuple[str, str] | None:
    """(target, part) of a name in a LoRA file, like ("lora_unet_conv_in", "lora_up"); None if it is not one."""
    for ending, part in _PARTS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), part
    head, dot, tail = name.rpartition(".")
    return (head, tail) if dot and tail in _PLAIN_PARTS else None


def unet_targets(names: Iterable[str], layers_per_block: int, has_attention: Mapping[int, bool]) -> dict[str, str]:
    """Every name a trainer may use for a layer of a U-Net -> the layer's name in diffusers' U-Net.

    `names` are those of the layers with weights, in the network's own order. `has_attention` tells for each up
    block whether it has transformers, which the original's numbers of up-samplers depend on.
    """
    targets: dict[str, str] = {}
    blocks: list[str] = []
    for name in names:
        targets["lora_unet_" + name.replace(".", "_")] = name
        targets["unet." + name] = name
        targets["unet." + re.sub(r"\.(to_[qkv]|to_out)(\.0)?$", r".processor.\1", name)] = name
        if original := original_name(name, layers_per_block, has_attention):
            targets["lora_unet_" + original.replace(".", "_")] = name
        if name.endswith(".attn1.to_q"):
            blocks.append(name.removesuffix("attn1.to_q"))
    numbered = (block + layer for block in blocks for layer in _UNET_ORDER)
    targets |= {f"unet:{number}": name for number, name in enumerate(numbered)}
    return targets


def original_name(name: str, layers_per_block: int, has_attention: Mapping[int, bool]) -> str | None:
    """The original CompVis name of a layer of diffusers' U-Net; None for what it does not name."""
    if name in _ENDS:
        return _ENDS[name]
    if match := _LAYER.fullmatch(name):
        where, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        number = block * (layers_per_block + 1) + layer
        place = f"input_blocks.{number + 1}" if where == "down_blocks" else f"output_blocks.{number}"
        return _part(place, kind, rest)
    if match := _RESAMPLER.fullmatch(name):
        block = int(match[2])
        last = block * (layers_per_block + 1) + layers_per_block
        if match[1] == "down_blocks":
            return f"input_blocks.{last + 1}.0.op"
        return f"output_blocks.{last}.{1 + has_attention.get(block, False)}.conv"
    if match := _MIDDLE.fullmatch(name):
        number = 1 if match[1] == "attentions" else 2 * int(match[2])
        return _part(f"middle_block.{number}", match[1], match[3], is_numbered=True)
    return None


def _part(place: str, kind: str, rest: str, *, is_numbered: bool = False) -> str | None:
    if kind == "attentions":
        return f"{place}.{rest}" if is_numbered else f"{place}.1.{rest}"
    if rest not in _RESNET:
        return None
    return f"{place}.{_RESNET[rest]}" if is_numbered else f"{place}.0.{_RESNET[rest]}"


def text_targets(names: Iterable[str]) -> dict[str, str]:
    """Every name a trainer may use for a layer of a CLIP text encoder -> the layer's own name."""
    targets: dict[str, str] = {}
    layers: list[str] = []
    for name in names:
        bare = name.removeprefix("text_model.")
        for written in (bare, f"text_model.{bare}"):
            targets["lora_te_" + written.replace(".", "_")] = name
            targets["text_encoder." + written] = name
        old = re.sub(r"self_attn\.([qkv]|out)_proj$", r"self_attn.to_\1", bare)
        targets[f"text_encoder.text_model.{old}"] = name
        if name.endswith("self_attn.q_proj"):
            layers.append(name.removesuffix("q_proj"))
    numbered = (layer + part for layer in layers for part in _TEXT_ORDER)
    targets |= {f"text_encoder:{number}": name for number, name in enumerate(numbered)}
    return targets


def lora_family(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which models a LoRA is for, in words for people; None if its names and shapes do not tell."""
    if any(name.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.")) for name in shapes):
        return "SDXL"
    if any("double_blocks" in name or "single_transformer_blocks" in name for name in shapes):
        return "FLUX"
    if any("joint_blocks" in name for name in shapes):
        return "Stable Diffusion 3"
    widths = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}
    for name, shape in shapes.items():
        is_input = name.endswith(("lora_down.weight", "lora_A.weight", ".down.weight", "hada_w1_b"))
        numbered = re.fullmatch(r"unet:(\d+):down", name)
        reads_text = int(numbered[1]) % 9 in _TEXT_READERS if numbered else is_input and _READS_TEXT.search(name)
        if reads_text and len(shape) > 1:
            return widths.get(shape[1])
    return None
