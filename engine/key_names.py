"""Names of weights: from the original CompVis layout to diffusers'. Pure text, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
# Attention layers of autoencoders saved by diffusers before 0.12.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

_IN_BLOCK = re.compile(r"input_blocks\.(\d+)\.(\d+)\.(.+)")
_OUT_BLOCK = re.compile(r"output_blocks\.(\d+)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"middle_block\.(\d+)\.(.+)")
_VAE_BLOCK = re.compile(r"(encoder|decoder)\.(down|up)\.(\d+)\.(block\.(\d+)|downsample|upsample)\.(.+)")
_VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid\.(block|attn)_(\d+)\.(.+)")


def _swap(name: str, table: dict[str, str]) -> str | None:
    """`name` with the beginning that stands in `table` replaced; None if none does."""
    for old, new in table.items():
        if name == old or name.startswith(old + "."):
            return new + name[len(old) :]
    return None


def unet_name(name: str, layers_per_block: int = 2) -> str | None:
    """diffusers' name of an original U-Net weight (without prefix); None if it is not one.

    The original numbers its blocks through; diffusers counts blocks of `layers_per_block` layers and a resampler.
    """
    if ended := _swap(name, _UNET_ENDS):
        return ended
    if match := _IN_BLOCK.fullmatch(name):
        number, part, rest = int(match[1]) - 1, int(match[2]), match[3]
        block, layer = divmod(number, layers_per_block + 1)
        if rest.startswith("op."):
            return f"down_blocks.{block}.downsamplers.0.conv.{rest[3:]}"
        return _layer(f"down_blocks.{block}", layer, part, rest)
    if match := _MIDDLE.fullmatch(name):
        number = int(match[1])
        return _layer("mid_block", number // 2, number % 2, match[2])
    if match := _OUT_BLOCK.fullmatch(name):
        block, layer = divmod(int(match[1]), layers_per_block + 1)
        if match[3].startswith("conv."):
            return f"up_blocks.{block}.upsamplers.0.{match[3]}"
        return _layer(f"up_blocks.{block}", layer, int(match[2]), match[3])
    return None


def _layer(block: str, layer: int, part: int, rest: str) -> str | None:
    """Part 0 of a layer is the residual network, part 1 the transformer, whose inner names agree."""
    if part == 0:
        inner = _swap(rest, _RESNET)
        return f"{block}.resnets.{layer}.{inner}" if inner else None
    return f"{block}.attentions.{layer}.{rest}" if part == 1 else None


def vae_name(name: str, levels: int) -> str | None:
    """diffusers' name of an original autoencoder weight (without prefix); None if it is not one.

    `levels`: how many resolutions the decoder has; the original counts them from the finest, diffusers from the
    coarsest.
    """
    if match := _VAE_BLOCK.fullmatch(name):
        side, way, number, what, layer, rest = match.groups()
        block = int(number) if way == "down" else levels - 1 - int(number)
        where = f"{side}.{way}_blocks.{block}"
        if layer is None:
            return f"{where}.{what}rs.0.{rest}"
        return f"{where}.resnets.{layer}.{rest.replace('nin_shortcut', 'conv_shortcut')}"
    if match := _VAE_MIDDLE.fullmatch(name):
        side, what, number, rest = match.groups()
        where = f"{side}.mid_block"
        if what == "block":
            return f"{where}.resnets.{int(number) - 1}.{rest.replace('nin_shortcut', 'conv_shortcut')}"
        inner = _swap(rest, _VAE_ATTENTION)
        return f"{where}.attentions.{int(number) - 1}.{inner}" if inner else None
    if re.fullmatch(r"(post_)?quant_conv\.(weight|bias)|(encoder|decoder)\.conv_(in|out)\.(weight|bias)", name):
        return name
    if match := re.fullmatch(r"(encoder|decoder)\.norm_out\.(weight|bias)", name):
        return f"{match[1]}.conv_norm_out.{match[2]}"
    return None


def vae_levels(names: Iterable[str]) -> int:
    """How many resolutions the decoder of an original autoencoder has."""
    numbers = [int(match[1]) for name in names if (match := re.match(r"decoder\.up\.(\d+)\.", name))]
    return max(numbers, default=-1) + 1


def modern_vae_name(name: str) -> str:
    """Today's name of a weight of a diffusers autoencoder; older folders call attention layers differently."""
    head, dot, tail = name.rpartition(".attentions.0.")
    if not dot:
        return name
    return head + dot + (_swap(tail, _OLD_ATTENTION) or tail)


def clip_name(name: str) -> str | None:
    """The bare name of a weight of a CLIP text model, as transformers 5 has it; None for what is no weight."""
    bare = name.removeprefix("text_model.")
    return None if bare.endswith("position_ids") else bare


_OPEN_CLIP = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_RESBLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")


def open_clip_names(name: str) -> tuple[str, ...]:
    """transformers' names of a weight of an OpenCLIP text model; three (query, key, value) for a joint one.

    None at all for what is no weight of the text model, such as its projection.
    """
    if name in _OPEN_CLIP:
        return (_OPEN_CLIP[name],)
    match = _RESBLOCK.fullmatch(name)
    if match is None:
        return ()
    layer = f"encoder.layers.{match[1]}"
    if match[2].startswith("attn.in_proj_"):
        kind = match[2].removeprefix("attn.in_proj_")
        return tuple(f"{layer}.self_attn.{part}_proj.{kind}" for part in "qkv")
    inner = _swap(match[2], _OPEN_CLIP_LAYER)
    return (f"{layer}.{inner}",) if inner else ()


def ema_name(name: str) -> str:
    """Where the averaged copy of `model.<…>` is kept: its dots are taken out."""
    return "model_ema." + name.removeprefix("model.").replace(".", "")
