"""diffusers folders: loaded exactly in every form they come in; broken ones refused with a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file

from engine.device import Placement
from engine.diffusers_folder import plan_folder
from engine.load_plan import PartPlan, load_part
from engine.model_plans import plan_model
from generation.errors import ModelFileError
from generation.model_card import ModelLayout
from tests.engine import tiny
from tests.model_files import card

CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)
PARTS = ("unet", "vae", "text_encoder")


def write_folder(root: Path, **scheduler: object) -> Path:
    """The tiny model as diffusers and transformers save it."""
    words = tiny.tokenizer()
    tiny.unet().save_pretrained(root / "unet")
    tiny.vae().save_pretrained(root / "vae")
    tiny.text_encoder(len(words)).save_pretrained(root / "text_encoder")
    words.save_pretrained(root / "tokenizer")
    facts = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", **scheduler}
    DDIMScheduler(**facts).save_pretrained(root / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
    }
    (root / "model_index.json").write_text(json.dumps(index))
    return root


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("folder") / "tiny")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "tiny")


def folder_card(path: Path):  # type: ignore[no-untyped-def]
    return card(path, ModelLayout.DIFFUSERS)


def loaded(part: PartPlan) -> dict[str, torch.Tensor]:
    return load_part(part, CPU, torch.float32).state_dict()


def assert_like_tiny(folder: Path, tolerance: float = 0.0) -> None:
    plan = plan_folder(folder_card(folder))
    networks = {"unet": tiny.unet(), "vae": tiny.vae(), "text_encoder": tiny.text_encoder(len(tiny.tokenizer()))}
    for name, network in networks.items():
        found, wanted = loaded(getattr(plan, name)), network.state_dict()
        assert found.keys() == wanted.keys()
        for key, tensor in wanted.items():
            assert torch.allclose(found[key], tensor, rtol=0, atol=tolerance), key


def test_a_folder_is_loaded_exactly(folder: Path) -> None:
    assert_like_tiny(folder)


def test_the_tokenizer_is_the_folders_own(folder: Path) -> None:
    found = plan_folder(folder_card(folder)).make_tokenizer()
    text = "a red apple on blue, xyz"
    assert found(text).input_ids == tiny.tokenizer()(text).input_ids
    assert found.model_max_length == 77


def weight_files(folder: Path) -> list[Path]:
    return [file for part in PARTS for file in (folder / part).glob("*.safetensors")]


def as_fp16_variant(folder: Path) -> None:
    for file in weight_files(folder):
        halves = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(halves, file.with_suffix(".fp16.safetensors"))
        file.unlink()


def as_pickles(folder: Path) -> None:
    for file in weight_files(folder):
        name = "pytorch_model.bin" if file.stem == "model" else f"{file.stem}.bin"
        torch.save(load_file(file), file.with_name(name))
        file.unlink()


def in_parts(folder: Path) -> None:
    for file in weight_files(folder):
        weights = load_file(file)
        names = sorted(weights)
        table = {}
        for number, some in enumerate((names[::2], names[1::2]), 1):
            part = file.with_name(f"{file.stem}-0000{number}-of-00002.safetensors")
            save_file({name: weights[name] for name in some}, part)
            table |= dict.fromkeys(some, part.name)
        file.with_name(f"{file.name}.index.json").write_text(json.dumps({"weight_map": table}))
        file.unlink()


def with_old_attention_names(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def old(name: str) -> str:
        for new, before in names.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{before}.")
        return name

    save_file({old(name): tensor for name, tensor in load_file(file).items()}, file)


def with_text_model_prefix(folder: Path) -> None:
    file = folder / "text_encoder" / "model.safetensors"
    weights = {f"text_model.{name}": tensor for name, tensor in load_file(file).items()}
    save_file({**weights, "text_model.embeddings.position_ids": torch.arange(77)[None]}, file)


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (as_fp16_variant, 1e-3),
        (as_pickles, 0.0),
        (in_parts, 0.0),
        (with_old_attention_names, 0.0),
        (with_text_model_prefix, 0.0),
    ],
)
def test_every_way_of_saving_a_folder_is_read(
    folder: Path, change: Callable[[Path], None], tolerance: float
) -> None:
    change(folder)
    assert_like_tiny(folder, tolerance)


def test_facts_of_the_scheduler_are_taken_over(tmp_path: Path) -> None:
    plan = plan_folder(folder_card(write_folder(tmp_path / "v", prediction_type="v_prediction")))
    assert plan.prediction_type == "v_prediction"
    assert torch.allclose(
        plan.alphas_cumprod, DDIMScheduler.from_pretrained(tmp_path / "v" / "scheduler").alphas_cumprod
    )
    assert plan.latent_format.downscale == 8
    assert plan.latent_format.scale == 0.18215


def test_preview_colours_of_the_folder_are_used(folder: Path) -> None:
    colours = {
        "latent_rgb_factors": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 1, 0]],
        "latent_rgb_bias": [0.5, 0, -0.5],
    }
    (folder / "preview.json").write_text(json.dumps(colours))
    found = plan_folder(folder_card(folder)).latent_format
    assert found.rgb_factors[1] == (4.0, 5.0, 6.0)
    assert found.rgb_bias == (0.5, 0.0, -0.5)


@pytest.mark.parametrize("text", ['{"latent_rgb_factors": [[1, 2, 3]]}', '{"latent_rgb_factors": 3}', "{}"])
def test_preview_colours_that_do_not_fit_are_left_alone(folder: Path, text: str) -> None:
    (folder / "preview.json").write_text(text)
    assert plan_folder(folder_card(folder)).latent_format.rgb_bias == (0.0, 0.0, 0.0)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        file.write_bytes(file.read_bytes()[:-100])

    return change


def edit(name: str, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**config, **changes}))

    return change


UNET_FILE = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove("model_index.json"), "lacks model_index.json"),
        (remove("unet/config.json"), "lacks unet/config.json"),
        (remove(UNET_FILE), "no weights of the U-Net"),
        (put("vae/config.json", "{"), "cannot be read"),
        (put("vae/config.json", "[]"), "not a table"),
        (cut(UNET_FILE), "unet/diffusion_pytorch_model.safetensors is cut off"),
        (edit("unet/config.json", cross_attention_dim=20), "U-Net of another build"),
        (edit("unet/config.json", layers_per_block=2), "weights of the U-Net"),
        (edit("unet/config.json", layers_per_block=10**9), "impossible layers_per_block"),
        (edit("unet/config.json", down_block_types=["NoSuchBlock"] * 2), "no network Easel can build"),
        (edit("scheduler/scheduler_config.json", prediction_type="flow"), "predicts 'flow'"),
        (edit("scheduler/scheduler_config.json", beta_schedule="wavy"), "no network Easel can build"),
        (edit("model_index.json", unet=["diffusers", "FluxTransformer2DModel"]), "FluxTransformer2DModel"),
        (edit("model_index.json", unet=[None, None]), "without a unet"),
        (edit("model_index.json", text_encoder_2=["transformers", "X"]), "Stable Diffusion XL"),
    ],
)
def test_broken_folders_are_refused_with_a_sentence(
    folder: Path, change: Callable[[Path], None], words: str
) -> None:
    change(folder)
    with pytest.raises(ModelFileError) as caught:
        plan_folder(folder_card(folder))
    assert words in caught.value.message
    assert "tiny" in caught.value.message
    assert caught.value.hint


def test_a_split_network_cannot_point_outside_its_folder(folder: Path) -> None:
    in_parts(folder)
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "../../secret.safetensors"}}))
    with pytest.raises(ModelFileError, match="outside itself"):
        plan_folder(folder_card(folder))


def test_a_missing_tokenizer_is_an_error_for_people(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(ModelFileError, match="no tokenizer"):
        plan_folder(folder_card(folder)).make_tokenizer()


def test_another_vae_takes_the_place_of_the_folders_own(original: Path, folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    for chosen in (folder, folder / "vae"):
        plan = plan_model(folder_card(original), folder_card(chosen))
        wanted = tiny.vae().state_dict()["decoder.conv_in.weight"] + 1
        assert torch.equal(loaded(plan.vae)["decoder.conv_in.weight"], wanted)
