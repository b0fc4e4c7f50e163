from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.infotext import format_infotext, request_from_infotext
from generation.infotext_parse import ReadingOptions
from generation.request import Hires, NoiseSource, ResizeMode, make_request
from generation.request_json import request_from_json, request_to_json
from generation.styles import Style

START = "a cat\nNegative prompt: dog\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 3"


def test_an_a1111_text_becomes_a_request() -> None:
    text = f"{START}, Size: 512x768, Model hash: abcdef1234, Model: painter, Clip skip: 2, Version: v1.10.1"
    pasted = request_from_infotext(text)
    assert pasted.fields == {
        "prompt": "a cat", "negative_prompt": "dog", "steps": 25, "cfg_scale": 6.5, "seed": 3, "clip_skip": 2,
        "width": 512, "height": 768, "sampler": "DPM++ 2M", "schedule": "Karras", "noise_source": "GPU",
        "model": "abcdef1234",
    }  # fmt: skip
    assert (pasted.model_name, pasted.model_hash) == ("painter", "abcdef1234")
    assert pasted.not_carried_over == ()
    assert pasted.request().noise_source is NoiseSource.GPU


def test_a_mere_prompt_changes_nothing_but_the_prompt() -> None:
    assert request_from_infotext("a cat").fields == {"prompt": "a cat", "negative_prompt": ""}


def test_a_model_without_a_hash_goes_by_its_name() -> None:
    assert request_from_infotext(f"{START}, Model: painter").fields["model"] == "painter"


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+", "Hires upscaler is not carried over: Unknown upscaler"),
        ("Hires upscale: 2, Hires checkpoint: other", "Hires checkpoint: 'other' has no counterpart"),
        ("Hires upscale: 2, Hires steps: many", "Hires steps is not carried over"),
        ("Steps: 5000", "Steps is not carried over"),
        ("Steps: many", "'many' is not a number"),
        ("CFG scale: nan", "'nan' is not a number"),
        ("Size: 500x512", "Size 500x512 became 496x512"),
        ("Size: 9x9", "Size is not carried over"),
        ("Sampler: Undefined", "Unknown sampler 'Undefined'"),
        ("Schedule type: Nonsense", "Unknown schedule 'Nonsense'"),
        ("RNG: Dice", "RNG is not carried over"),
        ("Eta: 7", "Eta is not carried over"),
        ("Downcast alphas_cumprod: True", "Downcast alphas_cumprod: 'True' has no counterpart"),
        ("Tiling: True", "Tiling"),
        ("Seed: 99999999999999999999999", "Seed is not carried over"),
        ('VAE: "\\ud800"', "VAE is not carried over"),
    ],
)
def test_what_cannot_be_carried_over_is_said(extra: str, part: str) -> None:
    pasted = request_from_infotext(f"{START}, {extra}")
    assert any(part in sentence for sentence in pasted.not_carried_over)
    assert pasted.request().prompt == "a cat"


def test_an_unknown_schedule_leaves_the_sampler() -> None:
    fields = request_from_infotext(f"{START}, Schedule type: Nonsense").fields
    assert fields["sampler"] == "DPM++ 2M"


def test_old_combined_sampler_names_are_split() -> None:
    fields = request_from_infotext("a\nSteps: 20, Sampler: Euler a Karras, Seed: 1").fields
    assert (fields["sampler"], fields["schedule"]) == ("Euler a", "Karras")


def test_sampling_options_are_collected() -> None:
    pasted = request_from_infotext(f"{START}, Eta: 0.67, ENSD: 31337, Sigma churn: 2, Schedule rho: 5, RNG: NV")
    assert pasted.fields["sampling"] == {"eta": 0.67, "eta_noise_seed_delta": 31337, "s_churn": 2, "rho": 5}
    assert pasted.fields["noise_source"] == "NV"


def test_the_denoising_strength_of_a_hires_pass_is_not_img2img() -> None:
    pasted = request_from_infotext(f"{START}, Denoising strength: 0.6, Hires upscale: 2, Hires upscaler: Latent")
    assert pasted.img2img == {}
    assert pasted.not_carried_over == ()
    assert pasted.request().hires == Hires(denoising_strength=0.6)


@pytest.mark.parametrize(
    "hires",
    [
        Hires(),
        Hires(scale=1.35, upscaler="Latent (bicubic antialiased)", steps=12, denoising_strength=0.45),
        Hires(width=1024, height=768, upscaler="Lanczos", sampler="Euler a", schedule="Karras"),
        Hires(width=1024, upscaler="None", prompt="a pear, big: red", negative_prompt="x", cfg_scale=4.5),
    ],
)
def test_infotext_carries_the_second_pass_both_ways(hires: Hires) -> None:
    request = make_request(prompt="a cat", seed=1, hires=hires)
    pasted = request_from_infotext(format_infotext(request, seed=1))
    assert pasted.request().hires == hires
    assert pasted.not_carried_over == ()
    assert request_from_json(request_to_json(request)).request().hires == hires


def test_the_second_pass_is_written_in_a1111s_words() -> None:
    hires = Hires(width=1024, height=768, steps=9, sampler="Euler", prompt="a, b", cfg_scale=3)
    text = format_infotext(make_request(prompt="a cat", seed=1, hires=hires), seed=1)
    assert "Size: 512x512, " in text
    assert "Denoising strength: 0.7, " in text
    written = (
        'Hires sampler: Euler, Hires prompt: "a, b", Hires CFG Scale: 3, Hires resize: 1024x768, '
        "Hires steps: 9, Hires upscaler: Latent, Version"
    )
    assert written in text


def test_img2img_settings() -> None:
    text = (
        f"{START}, Denoising strength: 0.6, Resize mode: Crop and resize, Noise multiplier: 1.1, Mask blur: 6, "
        "Masked content: fill, Mask rounding: False"
    )
    pasted = request_from_infotext(text)
    assert pasted.img2img == {
        "denoising_strength": 0.6, "resize_mode": ResizeMode.CROP_AND_RESIZE, "initial_noise_multiplier": 1.1,
        "inpaint": {
            "blur_x": 6, "blur_y": 6, "invert": False, "round_mask": False, "content": 0, "only_masked": False,
        },
    }  # fmt: skip


def test_impossible_img2img_settings_are_said() -> None:
    pasted = request_from_infotext(f"{START}, Denoising strength: 3, Mask blur: 9999, Masked content: jam")
    assert pasted.img2img["inpaint"] == {"invert": False, "round_mask": True, "only_masked": False}
    assert sum("not carried over" in sentence for sentence in pasted.not_carried_over) == 2
    assert any("jam" in sentence for sentence in pasted.not_carried_over)


def test_styles_are_named() -> None:
    pasted = request_from_infotext(START, ReadingOptions((Style("Cats", "a {prompt}", "dog"),)))
    assert pasted.styles == ("Cats",)
    assert pasted.fields["prompt"] == "cat"


KEYS = [
    "Steps",
    "Seed",
    "Size",
    "Sampler",
    "Eta",
    "Mask blur",
    "Denoising strength",
    "Clip skip",
    "VAE",
    "RNG",
    "Other",
]
lines = st.lists(st.tuples(st.sampled_from(KEYS), st.text(max_size=12)), min_size=3, max_size=8)


@given(lines)
def test_whatever_the_values_are_the_fields_make_a_request(pairs: list[tuple[str, str]]) -> None:
    text = "a cat\n" + ", ".join(f"{key}: {value}" for key, value in pairs)
    assert request_from_infotext(text).request()
