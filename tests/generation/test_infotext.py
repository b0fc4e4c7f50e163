from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from generation.infotext import (
    carries_prompts,
    format_infotext,
    number,
    parse_infotext,
    quote,
    request_from_infotext,
    unquote,
)
from generation.request import GenerationRequest, make_request
from tests.generation.requests import requests

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/infotext_vectors.json").read_text())

MASKED = {
    "mask": b"mask",
    "blur_x": 4,
    "blur_y": 8,
    "invert": True,
    "content": 2,
    "only_masked": True,
    "padding": 7,
}


def written(request: GenerationRequest) -> str:
    """Infotext of the request as the worker writes it."""
    vae = "" if request.vae == "Automatic" else request.vae
    return format_infotext(request, seed=request.seed, model_hash=request.model, vae_name=vae)


def test_keys_come_in_a1111s_order() -> None:
    request = make_request(
        prompt="a cat", negative_prompt="dog", seed=3, variation_strength=0.25, variation_seed=9, clip_skip=2,
        seed_resize_width=64, seed_resize_height=32, sampler="Euler a", schedule="Karras", cfg_scale=6.5,
        sampling={"eta": 0.5, "s_churn": 1, "s_tmin": 0.1, "s_tmax": 9, "s_noise": 1.01, "sigma_min": 0.1,
                  "sigma_max": 10, "rho": 5, "cfg_rescale": 0.7, "eta_noise_seed_delta": 31337},
        img2img={"init_images": (b"x",), "denoising_strength": 0.6, "resize_mode": 1,
                 "initial_noise_multiplier": 1.1, "inpaint": MASKED},
    )  # fmt: skip
    text = format_infotext(
        request, seed=4, variation_seed=10, model_name="m", model_hash="abc", vae_name="v", vae_hash="def",
        extra={"Lora hashes": "x: 1, y: 2"},
    )  # fmt: skip
    assert text == (
        "a cat\nNegative prompt: dog\n"
        "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 6.5, Seed: 4, Size: 512x512, "
        "Model hash: abc, Model: m, VAE hash: def, VAE: v, Variation seed: 10, Variation seed strength: 0.25, "
        "Seed resize from: 64x32, Denoising strength: 0.6, Clip skip: 2, ENSD: 31337, RNG: CPU, Eta: 0.5, "
        "Sigma churn: 1, Sigma tmin: 0.1, Sigma tmax: 9, Sigma noise: 1.01, Schedule min sigma: 0.1, "
        "Schedule max sigma: 10, Schedule rho: 5, CFG rescale: 0.7, Resize mode: Crop and resize, "
        "Noise multiplier: 1.1, Mask blur x: 4, Mask blur y: 8, Mask mode: Inpaint not masked, "
        "Masked content: latent noise, Inpaint area: Only masked, Masked area padding: 7, "
        'Lora hashes: "x: 1, y: 2", '
        "Version: easel-v0.1.0"
    )


def test_defaults_are_not_written() -> None:
    assert format_infotext(make_request(noise_source="GPU", cfg_scale=7.0), seed=1, width=256, height=128) == (
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 7, Seed: 1, Size: 256x128, "
        "Version: easel-v0.1.0"
    )


def test_a_key_that_equals_its_value_is_written_once() -> None:
    assert ", Script, Version" in format_infotext(make_request(), seed=1, extra={"Script": "Script", "x": None})


def test_ddim_has_its_own_eta() -> None:
    assert "Eta DDIM: 1," in format_infotext(make_request(sampler="DDIM", sampling={"eta": 1}), seed=1)


@pytest.mark.parametrize("case", REFERENCE["quote"], ids=lambda case: str(case["value"]))
def test_values_are_quoted_as_a1111_quotes_them(case: dict) -> None:
    assert quote(case["value"]) == case["quoted"]
    if case["unquoted"] is not None:
        assert unquote(str(case["quoted"])) == case["unquoted"]


@pytest.mark.parametrize(("text", "meant"), [("", ""), ('"', '"'), ('"a', '"a'), ('"a\\x"', '"a\\x"'), ('""', "")])
def test_what_is_no_json_stays_as_it_is(text: str, meant: str) -> None:
    assert unquote(text) == meant


@pytest.mark.parametrize(("value", "text"), [(7.0, "7"), (0.1, "0.1"), (1e-7, "1e-07"), (1e22, "1" + "0" * 22)])
def test_numbers_are_short_and_exact(value: float, text: str) -> None:
    assert number(value) == text
    assert float(text) == value


@given(requests())
def test_reading_what_was_written_gives_the_same_request(request: GenerationRequest) -> None:
    pasted = request_from_infotext(written(request))
    assert pasted.request() == request
    assert pasted.not_carried_over == ()


def test_img2img_settings_come_back_without_their_pictures() -> None:
    request = make_request(seed=1, img2img={"init_images": (b"x",), "denoising_strength": 0.3, "inpaint": MASKED})
    pasted = request_from_infotext(written(request))
    assert pasted.img2img["denoising_strength"] == 0.3
    settings = {name: value for name, value in MASKED.items() if name != "mask"}
    assert pasted.img2img["inpaint"] == {**settings, "round_mask": True}
    assert len(pasted.not_carried_over) == 2


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        (" a", ""), ("a ", ""), ("\na", ""), ("a\n b", ""), ("a\r", ""), ("Negative prompt: x", ""), ("a", " b"),
        ("a", "b\nNegative prompt: c"), ("a", "\nb"), ("x\nNegative prompt:", ""), ("", "\n"),
        ("a # note", ""),
    ],
)  # fmt: skip
def test_prompts_that_the_text_form_cannot_carry(prompt: str, negative: str) -> None:
    assert not carries_prompts(prompt, negative)
    read = parse_infotext(format_infotext(make_request(prompt=prompt, negative_prompt=negative), seed=1))
    assert (read["Prompt"], read["Negative prompt"]) != (prompt, negative)


@pytest.mark.parametrize(
    ("prompt", "negative"),
    [("a\n\nb", "c"), ("a\n", ""), ("a\n", "b\n"), ("", ""), ("", "x"), ("Steps: 1, Seed: 1, Size: 1", ""),
     ("a Negative prompt: b", ""), ("a", "Negative prompt: b"), ("‮אב", "🐈")],
)  # fmt: skip
def test_prompts_that_look_odd_but_are_carried(prompt: str, negative: str) -> None:
    assert carries_prompts(prompt, negative)
    read = parse_infotext(format_infotext(make_request(prompt=prompt, negative_prompt=negative), seed=1))
    assert (read["Prompt"], read["Negative prompt"]) == (prompt, negative)


@pytest.mark.parametrize("unit", ['a, "b": c\\d ', "🐈‍⬛ قطة, ", "line\n", "(x:1.2) [a:b:5] "])
def test_ten_kilobyte_prompts_come_back(unit: str) -> None:
    long = (unit * 3000)[:10_000].strip()
    request = make_request(prompt=long, negative_prompt=long[::-1].strip(), seed=1, noise_source="GPU")
    assert carries_prompts(request.prompt, request.negative_prompt)
    assert request_from_infotext(written(request)).request() == request
