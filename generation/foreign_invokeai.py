"""InvokeAI's metadata ("invokeai_metadata", and "sd-metadata" of version 2) as a request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from generation.foreign_json import items, mapping, text_of
from generation.foreign_samplers import put_invoke_sampler
from generation.pasted_request import PasteBuilder, PastedRequest, parse_number, short

_NUMBERS = {"seed": ("Seed", "seed"), "steps": ("Steps", "steps"), "cfg_scale": ("CFG scale", "cfg_scale")}
_NOT_CARRIED = {
    "positive_style_prompt": "SDXL style prompt", "negative_style_prompt": "SDXL negative style prompt",
    "refiner_model": "Refiner", "controlnets": "ControlNet", "ipAdapters": "IP-Adapter",
    "t2iAdapters": "T2I-Adapter", "hrf_enabled": "High-resolution fix", "seamless_x": "Tiling in x",
    "seamless_y": "Tiling in y", "canvas_v2_metadata": "Canvas layers", "regions": "Regional guidance",
    "guidance": "Distilled guidance", "upscale_model": "Upscaling",
}  # fmt: skip
_COMPEL = re.compile(r"\)[\d.+-]|\w[+-]{2}|\)\.(?:and|blend|swap)\(")


def request_from_invokeai(metadata: Mapping[str, object]) -> PastedRequest:
    """The request in InvokeAI's metadata of version 3 and later."""
    builder = PasteBuilder("InvokeAI")
    tags = " ".join(_lora_tags(metadata))
    _put_prompts(builder, text_of(metadata.get("positive_prompt")), text_of(metadata.get("negative_prompt")), tags)
    _put_numbers_and_size(builder, metadata)
    if scheduler := text_of(metadata.get("scheduler")):
        put_invoke_sampler(builder, scheduler)
    builder.put_model(_model_name(metadata.get("model")))
    if vae := _model_name(metadata.get("vae")):
        builder.put("VAE", vae=vae)
    if isinstance(skip := metadata.get("clip_skip"), int):
        builder.put("Clip skip", clip_skip=skip + 1)  # InvokeAI counts the layers left out
    if rescale := parse_number(metadata.get("cfg_rescale_multiplier")):
        builder.put_sampling("CFG rescale", "cfg_rescale", rescale)
    builder.put("Noise device", noise_source="GPU" if metadata.get("rand_device") == "cuda" else "CPU")
    mode = text_of(metadata.get("generation_mode"))
    if "img2img" in mode or "inpaint" in mode or metadata.get("init_image"):
        _put_strength(builder, metadata.get("strength"))
    for key, label in _NOT_CARRIED.items():
        if metadata.get(key) not in (None, "", [], {}, False):
            builder.say(f"{label} ({key}) is not carried over.")
    return builder.build()


def request_from_invokeai_2(metadata: Mapping[str, object]) -> PastedRequest:
    """The request in the metadata of InvokeAI 2."""
    builder = PasteBuilder("InvokeAI")
    image = mapping(metadata.get("image"))
    prompts = image.get("prompt")
    parts = [text_of(mapping(part).get("prompt")) for part in items(prompts)] or [text_of(prompts)]
    text, negative = ", ".join(part for part in parts if part), ""
    if match := re.fullmatch(r"(?s)(.*?)\s*\[([^\[\]]*)\]\s*", text):  # version 2 wrote negatives in brackets
        text, negative = match[1], match[2]
    _put_prompts(builder, text, negative, "")
    _put_numbers_and_size(builder, image)
    if sampler := text_of(image.get("sampler")):
        put_invoke_sampler(builder, sampler)
    builder.put_model(text_of(metadata.get("model_weights")))
    if image.get("type") == "img2img":
        _put_strength(builder, image.get("strength"))
    return builder.build()


def _put_numbers_and_size(builder: PasteBuilder, values: Mapping[str, object]) -> None:
    """Both generations of metadata name these alike."""
    for key, (label, field) in _NUMBERS.items():
        if values.get(key) is not None:
            builder.put_number(label, values[key], field)
    if values.get("width") is not None:
        builder.put_size(values["width"], values.get("height"))


def _put_prompts(builder: PasteBuilder, text: str, negative: str, tags: str) -> None:
    for part in (text, negative):
        if _COMPEL.search(part):
            builder.say(
                f"{short(part)} has weights in InvokeAI's form, (text)1.2 or word++; here they are plain text."
            )
    builder.put("Prompt", prompt=" ".join(part for part in (text, tags) if part))
    builder.put("Negative prompt", negative_prompt=negative)


def _put_strength(builder: PasteBuilder, strength: object) -> None:
    if (number := parse_number(strength)) is not None:
        builder.put_img2img("Denoising strength", denoising_strength=number)
    builder.say("The init image is not part of the file: choose it again.")


def _model_name(model: object) -> str:
    """InvokeAI's models are objects with a name, under one of two keys; early ones were plain names."""
    about = mapping(model)
    return text_of(about.get("name")) or text_of(about.get("model_name")) or text_of(model)


def _lora_tags(metadata: Mapping[str, object]) -> list[str]:
    tags = []
    for entry in items(metadata.get("loras")):
        lora = mapping(entry)
        name = _model_name(lora.get("model")) or _model_name(lora.get("lora"))
        weight = parse_number(lora.get("weight"))
        if name:
            tags.append(f"<lora:{name}:{1 if weight is None else weight}>")
    return tags
