from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.foreign_comfyui import request_from_comfyui
from generation.pasted_request import PastedRequest


def graph(**changes: dict) -> dict:
    """The graph of ComfyUI's default workflow; each change replaces or adds a node."""
    nodes = {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 156680208700286, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "karras",
                "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd\\v1-5-pruned.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a bottle, embedding:nice", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "watermark", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    }  # fmt: skip
    return {**nodes, **{key.removeprefix("n"): node for key, node in changes.items()}}


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def sampler(**changes: object) -> dict:
    return {"class_type": "KSampler", "inputs": {**graph()["3"]["inputs"], **changes}}


def read(nodes: dict) -> PastedRequest:
    pasted = request_from_comfyui(nodes)
    assert pasted is not None
    assert pasted.request()
    return pasted


def test_the_default_workflow() -> None:
    pasted = read(graph())
    assert pasted.fields == {
        "prompt": "a bottle, nice", "negative_prompt": "watermark", "seed": 156680208700286, "steps": 20,
        "cfg_scale": 8, "sampler": "Euler", "schedule": "Karras", "width": 512, "height": 768,
        "model": "v1-5-pruned", "noise_source": "CPU",
    }  # fmt: skip
    assert (pasted.source, pasted.model_name, pasted.not_carried_over) == ("ComfyUI", "v1-5-pruned", ())


def test_loras_become_tags_in_the_order_they_are_applied() -> None:
    pasted = read(
        graph(
            n3=sampler(model=["11", 0]),
            n10=node(
                "LoraLoader", lora_name="a/one.safetensors", strength_model=0.8, strength_clip=0.5, model=["4", 0]
            ),
            n11=node("LoraLoaderModelOnly", lora_name="two.v1.safetensors", strength_model=1.0, model=["10", 0]),
        )
    )
    assert pasted.fields["prompt"] == "a bottle, nice <lora:one:0.5:0.8> <lora:two.v1:1>"
    assert pasted.model_name == "v1-5-pruned"


def test_an_init_image_makes_it_img2img() -> None:
    pasted = read(
        graph(
            n3=sampler(latent_image=["12", 0], denoise=0.6),
            n10=node("LoadImage", image="x.png"),
            n12=node("SetLatentNoiseMask", samples=["13", 0], mask=["10", 1]),
            n13=node("VAEEncode", pixels=["10", 0], vae=["4", 2]),
        )
    )
    assert pasted.img2img == {"denoising_strength": 0.6}
    assert len(pasted.not_carried_over) == 2


def test_of_two_passes_the_first_counts() -> None:
    second = sampler(latent_image=["20", 0], denoise=0.5, seed=1, steps=9)
    pasted = read(
        graph(n20=node("LatentUpscale", samples=["3", 0], width=1024, height=1024), n21=second,
              n8=node("VAEDecode", samples=["21", 0], vae=["4", 2]))
    )  # fmt: skip
    assert (pasted.fields["steps"], pasted.fields["width"]) == (20, 512)
    assert any("21" in sentence for sentence in pasted.not_carried_over)


def test_the_advanced_sampler_and_values_from_other_nodes() -> None:
    inputs = {**graph()["3"]["inputs"], "noise_seed": ["30", 0], "start_at_step": 5, "end_at_step": 10000}
    inputs = {name: value for name, value in inputs.items() if name != "seed"}
    inputs["steps"] = ["31", 0]
    pasted = read(
        graph(n3={"class_type": "KSamplerAdvanced", "inputs": inputs}, n30=node("Seed (rgthree)", seed=7),
              n31=node("PrimitiveInt", value=12))
    )  # fmt: skip
    assert (pasted.fields["seed"], pasted.fields["steps"]) == (7, 12)
    assert any("from step 5" in sentence for sentence in pasted.not_carried_over)


def test_the_custom_sampler_of_flux_workflows() -> None:
    nodes = {
        "1": node("SamplerCustomAdvanced", noise=["2", 0], guider=["3", 0], sampler=["4", 0], sigmas=["5", 0],
                  latent_image=["6", 0]),
        "2": node("RandomNoise", noise_seed=42),
        "3": node("BasicGuider", model=["7", 0], conditioning=["8", 0]),
        "4": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "5": node("BasicScheduler", scheduler="exponential", steps=4, denoise=1.0, model=["7", 0]),
        "6": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=4),
        "7": node("UNETLoader", unet_name="flux1-schnell.safetensors"),
        "8": node("FluxGuidance", conditioning=["9", 0], guidance=3.5),
        "9": node("CLIPTextEncodeFlux", clip_l="a cat", t5xxl="a cat"),
        "10": node("VAEDecode", samples=["1", 0], vae=["11", 0]),
        "11": node("VAELoader", vae_name="ae.safetensors"),
        "12": node("PreviewImage", images=["10", 0]),
    }  # fmt: skip
    pasted = read(nodes)
    assert pasted.fields == {
        "seed": 42, "steps": 4, "cfg_scale": 1.0, "sampler": "DPM++ 2M", "schedule": "Exponential",
        "model": "flux1-schnell", "vae": "ae.safetensors", "prompt": "a cat", "width": 1024, "height": 1024,
        "noise_source": "CPU", "negative_prompt": "",
    }  # fmt: skip
    assert any("batch of 4" in sentence for sentence in pasted.not_carried_over)
    assert any("FluxGuidance" in sentence for sentence in pasted.not_carried_over)


def test_control_nets_pass_both_prompts_on() -> None:
    control = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], image=["10", 0])
    pasted = read(graph(n3=sampler(positive=["14", 0], negative=["14", 1]), n14=control))
    assert (pasted.fields["prompt"], pasted.fields["negative_prompt"]) == ("a bottle, nice", "watermark")
    assert any("ControlNet" in sentence for sentence in pasted.not_carried_over)


def test_combined_and_zeroed_conditionings() -> None:
    pasted = read(
        graph(
            n3=sampler(positive=["15", 0], negative=["16", 0]),
            n15=node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["7", 0]),
            n16=node("ConditioningZeroOut", conditioning=["6", 0]),
        )
    )
    assert (pasted.fields["prompt"], pasted.fields["negative_prompt"]) == ("a bottle, nice, watermark", "")
    assert any("combined" in sentence for sentence in pasted.not_carried_over)


def test_texts_and_clip_skip_from_other_nodes() -> None:
    pasted = read(
        graph(
            n6=node("CLIPTextEncode", text=["17", 0], clip=["19", 0]),
            n17=node("StringConcatenate", string_a=["18", 0], string_b="two", delimiter=", "),
            n18=node("PrimitiveString", value="one"),
            n19=node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1]),
        )
    )
    assert set(pasted.fields["prompt"].split(", ")) == {"one", "two"}
    assert pasted.fields["clip_skip"] == 2


@pytest.mark.parametrize(
    ("name", "schedule", "sentence"),
    [("res_multistep", "karras", "res_multistep"), ("euler", "linear_quadratic", "linear_quadratic")],
)
def test_unknown_samplers_and_schedules_are_said(name: str, schedule: str, sentence: str) -> None:
    pasted = read(graph(n3=sampler(sampler_name=name, scheduler=schedule)))
    assert any(sentence in text for text in pasted.not_carried_over)


def test_variants_for_devices_are_the_same_sampler() -> None:
    assert read(graph(n3=sampler(sampler_name="dpmpp_2m_sde_gpu"))).fields["sampler"] == "DPM++ 2M SDE"
    assert read(graph(n3=sampler(sampler_name="uni_pc_bh2"))).fields["sampler"] == "UniPC"


def test_circles_and_dead_links_end() -> None:
    pasted = read(
        graph(
            n3=sampler(model=["22", 0], positive=["23", 0], latent_image=["24", 0], steps=["99", 0]),
            n22=node("LoraLoader", lora_name="x", model=["22", 0]),
            n23=node("ConditioningSetArea", conditioning=["23", 0]),
            n24=node("Latent", samples=["24", 0]),
        )
    )
    assert "steps" not in pasted.fields
    assert any("no checkpoint" in sentence for sentence in pasted.not_carried_over)


def test_a_graph_without_a_sampler_says_so_and_other_json_is_none() -> None:
    assert "no sampler" in read({"1": node("LoadImage", image="x")}).not_carried_over[0]
    assert request_from_comfyui({"a": 1, "b": {"c": 2}}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(["3", 0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(sorted(graph())),
    st.sampled_from([*graph()["3"]["inputs"], "text", "images", "width"]),
    json_values,
)
def test_odd_values_anywhere_do_no_harm(node_id: str, name: str, value: object) -> None:
    nodes = json.loads(json.dumps(graph()))
    nodes[node_id]["inputs"][name] = value
    read(nodes)
