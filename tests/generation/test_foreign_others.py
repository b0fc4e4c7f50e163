"""InvokeAI, Fooocus and NovelAI."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.foreign_fooocus import is_fooocus, request_from_fooocus
from generation.foreign_invokeai import request_from_invokeai, request_from_invokeai_2
from generation.foreign_novelai import request_from_novelai

INVOKE = {
    "app_version": "5.6.0", "generation_mode": "sdxl_txt2img", "positive_prompt": "a cat",
    "negative_prompt": "dog",
    "width": 1024, "height": 768, "seed": 5, "rand_device": "cpu", "cfg_scale": 7.5, "cfg_rescale_multiplier": 0.2,
    "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": 1, "strength": 0.7,
    "model": {"key": "k", "hash": "blake3:ab", "name": "Juggernaut", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"name": "style"}, "weight": 0.75}, {"lora": {"model_name": "old"}}],
    "vae": {"name": "fix"},
}  # fmt: skip
FOOOCUS = {
    "prompt": "a cat", "negative_prompt": "dog", "prompt_expansion": "", "styles": "['Fooocus V2']", "steps": 30,
    "performance": "Speed", "resolution": "(1152, 896)", "guidance_scale": 4, "sharpness": 2, "clip_skip": 2,
    "base_model": "juggernautXL_v8.safetensors", "base_model_hash": "aeb7e9e689", "refiner_model": "None",
    "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "vae": "Default (model)", "seed": "123",
    "lora_combined_1": "sd_xl_offset.safetensors : 0.1", "version": "Fooocus v2.5.5",
}  # fmt: skip
NOVELAI = {
    "steps": 28, "sampler": "k_euler_ancestral", "seed": 9, "scale": 11, "uc": "lowres", "strength": 0.69,
    "noise": 0.2, "noise_schedule": "native", "request_type": "PromptGenerateRequest",
}  # fmt: skip


def test_invokeai() -> None:
    pasted = request_from_invokeai(INVOKE)
    assert pasted.request().prompt == "a cat <lora:style:0.75> <lora:old:1>"
    assert pasted.fields == {
        "prompt": "a cat <lora:style:0.75> <lora:old:1>", "negative_prompt": "dog", "seed": 5, "steps": 30,
        "cfg_scale": 7.5, "width": 1024, "height": 768, "sampler": "DPM++ 2M", "schedule": "Karras",
        "model": "Juggernaut", "vae": "fix", "clip_skip": 2, "noise_source": "CPU",
        "sampling": {"cfg_rescale": 0.2},
    }  # fmt: skip
    assert (pasted.img2img, pasted.not_carried_over) == ({}, ())


def test_invokeais_own_features_are_said() -> None:
    extra = {
        "generation_mode": "img2img",
        "controlnets": [{}],
        "seamless_x": True,
        "positive_prompt": "(a cat)1.2 b++",
    }
    pasted = request_from_invokeai({**INVOKE, **extra, "scheduler": "dpmpp_3m_k", "rand_device": "cuda"})
    assert pasted.img2img == {"denoising_strength": 0.7}
    assert pasted.fields["noise_source"] == "GPU"
    for part in ("init image", "ControlNet", "Tiling", "word++", "dpmpp_3m_k"):
        assert any(part in sentence for sentence in pasted.not_carried_over)


def test_invokeai_2() -> None:
    image = {
        "prompt": [{"prompt": "a cat [dog, tree]", "weight": 1}], "steps": 20, "cfg_scale": 7, "seed": 1,
        "width": 512, "height": 512, "sampler": "k_lms", "type": "img2img", "strength": 0.5,
    }  # fmt: skip
    pasted = request_from_invokeai_2({"model": "stable diffusion", "model_weights": "sd-1.5", "image": image})
    assert (pasted.fields["prompt"], pasted.fields["negative_prompt"]) == ("a cat", "dog, tree")
    assert (pasted.fields["model"], pasted.img2img) == ("sd-1.5", {"denoising_strength": 0.5})
    assert request_from_invokeai_2({"image": {"prompt": "plain"}}).fields["prompt"] == "plain"


def test_fooocus() -> None:
    assert is_fooocus(FOOOCUS)
    pasted = request_from_fooocus(FOOOCUS)
    assert pasted.request().prompt == "a cat <lora:sd_xl_offset:0.1>"
    assert pasted.fields == {
        "prompt": "a cat <lora:sd_xl_offset:0.1>", "negative_prompt": "dog", "seed": 123, "steps": 30,
        "cfg_scale": 4, "clip_skip": 2, "width": 1152, "height": 896, "sampler": "DPM++ 2M SDE",
        "schedule": "Karras", "model": "aeb7e9e689", "noise_source": "CPU",
    }  # fmt: skip
    assert pasted.model_name == "juggernautXL_v8"
    assert any("Fooocus V2" in sentence for sentence in pasted.not_carried_over)


def test_fooocus_with_lists_and_a_vae() -> None:
    loras = [["one.safetensors", 0.5, "abc"], ["None", 1.0, ""], "odd", ["two", "x"]]
    changed = {
        **FOOOCUS,
        "resolution": [640, 512],
        "loras": loras,
        "vae": "fix.safetensors",
        "lora_combined_1": "odd",
    }
    pasted = request_from_fooocus(changed)
    assert pasted.fields["prompt"] == "a cat <lora:one:0.5>"
    assert (pasted.fields["width"], pasted.fields["vae"]) == (640, "fix.safetensors")


def texts(**changes: object) -> dict[str, str]:
    return {"Software": "NovelAI", "Description": "a {cat}", "Comment": json.dumps({**NOVELAI, **changes})}


def test_novelai() -> None:
    pasted = request_from_novelai(texts(cfg_rescale=0.1, sm=True), 832, 1216)
    assert pasted is not None
    assert pasted.fields == {
        "prompt": "a {cat}", "negative_prompt": "lowres", "seed": 9, "steps": 28, "cfg_scale": 11, "width": 832,
        "height": 1216, "sampler": "Euler a", "schedule": "Uniform", "clip_skip": 2,
        "sampling": {"eta_noise_seed_delta": 31337, "cfg_rescale": 0.1},
    }  # fmt: skip
    assert pasted.img2img == {}
    assert len(pasted.not_carried_over) == 3


def test_novelai_4_keeps_its_negative_prompt_elsewhere() -> None:
    negative = {"caption": {"base_caption": "blurry"}}
    changes = {"uc": "", "v4_negative_prompt": negative, "prompt": "a dog", "request_type": "Img2ImgRequest"}
    found = {**texts(**changes), "Description": ""}
    pasted = request_from_novelai(found, 64, 64)
    assert pasted is not None
    assert (pasted.fields["prompt"], pasted.fields["negative_prompt"]) == ("a dog", "blurry")
    assert pasted.img2img == {"denoising_strength": 0.69}


@pytest.mark.parametrize("found", [{}, {"Comment": "{}"}, {"Software": "NovelAI", "Comment": "no json"}])
def test_other_texts_are_not_novelais(found: dict[str, str]) -> None:
    assert request_from_novelai(found, 64, 64) is None


odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.text(max_size=3))


@given(st.sampled_from(sorted({*INVOKE, *FOOOCUS, *NOVELAI})), odd)
def test_odd_values_anywhere_do_no_harm(key: str, value: object) -> None:
    assert request_from_invokeai({**INVOKE, key: value}).request()
    assert request_from_invokeai_2({"image": {**INVOKE, key: value}}).request()
    assert request_from_fooocus({**FOOOCUS, key: value}).request()
    pasted = request_from_novelai(texts(**{key: value}), 64, 64)
    assert pasted is not None
    assert pasted.request()
