"""What a file holds is told from names and shapes alone."""

from __future__ import annotations

import pytest

from engine.model_family import Family, find_model, is_vae, other_kind
from tests.model_files import SD1, file_shapes, vae_shapes

REAL = file_shapes(SD1)
K = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def unet(context: int, channels: int = 4, prefix: str = "model.diffusion_model.") -> dict[str, tuple[int, ...]]:
    return {f"{prefix}input_blocks.0.0.weight": (320, channels, 3, 3), prefix + K: (320, context)}


def test_a_whole_file_of_stable_diffusion_1_is_recognised() -> None:
    found = find_model(REAL)
    assert found is not None
    assert (found.family, found.in_channels, found.has_ema) == (Family.SD1, 4, False)
    assert found.vae_prefix == "first_stage_model."
    assert found.text_prefix == "cond_stage_model.transformer."


@pytest.mark.parametrize(
    ("context", "family"),
    [(768, Family.SD1), (1024, Family.SD2), (2048, Family.SDXL), (1280, Family.SDXL_REFINER)],
)
@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", ""])
def test_families_are_told_apart_without_text_encoders(context: int, family: Family, prefix: str) -> None:
    found = find_model(unet(context, prefix=prefix))
    assert found is not None
    assert found.family is family
    assert found.unet_prefix == prefix
    assert found.vae_prefix is None
    assert found.text_prefix is None


def test_inpainting_and_instruction_models_are_told_by_their_input_channels() -> None:
    assert [find_model(unet(768, channels)).in_channels for channels in (4, 8, 9)] == [4, 8, 9]  # type: ignore[union-attr]


def test_a_counter_of_averages_is_no_averaged_copy() -> None:
    assert not find_model({**REAL, "model_ema.decay": (), "model_ema.num_updates": ()}).has_ema  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"], "is a LoRA"),
        (["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"], "is a LoRA"),
        (["lora_te_text_model_encoder_layers_0_mlp_fc1.hada_w1_a"], "is a LoRA"),
        (["unet:0:down", "unet:0:up"], "is a LoRA"),
        (["control_model.input_blocks.0.0.weight"], "is a ControlNet"),
        (["emb_params"], "textual inversion"),
        (["double_blocks.0.img_attn.qkv.weight"], "is a FLUX model"),
        (["double_blocks.0.x", "double_stream_modulation_img.lin.weight"], "is a FLUX.2 model"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "is a Stable Diffusion 3 model"),
        (["noise_refiner.0.attention.out.weight"], "Z-Image"),
        (["transformer_blocks.0.img_mod.1.weight"], "Qwen-Image"),
        (["model.0.weight"], "is an upscaler"),
        (["down_blocks.0.resnets.0.conv1.weight"], "U-Net of a diffusers folder"),
        (["text_model.encoder.layers.0.mlp.fc1.weight"], "is a text encoder"),
        (["weights.0"], "no model that Easel knows"),
    ],
)
def test_other_kinds_of_files_are_called_by_their_name(names: list[str], words: str) -> None:
    shapes = dict.fromkeys(names, (4, 4))
    assert find_model(shapes) is None
    what, hint = other_kind(shapes)
    assert words in what
    assert hint


def test_a_vae_alone_is_a_vae() -> None:
    for prefix in ("", "first_stage_model."):
        shapes = {prefix + name: shape for name, shape in vae_shapes(SD1)}
        assert is_vae(shapes)
        assert "is a VAE" in other_kind(shapes)[0]
    assert not is_vae(REAL)
