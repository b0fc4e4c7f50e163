"""Writers of model files: the original CompVis layout at any size, and safetensors files with any header.

The names and shapes of the original layout are written down here a second time, from its own construction (walk
through the blocks of the U-Net), so that a mistake in Easel's translation cannot hide.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from generation.model_card import ModelCard, ModelLayout

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Sizes of a Stable Diffusion file; the defaults are those of 1.x."""

    channels: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    attention_levels: tuple[int, ...] = (0, 1, 2)
    layers: int = 2
    in_channels: int = 4
    context: int = 768
    vae_channels: int = 128
    vae_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    vae_layers: int = 2
    text_layers: int = 12
    text_ff: int = 3072
    vocabulary: int = 49408
    tokens: int = 77
    linear_projections: bool = False  # of the transformers; 2.x has them
    open_clip: bool = False  # the text encoder's layout; 2.x has it, with one layer that is not used


SD1 = Layout()
SD2 = Layout(context=1024, text_layers=24, text_ff=4096, linear_projections=True, open_clip=True)

# 32 is the least width that group norms with 32 groups allow.
TINY = Layout(
    channels=32, multipliers=(1, 2), attention_levels=(0,), layers=1, context=32, vae_channels=32,
    vae_multipliers=(1, 2), vae_layers=1, text_layers=2, text_ff=64, vocabulary=512 + 9 + 2,
)  # fmt: skip
TINY_SD2 = replace(TINY, context=64, text_layers=3, text_ff=128, linear_projections=True, open_clip=True)


def file_shapes(layout: Layout) -> Shapes:
    """Every weight of a whole file in the original layout: 1131 for 1.x."""
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in unet_shapes(layout)}
    shapes |= {f"first_stage_model.{name}": shape for name, shape in vae_shapes(layout)}
    text = open_clip_shapes(layout) if layout.open_clip else clip_shapes(layout)
    prefix = "cond_stage_model.model." if layout.open_clip else "cond_stage_model.transformer.text_model."
    shapes |= {prefix + name: shape for name, shape in text}
    return shapes


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _residual(name: str, inputs: int, outputs: int, embedding: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _norm(f"{name}.in_layers.0", inputs)
    yield from _conv(f"{name}.in_layers.2", inputs, outputs)
    yield from _linear(f"{name}.emb_layers.1", embedding, outputs)
    yield from _norm(f"{name}.out_layers.0", outputs)
    yield from _conv(f"{name}.out_layers.3", outputs, outputs)
    if inputs != outputs:
        yield from _conv(f"{name}.skip_connection", inputs, outputs, 1)


def _transformer(name: str, width: int, layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    projection = _linear if layout.linear_projections else partial(_conv, kernel=1)
    yield from _norm(f"{name}.norm", width)
    yield from projection(f"{name}.proj_in", width, width)
    block = f"{name}.transformer_blocks.0"
    for attention, source in (("attn1", width), ("attn2", layout.context)):
        yield from _linear(f"{block}.{attention}.to_q", width, width, bias=False)
        yield from _linear(f"{block}.{attention}.to_k", source, width, bias=False)
        yield from _linear(f"{block}.{attention}.to_v", source, width, bias=False)
        yield from _linear(f"{block}.{attention}.to_out.0", width, width)
    yield from _linear(f"{block}.ff.net.0.proj", width, 8 * width)
    yield from _linear(f"{block}.ff.net.2", 4 * width, width)
    for number in (1, 2, 3):
        yield from _norm(f"{block}.norm{number}", width)
    yield from projection(f"{name}.proj_out", width, width)


def unet_shapes(layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The U-Net, block by block as the original builds it."""
    width, embedding = layout.channels, 4 * layout.channels
    yield from _linear("time_embed.0", width, embedding)
    yield from _linear("time_embed.2", embedding, embedding)
    yield from _conv("input_blocks.0.0", layout.in_channels, width)
    skips, number, now = [width], 0, width
    for level, multiplier in enumerate(layout.multipliers):
        for _ in range(layout.layers):
            number += 1
            yield from _residual(f"input_blocks.{number}.0", now, multiplier * width, embedding)
            now = multiplier * width
            if level in layout.attention_levels:
                yield from _transformer(f"input_blocks.{number}.1", now, layout)
            skips.append(now)
        if level < len(layout.multipliers) - 1:
            number += 1
            yield from _conv(f"input_blocks.{number}.0.op", now, now)
            skips.append(now)
    yield from _residual("middle_block.0", now, now, embedding)
    yield from _transformer("middle_block.1", now, layout)
    yield from _residual("middle_block.2", now, now, embedding)
    number = -1
    for level, multiplier in reversed(list(enumerate(layout.multipliers))):
        for layer in range(layout.layers + 1):
            number += 1
            yield from _residual(f"output_blocks.{number}.0", now + skips.pop(), multiplier * width, embedding)
            now = multiplier * width
            has_attention = level in layout.attention_levels
            if has_attention:
                yield from _transformer(f"output_blocks.{number}.1", now, layout)
            if level and layer == layout.layers:
                yield from _conv(f"output_blocks.{number}.{1 + has_attention}.conv", now, now)
    yield from _norm("out.0", width)
    yield from _conv("out.2", width, 4)


def _vae_residual(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _norm(f"{name}.norm1", inputs)
    yield from _conv(f"{name}.conv1", inputs, outputs)
    yield from _norm(f"{name}.norm2", outputs)
    yield from _conv(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from _conv(f"{name}.nin_shortcut", inputs, outputs, 1)


def _vae_middle(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _vae_residual(f"{name}.block_1", width, width)
    yield from _norm(f"{name}.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{name}.attn_1.{part}", width, width, 1)
    yield from _vae_residual(f"{name}.block_2", width, width)


def vae_shapes(layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The autoencoder (kl-f8 for real sizes)."""
    base, multipliers = layout.vae_channels, layout.vae_multipliers
    top = base * multipliers[-1]
    yield from _conv("encoder.conv_in", 3, base)
    now = base
    for level, multiplier in enumerate(multipliers):
        for layer in range(layout.vae_layers):
            yield from _vae_residual(f"encoder.down.{level}.block.{layer}", now, multiplier * base)
            now = multiplier * base
        if level < len(multipliers) - 1:
            yield from _conv(f"encoder.down.{level}.downsample.conv", now, now)
    yield from _vae_middle("encoder.mid", now)
    yield from _norm("encoder.norm_out", now)
    yield from _conv("encoder.conv_out", now, 8)
    yield from _conv("quant_conv", 8, 8, 1)
    yield from _conv("post_quant_conv", 4, 4, 1)
    yield from _conv("decoder.conv_in", 4, top)
    yield from _vae_middle("decoder.mid", top)
    now = top
    for level, multiplier in reversed(list(enumerate(multipliers))):
        for layer in range(layout.vae_layers + 1):
            yield from _vae_residual(f"decoder.up.{level}.block.{layer}", now, multiplier * base)
            now = multiplier * base
        if level:
            yield from _conv(f"decoder.up.{level}.upsample.conv", now, now)
    yield from _norm("decoder.norm_out", now)
    yield from _conv("decoder.conv_out", now, 3)


def clip_shapes(layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The text encoder, with the position numbers that old files carry along."""
    width = layout.context
    yield "embeddings.position_ids", (1, layout.tokens)
    yield "embeddings.token_embedding.weight", (layout.vocabulary, width)
    yield "embeddings.position_embedding.weight", (layout.tokens, width)
    for number in range(layout.text_layers):
        layer = f"encoder.layers.{number}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from _linear(f"{layer}.self_attn.{part}", width, width)
        yield from _norm(f"{layer}.layer_norm1", width)
        yield from _linear(f"{layer}.mlp.fc1", width, layout.text_ff)
        yield from _linear(f"{layer}.mlp.fc2", layout.text_ff, width)
        yield from _norm(f"{layer}.layer_norm2", width)
    yield from _norm("final_layer_norm", width)


def open_clip_shapes(layout: Layout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The text encoder as OpenCLIP names it: query, key and value in one matrix, and a projection nobody uses."""
    width = layout.context
    yield "positional_embedding", (layout.tokens, width)
    yield "text_projection", (width, width)
    yield "logit_scale", ()
    yield "token_embedding.weight", (layout.vocabulary, width)
    for number in range(layout.text_layers):
        block = f"transformer.resblocks.{number}"
        yield from _norm(f"{block}.ln_1", width)
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from _linear(f"{block}.attn.out_proj", width, width)
        yield from _norm(f"{block}.ln_2", width)
        yield from _linear(f"{block}.mlp.c_fc", width, layout.text_ff)
        yield from _linear(f"{block}.mlp.c_proj", layout.text_ff, width)
    yield from _norm("ln_final", width)


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Numbers of a size that keeps signals alive, the same for the same seed."""
    source = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("position_ids"):
            weights[name] = torch.arange(math.prod(shape)).reshape(shape)
        elif len(shape) < 2:
            is_gain = "norm" in name or "ln_" in name or name.endswith(("layers.0.weight", "out.0.weight"))
            centre = 1.0 if is_gain and name.endswith("weight") else 0.0
            weights[name] = centre + 0.02 * torch.randn(shape, generator=source)
        else:
            weights[name] = torch.randn(shape, generator=source) / math.sqrt(math.prod(shape[1:]))
    return weights


def tiny_configs(root: Path) -> Path:
    """A folder like engine/configs for the tiny layouts, with a tokenizer of nine byte pairs."""
    for family, layout in (("sd1", TINY), ("sd2", TINY_SD2)):
        _write_configs(root / family, layout)
    (root / "clip").mkdir()
    merges = "#version: 0.2\nt h\na n\ni n\nr e\no n\na t\ne r\nc a\nd o\n"
    (root / "clip" / "merges.txt.gz").write_bytes(gzip.compress(merges.encode(), mtime=0))
    return root


def _write_configs(folder: Path, layout: Layout) -> None:
    folder.mkdir(parents=True)
    levels = range(len(layout.multipliers))
    downs = ["CrossAttnDownBlock2D" if level in layout.attention_levels else "DownBlock2D" for level in levels]
    unet = {
        "in_channels": 4,
        "block_out_channels": [layout.channels * multiplier for multiplier in layout.multipliers],
        "down_block_types": downs,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(downs)],
        "layers_per_block": layout.layers,
        "cross_attention_dim": layout.context,
        "attention_head_dim": [2, 4] if layout.open_clip else 8,
        "use_linear_projection": layout.linear_projections,
    }
    vae_levels = len(layout.vae_multipliers)
    vae = {
        "block_out_channels": [layout.vae_channels * multiplier for multiplier in layout.vae_multipliers],
        "down_block_types": ["DownEncoderBlock2D"] * vae_levels,
        "up_block_types": ["UpDecoderBlock2D"] * vae_levels,
        "layers_per_block": layout.vae_layers,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
    }
    text = {
        "vocab_size": layout.vocabulary,
        "hidden_size": layout.context,
        "intermediate_size": layout.text_ff,
        "num_hidden_layers": layout.text_layers - layout.open_clip,
        "num_attention_heads": 4,
        "max_position_embeddings": layout.tokens,
        "bos_token_id": layout.vocabulary - 2,
        "eos_token_id": layout.vocabulary - 1,
    }
    prediction = None if layout.open_clip else "epsilon"
    scheduler = {"beta_start": 0.00085, "beta_end": 0.012, "prediction_type": prediction}
    for name, config in (("unet", unet), ("vae", vae), ("text_encoder", text), ("scheduler", scheduler)):
        (folder / f"{name}.json").write_text(json.dumps(config))


def card(path: Path, layout: ModelLayout = ModelLayout.SINGLE_FILE) -> ModelCard:
    """The catalogue entry of a file or folder."""
    return ModelCard(name=path.stem, filename=path.name, path=path, layout=layout)


def write_model(path: Path, layout: Layout = TINY, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """A whole .safetensors file in the original layout."""
    weights = random_weights(file_shapes(layout), seed)
    save_file({name: _cast(tensor, dtype) for name, tensor in weights.items()}, path)
    return path


def write_ckpt(path: Path, layout: Layout = TINY, *, seed: int = 0, legacy: bool = False, **extra: object) -> Path:
    """A .ckpt file of PyTorch as trainers write it; `extra` lands beside the state_dict."""
    content = {"state_dict": random_weights(file_shapes(layout), seed), "global_step": 7, **extra}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def with_ema(weights: Mapping[str, torch.Tensor], factor: float) -> dict[str, torch.Tensor]:
    """The weights with an averaged copy of the U-Net beside them that is `factor` times as large."""
    averaged = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): tensor * factor
        for name, tensor in weights.items()
        if name.startswith("model.diffusion_model.")
    }
    return {**weights, **averaged, "model_ema.decay": torch.tensor(0.9999)}


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def write_safetensors_header(path: Path, header: object, data: bytes = b"") -> Path:
    """A safetensors file with any header, sensible or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    """One tensor in a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
