"""Translated names: every weight of a real Stable Diffusion 1.x file finds its place, with its shape."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

from engine.backends.clip import clip_skeleton
from engine.backends.diffusers_networks import unet_skeleton, vae_skeleton
from engine.key_names import clip_name, ema_name, modern_vae_name, open_clip_names, unet_name, vae_levels, vae_name
from engine.model_configs import ConfigFolder
from tests.model_files import SD1, SD2, Layout, clip_shapes, file_shapes, open_clip_shapes, unet_shapes, vae_shapes


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1, 1) else shape


def test_a_real_file_has_1131_weights() -> None:
    assert len(file_shapes(SD1)) == 1131


@pytest.mark.parametrize(("family", "layout"), [("sd1", SD1), ("sd2", SD2)])
def test_every_unet_weight_is_placed_and_none_is_left_over(family: str, layout: Layout) -> None:
    wanted = shapes_of(unet_skeleton(ConfigFolder().of(family, "unet")))
    assert {unet_name(name, 2): shape for name, shape in unet_shapes(layout)} == wanted


def test_every_vae_weight_is_placed_and_none_is_left_over() -> None:
    wanted = shapes_of(vae_skeleton(ConfigFolder().of("sd1", "vae")))
    names = dict(vae_shapes(SD1))
    found = {vae_name(name, vae_levels(names)): squeezed(shape) for name, shape in names.items()}
    assert found == {name: squeezed(shape) for name, shape in wanted.items()}


def test_every_text_encoder_weight_is_placed_and_none_is_left_over() -> None:
    wanted = shapes_of(clip_skeleton(ConfigFolder().of("sd1", "text_encoder")))
    found = {clip_name(f"text_model.{name}"): shape for name, shape in clip_shapes(SD1)}
    assert {name: shape for name, shape in found.items() if name} == wanted


def test_every_open_clip_weight_is_placed_and_the_last_layer_is_left_over() -> None:
    wanted = shapes_of(clip_skeleton(ConfigFolder().of("sd2", "text_encoder")))
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in open_clip_shapes(SD2):
        names = open_clip_names(name)
        found |= {part: (shape[0] // len(names), *shape[1:]) for part in names}
    assert {name: shape for name, shape in found.items() if ".layers.23." not in name} == wanted


def test_names_agree_with_diffusers_own_converters() -> None:
    numbers = {name: torch.full((1, 1), float(k)) for k, name in enumerate(file_shapes(SD1))}
    configs = ConfigFolder()
    unet = convert_ldm_unet_checkpoint(dict(numbers), configs.of("sd1", "unet"))
    for name in dict(unet_shapes(SD1)):
        assert torch.equal(unet[str(unet_name(name, 2))], numbers[f"model.diffusion_model.{name}"]), name
    vae = convert_ldm_vae_checkpoint(dict(numbers), configs.of("sd1", "vae"))
    for name in dict(vae_shapes(SD1)):
        assert torch.equal(vae[str(vae_name(name, 4))], numbers[f"first_stage_model.{name}"]), name


@pytest.mark.parametrize(
    "name", ["", "loss.logvar", "input_blocks.1.7.x", "time_embed", "input_blocks.x.0.op.bias"]
)
def test_what_is_no_weight_of_the_network_gets_no_name(name: str) -> None:
    assert unet_name(name) is None
    assert vae_name(name, 4) is None


def test_older_names_of_attention_layers_become_todays() -> None:
    place = "decoder.mid_block.attentions.0"
    assert modern_vae_name(f"{place}.query.weight") == f"{place}.to_q.weight"
    assert modern_vae_name(f"{place}.proj_attn.bias") == f"{place}.to_out.0.bias"
    assert modern_vae_name(f"{place}.to_q.weight") == f"{place}.to_q.weight"
    assert modern_vae_name("decoder.conv_in.weight") == "decoder.conv_in.weight"


def test_the_averaged_copy_of_a_weight_has_no_dots_in_its_name() -> None:
    assert ema_name("model.diffusion_model.out.2.bias") == "model_ema.diffusion_modelout2bias"
