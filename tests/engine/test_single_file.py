"""Community single files: loaded exactly, offline; and wrong ones refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file

from engine.device import Placement
from engine.load_plan import ModelPlan, PartPlan, load_part
from engine.model_configs import ConfigFolder
from engine.prediction import measured_prediction
from engine.single_file import plan_single_file, plan_vae
from generation.errors import ModelFileError
from tests.model_files import (
    TINY,
    TINY_SD2,
    card,
    file_shapes,
    random_weights,
    tiny_configs,
    vae_shapes,
    with_ema,
    write_ckpt,
    write_model,
)

CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> ConfigFolder:
    return ConfigFolder(tiny_configs(tmp_path_factory.mktemp("configs") / "c"))


@pytest.fixture
def weights() -> Weights:
    return random_weights(file_shapes(TINY))


def loaded(part: PartPlan, dtype: torch.dtype = torch.float32) -> Weights:
    return load_part(part, CPU, dtype).state_dict()


def write(path: Path, weights: Weights) -> Path:
    save_file(weights, path)
    return path


def reference(weights: Weights, configs: ConfigFolder) -> dict[str, Weights]:
    """What diffusers' own converters make of the file."""
    text = {
        name.removeprefix(TEXT + "text_model."): tensor
        for name, tensor in weights.items()
        if name.startswith(TEXT) and not name.endswith("position_ids")
    }
    return {
        "unet": convert_ldm_unet_checkpoint(dict(weights), configs.of("sd1", "unet")),
        "vae": convert_ldm_vae_checkpoint(dict(weights), configs.of("sd1", "vae")),
        "text_encoder": text,
    }


def assert_parts(plan: ModelPlan, wanted: dict[str, Weights], dtype: torch.dtype = torch.float32) -> None:
    for name, tensors in wanted.items():
        found = loaded(getattr(plan, name), dtype)
        assert found.keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert torch.equal(found[key], tensor.to(dtype).reshape(found[key].shape)), key


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_a_single_file_is_loaded_exactly(
    tmp_path: Path, configs: ConfigFolder, weights: Weights, stored: torch.dtype, wanted: torch.dtype
) -> None:
    path = write_model(tmp_path / "m.safetensors", dtype=stored)
    rounded = {
        name: tensor.to(stored) if tensor.is_floating_point() else tensor for name, tensor in weights.items()
    }
    assert_parts(plan_single_file(card(path), configs=configs), reference(rounded, configs), wanted)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_ckpt_gives_the_same_weights_as_its_safetensors_version(
    tmp_path: Path, configs: ConfigFolder, weights: Weights, legacy: bool
) -> None:
    path = write_ckpt(tmp_path / "m.ckpt", legacy=legacy, callbacks={"monitor": 1})
    assert_parts(plan_single_file(card(path), configs=configs), reference(weights, configs))


def test_averaged_weights_are_preferred_and_can_be_declined(
    tmp_path: Path, configs: ConfigFolder, weights: Weights
) -> None:
    path = write(tmp_path / "ema.safetensors", with_ema(weights, 0.5))
    name = "conv_in.weight"
    last = weights[UNET + "input_blocks.0.0.weight"]
    averaged = loaded(plan_single_file(card(path), configs=configs).unet)[name]
    assert torch.equal(averaged, last * 0.5)
    declined = loaded(plan_single_file(card(path), prefer_ema=False, configs=configs).unet)[name]
    assert torch.equal(declined, last)


def test_files_without_text_model_in_their_names_are_loaded(
    tmp_path: Path, configs: ConfigFolder, weights: Weights
) -> None:
    renamed = {name.replace(TEXT + "text_model.", TEXT): tensor for name, tensor in weights.items()}
    path = write(tmp_path / "m.safetensors", renamed)
    assert_parts(plan_single_file(card(path), configs=configs), reference(weights, configs))


def test_additional_weights_do_no_harm(tmp_path: Path, configs: ConfigFolder, weights: Weights) -> None:
    extra = {
        "betas": torch.ones(10),
        "first_stage_model.loss.logvar": torch.ones(1),
        "model_ema.decay": torch.ones(1),
    }
    path = write(tmp_path / "m.safetensors", {**weights, **extra})
    assert_parts(plan_single_file(card(path), configs=configs), reference(weights, configs))


def test_an_inpainting_model_gets_nine_input_channels(tmp_path: Path, configs: ConfigFolder) -> None:
    path = write_model(tmp_path / "inpaint.safetensors", replace(TINY, in_channels=9))
    unet = load_part(plan_single_file(card(path), configs=configs).unet, CPU, torch.float32)
    assert unet.config.in_channels == 9


def test_the_loaded_model_computes(tmp_path: Path, configs: ConfigFolder) -> None:
    plan = plan_single_file(card(write_model(tmp_path / "m.safetensors")), configs=configs)
    tokenizer = plan.make_tokenizer()
    ids = tokenizer(["the cat"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        context = load_part(plan.text_encoder, CPU, torch.float32)(ids).last_hidden_state
        noise = load_part(plan.unet, CPU, torch.float32)(torch.randn(1, 4, 8, 8), 5, context).sample
        pixels = load_part(plan.vae, CPU, torch.float32).decode(noise).sample
    assert context.shape == (1, 77, 32)
    assert pixels.shape == (1, 3, 16, 16)
    assert pixels.isfinite().all()


def keep(test: Callable[[str], bool]) -> Callable[[Weights], Weights]:
    return lambda weights: {name: tensor for name, tensor in weights.items() if test(name)}


def reshaped(name: str, shape: tuple[int, ...]) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.zeros(shape)}


def as_bytes(weights: Weights) -> Weights:
    return {name: torch.zeros(tensor.shape, dtype=torch.uint8) for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (keep(lambda name: not name.startswith(VAE)), "contains no VAE"),
        (keep(lambda name: not name.startswith(TEXT)), "contains no text encoder"),
        (keep(lambda name: name.startswith(VAE)), "is a VAE, not a checkpoint"),
        (keep(lambda name: "output_blocks.3" not in name), "weights of the U-Net"),
        (keep(lambda name: not name.endswith("decoder.conv_out.bias")), "1 of"),
        (keep(lambda name: "encoder.layers.1." not in name), "weights of the text encoder"),
        (reshaped(UNET + "out.2.weight", (4, 64, 3, 3)), "U-Net of another build"),
        (reshaped(UNET + "input_blocks.0.0.weight", (32, 8, 3, 3)), "edits pictures by instruction"),
        (reshaped(UNET + "input_blocks.0.0.weight", (32, 5, 3, 3)), "5 input channels"),
        (lambda weights: {"lora_unet_mid_block.lora_down.weight": torch.ones(4, 4)}, "is a LoRA"),
        (as_bytes, "U8 numbers"),
    ],
)
def test_unusable_files_are_refused_with_a_sentence(
    tmp_path: Path, configs: ConfigFolder, weights: Weights, change: Callable[[Weights], Weights], words: str
) -> None:
    path = write(tmp_path / "wrong.safetensors", change(weights))
    with pytest.raises(ModelFileError) as caught:
        plan_single_file(card(path), configs=configs)
    assert words in caught.value.message
    assert "wrong.safetensors" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("context", [2048, 1280])
def test_families_that_are_not_loaded_are_called_by_their_name(
    tmp_path: Path, configs: ConfigFolder, context: int
) -> None:
    block = UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    first = UNET + "input_blocks.0.0.weight"
    path = write(tmp_path / "other.safetensors", {block: torch.ones(2, context), first: torch.ones(8, 4, 3, 3)})
    with pytest.raises(ModelFileError, match=r"Stable Diffusion XL.*does not load"):
        plan_single_file(card(path), configs=configs)


def vae_files(folder: Path, weights: Weights, configs: ConfigFolder) -> Iterator[Path]:
    """The same VAE in all forms it comes in."""
    bare = {name: tensor for name, tensor in weights.items() if not name.startswith("model_")}
    yield write(folder / "bare.safetensors", bare)
    yield write(folder / "prefixed.safetensors", {VAE + name: tensor for name, tensor in bare.items()})
    torch.save({"state_dict": {**bare, "loss.logvar": torch.ones(1)}}, folder / "pickled.vae.pt")
    yield folder / "pickled.vae.pt"
    yield write(folder / "diffusers.safetensors", convert_ldm_vae_checkpoint(dict(bare), configs.of("sd1", "vae")))


def test_a_vae_file_in_any_form_gives_the_same_vae(tmp_path: Path, configs: ConfigFolder) -> None:
    weights = random_weights(dict(vae_shapes(TINY)), seed=9)
    wanted = convert_ldm_vae_checkpoint(dict(weights), configs.of("sd1", "vae"))
    for path in vae_files(tmp_path, weights, configs):
        found = loaded(plan_vae(path, configs))
        assert found.keys() == wanted.keys(), path.name
        assert all(torch.equal(found[name], wanted[name].reshape(found[name].shape)) for name in wanted), path.name


def test_a_vae_out_of_a_checkpoint_can_be_chosen(tmp_path: Path, configs: ConfigFolder, weights: Weights) -> None:
    whole = write(tmp_path / "whole.safetensors", weights)
    bare = {name: tensor for name, tensor in weights.items() if not name.startswith(VAE)}
    without = card(write(tmp_path / "without.safetensors", bare))
    plan = plan_single_file(without, vae=plan_vae(whole, configs), configs=configs)
    assert torch.equal(loaded(plan.vae)["decoder.conv_in.weight"], weights[VAE + "decoder.conv_in.weight"])


def test_a_vae_of_another_family_is_refused(tmp_path: Path, configs: ConfigFolder) -> None:
    path = write(tmp_path / "flux_vae.safetensors", {"decoder.conv_in.weight": torch.ones(64, 16, 3, 3)})
    with pytest.raises(ModelFileError, match="16 latent channels; this model needs 4"):
        plan_vae(path, configs)


def test_a_file_without_a_vae_is_refused_as_vae(tmp_path: Path, configs: ConfigFolder) -> None:
    path = write(tmp_path / "x.safetensors", {"a": torch.ones(1)})
    with pytest.raises(ModelFileError, match="holds no VAE"):
        plan_vae(path, configs)


# Stable Diffusion 2.x.


def write_sd2(path: Path, metadata: dict[str, str] | None = None) -> tuple[Path, Weights]:
    weights = random_weights(file_shapes(TINY_SD2), seed=4)
    save_file(weights, path, metadata)
    return path, weights


def test_stable_diffusion_2_is_loaded_exactly(tmp_path: Path, configs: ConfigFolder) -> None:
    path, weights = write_sd2(tmp_path / "m.safetensors")
    plan = plan_single_file(card(path), configs=configs)
    unet = convert_ldm_unet_checkpoint(dict(weights), configs.of("sd2", "unet"))
    vae = convert_ldm_vae_checkpoint(dict(weights), configs.of("sd2", "vae"))
    assert_parts(plan, {"unet": unet, "vae": vae})
    network = load_part(plan.text_encoder, CPU, torch.float32)
    text = convert_open_clip_checkpoint(network, dict(weights), prefix="cond_stage_model.model.")
    wanted = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name
    assert len(network.state_dict()) < len(wanted), "the last layer is not used"


def test_texts_for_stable_diffusion_2_are_filled_up_with_zeros(tmp_path: Path, configs: ConfigFolder) -> None:
    path, _ = write_sd2(tmp_path / "m.safetensors")
    ids = plan_single_file(card(path), configs=configs).make_tokenizer()
    assert ids("the", padding="max_length", max_length=8).input_ids[-2:] == [0, 0]


@pytest.mark.parametrize(
    ("metadata", "yaml", "prediction"),
    [
        ({}, None, None),
        ({"modelspec.prediction_type": "v"}, None, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, 'parameterization: "v"', "epsilon"),
        ({}, 'model:\n  params:\n    parameterization: "v"\n', "v_prediction"),
        ({}, "model:\n  params:\n    parameterization: eps\n", "epsilon"),
        ({}, "model:\n  params:\n    timesteps: 1000\n", "epsilon"),
    ],
)
def test_what_a_file_predicts_is_taken_from_its_metadata_or_the_yaml_beside_it(
    tmp_path: Path, configs: ConfigFolder, metadata: dict[str, str], yaml: str | None, prediction: str | None
) -> None:
    path, _ = write_sd2(tmp_path / "m.safetensors", metadata)
    if yaml is not None:
        path.with_suffix(".yaml").write_text(yaml)
    assert plan_single_file(card(path), configs=configs).prediction_type == prediction


@pytest.mark.parametrize(("answer", "prediction"), [(0.45, "epsilon"), (-1.2, "v_prediction")])
def test_what_a_model_predicts_is_measured_where_nothing_says_it(answer: float, prediction: str) -> None:
    class Unet:
        config = SimpleNamespace(in_channels=9, cross_attention_dim=64)

        def __call__(self, x: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> object:
            assert int(timestep) == 999
            return SimpleNamespace(sample=torch.full((1, 4, 8, 8), answer))

    assert measured_prediction(Unet(), CPU) == prediction
