"""LoRAs of all kinds: the right change, taken out bit for bit, and refused when they do not fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.backends.clip import clip_skeleton
from engine.backends.diffusers_networks import unet_skeleton
from engine.key_names import unet_name
from engine.load_plan import LoadingStopped
from engine.lora import LoraMerger
from engine.lora_math import weight_change
from engine.lora_names import lora_family, original_name, split_name
from engine.model_configs import ConfigFolder
from generation.errors import ModelFileError
from generation.lora_use import LoraUse
from tests.engine import tiny
from tests.model_files import SD1, unet_shapes

Weights = dict[str, torch.Tensor]
SOURCE = torch.Generator().manual_seed(5)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=SOURCE)


# The change of one weight, each kind against its definition.


def test_lora_of_a_linear_layer_adds_its_two_maps_in_a_row() -> None:
    weight, down, up, x = random(6, 10), random(2, 10), random(6, 2), random(3, 10)
    change = weight_change({"lora_down": down, "lora_up": up, "alpha": torch.tensor(1.0)}, weight, 0.8)
    assert change is not None
    assert torch.allclose(
        x @ (weight + change).t(), x @ weight.t() + 0.8 * 0.5 * (x @ down.t() @ up.t()), atol=1e-5
    )


@pytest.mark.parametrize("with_middle", [False, True])
def test_lora_of_a_convolution_adds_its_convolutions_in_a_row(with_middle: bool) -> None:
    weight, x = random(6, 4, 3, 3), random(1, 4, 8, 8)
    down, up = random(2, 4, 3, 3), random(6, 2, 1, 1)
    parts = {"lora_down": down, "lora_up": up}
    wanted = nn.functional.conv2d(nn.functional.conv2d(x, down, padding=1), up)
    if with_middle:
        first, middle = random(2, 4, 1, 1), random(2, 2, 3, 3)
        parts = {"lora_down": first, "lora_up": up, "lora_mid": middle}
        inner = nn.functional.conv2d(nn.functional.conv2d(x, first), middle, padding=1)
        wanted = nn.functional.conv2d(inner, up)
    change = weight_change(parts, weight, 1.0)
    assert change is not None
    assert torch.allclose(nn.functional.conv2d(x, change, padding=1), wanted, atol=1e-4)


def test_loha_is_the_product_of_two_low_rank_matrices_element_by_element() -> None:
    parts = {
        "hada_w1_a": random(6, 2),
        "hada_w1_b": random(2, 9),
        "hada_w2_a": random(6, 2),
        "hada_w2_b": random(2, 9),
    }
    change = weight_change({**parts, "alpha": torch.tensor(4.0)}, torch.zeros(6, 9), 1.0)
    values = {name: part.numpy() for name, part in parts.items()}
    first, second = values["hada_w1_a"] @ values["hada_w1_b"], values["hada_w2_a"] @ values["hada_w2_b"]
    assert change is not None
    assert np.allclose(change.numpy(), first * second * 2, atol=1e-5)


def test_lokr_is_a_kronecker_product() -> None:
    first, second = random(2, 3), random(3, 4)
    change = weight_change(
        {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(9.0)}, torch.zeros(6, 12), 1.0
    )
    assert change is not None
    assert np.allclose(change.numpy(), np.kron(first.numpy(), second.numpy()), atol=1e-5)
    left, right = random(3, 2), random(2, 4)
    parts = {"lokr_w1": first, "lokr_w2_a": left, "lokr_w2_b": right, "alpha": torch.tensor(1.0)}
    change = weight_change(parts, torch.zeros(6, 12), 1.0)
    assert change is not None
    assert np.allclose(change.numpy(), np.kron(first.numpy(), (left @ right).numpy()) / 2, atol=1e-5)


def test_dora_sets_the_length_of_every_row() -> None:
    weight, magnitude = random(6, 10), random(6, 1).abs() + 0.1
    parts = {"lora_down": random(2, 10), "lora_up": random(6, 2), "dora_scale": magnitude}
    change = weight_change(parts, weight, 1.0)
    assert change is not None
    assert torch.allclose((weight + change).norm(dim=1), magnitude.flatten(), atol=1e-5)
    half = weight_change(parts, weight, 0.5)
    assert half is not None
    assert torch.allclose(half, change / 2, atol=1e-6)


def test_dora_of_inputs_sets_the_length_of_every_column() -> None:
    weight, magnitude = random(6, 10), random(1, 10).abs() + 0.1
    change = weight_change({"diff": random(6, 10), "dora_scale": magnitude}, weight, 1.0)
    assert change is not None
    assert torch.allclose((weight + change).norm(dim=0), magnitude.flatten(), atol=1e-5)


def test_oft_rotates_outputs_and_keeps_lengths() -> None:
    weight = random(6, 10)
    change = weight_change({"oft_blocks": random(3, 2, 2)}, weight, 1.0)
    assert change is not None
    rotated = weight + change
    assert not torch.allclose(rotated, weight, atol=0.1)
    assert torch.allclose(rotated.reshape(3, 2, 10).norm(dim=1), weight.reshape(3, 2, 10).norm(dim=1), atol=1e-4)


def test_a_full_difference_is_added() -> None:
    weight, difference = random(4, 3, 3, 3), random(4, 3, 3, 3)
    change = weight_change({"diff": difference}, weight, -0.5)
    assert change is not None
    assert torch.allclose(change, -0.5 * difference)


def test_a_change_for_a_weight_the_other_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        weight_change({"lora_down": random(2, 6), "lora_up": random(10, 2)}, random(6, 10), 1.0)


# Names.


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("lora_unet_conv_in.lora_up.weight", ("lora_unet_conv_in", "lora_up")),
        ("lora_unet_conv_in.alpha", ("lora_unet_conv_in", "alpha")),
        ("unet.mid.to_q.lora_A.weight", ("unet.mid.to_q", "lora_down")),
        ("unet.a.attn1.processor.to_q_lora.up.weight", ("unet.a.attn1.processor.to_q", "lora_up")),
        ("text_encoder.x.q_proj.lora_linear_layer.down.weight", ("text_encoder.x.q_proj", "lora_down")),
        ("unet:7:down", ("unet:7", "lora_down")),
        ("lora_te_x.hada_w2_b", ("lora_te_x", "hada_w2_b")),
        ("unet.x.lora_magnitude_vector", ("unet.x", "dora_scale")),
        ("conv_in.weight", None),
        ("<s1>", None),
    ],
)
def test_names_are_split_into_target_and_part(name: str, split: tuple[str, str] | None) -> None:
    assert split_name(name) == split


def test_original_names_are_the_reverse_of_the_translation() -> None:
    has_attention = {0: False, 1: True, 2: True, 3: True}
    weights = [name.removesuffix(".weight") for name, _ in unet_shapes(SD1) if name.endswith(".weight")]
    layers = [name for name in weights if not name.endswith(("layers.0", "out.0"))]  # but for group norms
    assert len(layers) > 250
    for name in layers:
        translated = (unet_name(f"{name}.weight") or "").removesuffix(".weight")
        assert original_name(translated, 2, has_attention) == name


# Files on networks.


def networks(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    return tiny.unet().to(dtype), tiny.text_encoder(len(tiny.tokenizer())).to(dtype)


def bits(*both: nn.Module) -> Weights:
    return {
        f"{number}.{name}": tensor.clone()
        for number, one in enumerate(both)
        for name, tensor in one.state_dict().items()
    }


def linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Linear)}


def kohya(unet: nn.Module, text_encoder: nn.Module) -> Weights:
    """A LoRA in kohya's form for all linear layers of both networks."""
    weights: Weights = {}
    for prefix, network in (("lora_unet_", unet), ("lora_te_text_model_", text_encoder)):
        for name, layer in linear_layers(network).items():
            key = prefix + name.replace(".", "_")
            weights[f"{key}.lora_down.weight"] = random(2, layer.in_features)
            weights[f"{key}.lora_up.weight"] = random(layer.out_features, 2)
            weights[f"{key}.alpha"] = torch.tensor(1.0)
    return weights


def as_peft(weights: Weights, unet: nn.Module, text_encoder: nn.Module) -> Weights:
    """The same LoRA in the form of diffusers and PEFT, where the scale is part of the numbers."""
    found: Weights = {}
    for ours, old, network in (
        ("unet.", "lora_unet_", unet),
        ("text_encoder.text_model.", "lora_te_text_model_", text_encoder),
    ):
        for name in linear_layers(network):
            key = old + name.replace(".", "_")
            found[f"{ours}{name}.lora_A.weight"] = weights[f"{key}.lora_down.weight"] * 0.5
            found[f"{ours}{name}.lora_B.weight"] = weights[f"{key}.lora_up.weight"]
    return found


def write(path: Path, weights: Weights) -> Path:
    save_file(weights, path)
    return path


def test_a_lora_changes_the_output_as_it_should(tmp_path: Path) -> None:
    unet, text = networks()
    weights = kohya(unet, text)
    layer = linear_layers(unet)["mid_block.attentions.0.transformer_blocks.0.attn2.to_k"]
    x = random(3, layer.in_features)
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    added = x @ weights[f"{key}.lora_down.weight"].t() @ weights[f"{key}.lora_up.weight"].t()
    wanted = layer(x) + 0.7 * 0.5 * added
    assert LoraMerger(unet, text).merge([LoraUse(write(tmp_path / "l.safetensors", weights), 0.7, 0.0)]) == []
    assert torch.allclose(layer(x), wanted, atol=1e-4)


def test_the_same_lora_in_either_form_changes_the_same(tmp_path: Path) -> None:
    unet, text = networks()
    weights = kohya(unet, text)
    first = write(tmp_path / "kohya.safetensors", weights)
    second = write(tmp_path / "peft.safetensors", as_peft(weights, unet, text))
    results = []
    for path in (first, second):
        merger = LoraMerger(unet, text)
        merger.merge([LoraUse(path, 0.9, -0.4)])
        results.append(bits(unet, text))
        merger.restore()
    for name, tensor in results[0].items():
        assert torch.allclose(tensor, results[1][name], atol=1e-5), name


def test_strengths_of_the_two_networks_are_separate(tmp_path: Path) -> None:
    unet, text = networks()
    before = bits(unet, text)
    path = write(tmp_path / "l.safetensors", kohya(unet, text))
    merger = LoraMerger(unet, text)
    merger.merge([LoraUse(path, 0.0, 1.0)])
    changed = {name for name, tensor in bits(unet, text).items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("1.") for name in changed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_loras_are_taken_out_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    unet, text = networks(dtype)
    before = bits(unet, text)
    places = {name: tensor.data_ptr() for name, tensor in unet.state_dict().items()}
    paths = [write(tmp_path / f"{number}.safetensors", kohya(unet, text)) for number in range(3)]
    merger = LoraMerger(unet, text)
    merger.merge([LoraUse(path, 0.3) for path in paths])
    merger.merge([LoraUse(paths[1], -2.0, 0.5)])
    assert not all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())
    merger.merge([])
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())
    assert places == {name: tensor.data_ptr() for name, tensor in unet.state_dict().items()}


def test_merging_anew_starts_from_the_untouched_weights(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.safetensors", kohya(*networks())) for number in range(2)]
    direct, detour = networks(torch.bfloat16), networks(torch.bfloat16)
    LoraMerger(*direct).merge([LoraUse(paths[1], 0.5)])
    merger = LoraMerger(*detour)
    merger.merge([LoraUse(paths[0], 1.0), LoraUse(paths[1], 1.0)])
    merger.merge([LoraUse(paths[1], 0.5)])
    found, wanted = bits(*detour), bits(*direct)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_rank_keeps_only_the_first_components_at_the_scale_of_all() -> None:
    weight, down, up = random(6, 10), random(4, 10), random(6, 4)
    change = weight_change({"lora_down": down, "lora_up": up, "alpha": torch.tensor(2.0)}, weight, 1.0, rank=3)
    assert change is not None
    assert torch.allclose(change, up[:, :3] @ down[:3] * 0.5, atol=1e-5)


def test_an_overwritten_file_is_merged_anew(tmp_path: Path) -> None:
    unet, text = networks()
    merger, path = LoraMerger(unet, text), tmp_path / "l.safetensors"
    merger.merge([LoraUse(write(path, kohya(unet, text)))])
    first = bits(unet, text)
    write(path, kohya(unet, text))
    os.utime(path, ns=(1, 1))
    merger.merge([LoraUse(path)])
    assert not all(torch.equal(tensor, first[name]) for name, tensor in bits(unet, text).items())


def test_loras_of_strength_0_are_not_even_read(tmp_path: Path) -> None:
    unet, text = networks()
    before = bits(unet, text)
    assert LoraMerger(unet, text).merge([LoraUse(tmp_path / "gone.safetensors", 0.0, 0.0)]) == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_merging_that_is_ended_half_way_leaves_no_half_of_a_lora(tmp_path: Path, calls: int) -> None:
    unet, text = networks()
    before = bits(unet, text)
    path = write(tmp_path / "l.safetensors", kohya(unet, text))
    merger, left = LoraMerger(unet, text), [None] * calls

    def check() -> None:
        if not left:
            raise LoadingStopped
        left.pop()

    with pytest.raises(LoadingStopped):
        merger.merge([LoraUse(path)], check)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())
    assert merger.uses == ()
    merger.merge([LoraUse(path)])
    assert not all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())


def test_a_warning_is_given_each_time_though_nothing_is_merged_anew(tmp_path: Path) -> None:
    unet, text = networks()
    extra = {"lora_unet_x.lora_down.weight": random(2, 3), "lora_unet_x.lora_up.weight": random(3, 2)}
    path = write(tmp_path / "l.safetensors", {**kohya(unet, text), **extra})
    merger = LoraMerger(unet, text)
    assert merger.merge([LoraUse(path)]) == merger.merge([LoraUse(path)]) != []


def kinds() -> dict[str, Callable[[nn.Linear], Weights]]:
    return {
        "loha": lambda layer: {
            "hada_w1_a": random(layer.out_features, 2), "hada_w1_b": random(2, layer.in_features),
            "hada_w2_a": random(layer.out_features, 2), "hada_w2_b": random(2, layer.in_features),
        },
        "lokr": lambda layer: {
            "lokr_w1": random(2, 2), "lokr_w2": random(layer.out_features // 2, layer.in_features // 2),
        },
        "dora": lambda layer: {
            "lora_down.weight": random(2, layer.in_features), "lora_up.weight": random(layer.out_features, 2),
            "dora_scale": random(layer.out_features, 1).abs(),
        },
        "oft": lambda layer: {"oft_blocks": random(2, layer.out_features // 2, layer.out_features // 2)},
        "diff": lambda layer: {"diff": random(layer.out_features, layer.in_features)},
        "diff_b": lambda layer: {"diff_b": random(layer.out_features)},
    }  # fmt: skip


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_kind_is_merged_and_taken_out_bit_for_bit(tmp_path: Path, kind: str) -> None:
    unet, text = networks(torch.float16)
    before = bits(unet, text)
    name, layer = next(item for item in linear_layers(unet).items() if item[0].endswith("ff.net.2"))
    parts = kinds()[kind](layer)
    path = write(
        tmp_path / "l.safetensors", {f"lora_unet_{name.replace('.', '_')}.{part}": t for part, t in parts.items()}
    )
    merger = LoraMerger(unet, text)
    assert merger.merge([LoraUse(path)]) == []
    changed = {key for key, tensor in bits(unet, text).items() if not torch.equal(tensor, before[key])}
    assert changed == {f"0.{name}.bias" if kind == "diff_b" else f"0.{name}.weight"}
    merger.restore()
    assert all(torch.equal(tensor, before[key]) for key, tensor in bits(unet, text).items())


def test_a_lora_for_another_family_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    unet, text = networks()
    merger = LoraMerger(unet, text)
    good = write(tmp_path / "good.safetensors", kohya(unet, text))
    merger.merge([LoraUse(good)])
    before = bits(unet, text)
    foreign: Weights = {}
    for number in range(264):
        key = f"lora_unet_input_blocks_{number}_1_transformer_blocks_0_attn2_to_k"
        foreign |= {f"{key}.lora_down.weight": random(4, 2048), f"{key}.lora_up.weight": random(640, 4)}
    path = write(tmp_path / "xl.safetensors", foreign)
    with pytest.raises(
        ModelFileError, match=r"xl\.safetensors does not fit: 0 of 264 keys match; this LoRA is for SDXL"
    ):
        merger.merge([LoraUse(good), LoraUse(path)])
    assert all(torch.equal(tensor, before[name]) for name, tensor in bits(unet, text).items())
    assert merger.uses == (LoraUse(good),)


def test_a_lora_that_reads_other_texts_is_refused_though_some_layers_fit(tmp_path: Path) -> None:
    unet, text = networks()
    weights = kohya(unet, text)
    for name in weights:
        if "attn2_to_k.lora_down" in name or "attn2_to_v.lora_down" in name:
            weights[name] = random(2, 768)
    with pytest.raises(
        ModelFileError, match=r"[1-9]\d* of \d+ keys match; this LoRA is for Stable Diffusion 1\.x"
    ):
        LoraMerger(unet, text).merge([LoraUse(write(tmp_path / "l.safetensors", weights))])


def test_names_that_fit_with_shapes_that_do_not_are_no_match(tmp_path: Path) -> None:
    unet, text = networks()
    weights = {
        name: random(*[2 * side for side in t.shape]) if t.ndim else t for name, t in kohya(unet, text).items()
    }
    with pytest.raises(ModelFileError, match=r"0 of \d+ keys match"):
        LoraMerger(unet, text).merge([LoraUse(write(tmp_path / "wide.safetensors", weights))])


def test_a_partial_match_is_a_warning(tmp_path: Path) -> None:
    unet, text = networks()
    weights = kohya(unet, text)
    count = len(weights) // 3
    extra = {
        "lora_unet_elsewhere.lora_down.weight": random(2, 3),
        "lora_unet_elsewhere.lora_up.weight": random(3, 2),
    }
    path = write(tmp_path / "l.safetensors", {**weights, **extra})
    warnings = LoraMerger(unet, text).merge([LoraUse(path)])
    assert warnings == [f"l.safetensors: only {count} of {count + 1} keys match this model."]


def test_a_file_that_is_no_lora_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", {"conv_in.weight": random(3, 3)})
    with pytest.raises(ModelFileError, match="is not a LoRA"):
        LoraMerger(*networks()).merge([LoraUse(path)])


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ({"lora_te2_x.lora_down.weight": (4, 4)}, "SDXL"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, "FLUX"),
        ({"lora_unet_a_attn2_to_k.lora_down.weight": (4, 768)}, "Stable Diffusion 1.x"),
        ({"unet.a.attn2.to_v.lora_A.weight": (4, 1024)}, "Stable Diffusion 2.x"),
        ({"unet:15:down": (1, 768), "unet:14:down": (1, 320)}, "Stable Diffusion 1.x"),
        ({"lora_unet_a_attn1_to_k.lora_down.weight": (4, 320)}, None),
    ],
)
def test_the_family_of_a_lora_is_told_from_names_and_shapes(
    shapes: dict[str, tuple[int, ...]], family: str | None
) -> None:
    assert lora_family(shapes) == family


# The 2022 layout of cloneofsimo, at the size of real files: 144 layers of the U-Net, 48 of the text encoder.


def cloneofsimo_shapes(unet: nn.Module, text: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Each linear layer with its number, in that trainer's order: attn1, feed-forward, attn2 of each block."""
    layers = linear_layers(unet)
    blocks = [name.removesuffix("attn1.to_q") for name in layers if name.endswith("attn1.to_q")]
    order = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj"]
    order += ["attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"]
    found = [(f"unet:{number}", layers[name]) for number, name in enumerate(b + o for b in blocks for o in order)]
    inside = [layer for name, layer in linear_layers(text).items() if "self_attn" in name]
    return found + [(f"text_encoder:{number}", layer) for number, layer in enumerate(inside)]


def test_files_of_cloneofsimo_match_completely(tmp_path: Path) -> None:
    configs = ConfigFolder()
    unet, text = unet_skeleton(configs.of("sd1", "unet")), clip_skeleton(configs.of("sd1", "text_encoder"))
    layers = cloneofsimo_shapes(unet, text)
    assert len(layers) == 144 + 48
    weights: Weights = {"<s1>": torch.zeros(768)}
    for name, layer in layers:
        weights[f"{name}:down"] = torch.zeros(1, layer.in_features)
        weights[f"{name}:up"] = torch.zeros(layer.out_features, 1)
    path = write(tmp_path / "old.safetensors", weights)
    found = LoraMerger(unet, text)._matched(path)
    assert len(found.targets) == 192
    assert found.warning == ""
