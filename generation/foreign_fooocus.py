"""Fooocus' JSON metadata as a request. (Its other scheme is infotext and needs no reader of its own.)"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from generation.foreign_json import items, text_of
from generation.foreign_samplers import put_comfy_sampler
from generation.pasted_request import PasteBuilder, PastedRequest, parse_number, short

_NUMBERS = {
    "seed": ("Seed", "seed"),
    "steps": ("Steps", "steps"),
    "guidance_scale": ("CFG scale", "cfg_scale"),
    "clip_skip": ("Clip skip", "clip_skip"),
}
_SIZE = re.compile(r"\(?\s*(\d+)\s*[,x×*]\s*(\d+)\s*\)?")
_NOT_CARRIED = ("styles", "performance", "sharpness", "adm_guidance", "refiner_model", "adaptive_cfg", "freeu",
                "inpaint_method", "prompt_expansion")  # fmt: skip
_NOTHING: tuple[object, ...] = (None, "", "None", "[]", [], False)


def is_fooocus(metadata: Mapping[str, object]) -> bool:
    """True if this JSON object is Fooocus' way of describing a picture."""
    return "base_model" in metadata and "guidance_scale" in metadata


def request_from_fooocus(metadata: Mapping[str, object]) -> PastedRequest:
    """The request in Fooocus' JSON. Its styles are texts of its own, so they are named but not carried over."""
    builder = PasteBuilder("Fooocus")
    tags = (f"<lora:{PurePath(name).stem}:{weight}>" for name, weight in _loras(metadata))
    prompt = " ".join(part for part in (text_of(metadata.get("prompt")), *tags) if part)
    builder.put("Prompt", prompt=prompt)
    builder.put("Negative prompt", negative_prompt=text_of(metadata.get("negative_prompt")))
    for key, (label, field) in _NUMBERS.items():
        if metadata.get(key) is not None:
            builder.put_number(label, metadata[key], field)
    size = metadata.get("resolution")
    if match := _SIZE.fullmatch(text_of(size)):
        builder.put_size(match[1], match[2])
    elif len(pair := items(size)) == 2:
        builder.put_size(*pair)
    put_comfy_sampler(builder, text_of(metadata.get("sampler")), text_of(metadata.get("scheduler")))
    builder.put_model(PurePath(text_of(metadata.get("base_model"))).stem, text_of(metadata.get("base_model_hash")))
    vae = text_of(metadata.get("vae"))
    if vae and not vae.startswith("Default"):
        builder.put("VAE", vae=vae)
    builder.put("Noise", noise_source="CPU")
    for key in _NOT_CARRIED:
        if metadata.get(key) not in _NOTHING:
            builder.say(f"{key}: {short(metadata[key])} is Fooocus' own and not carried over.")
    return builder.build()


def _loras(metadata: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Names and weights, from a list of `[name, weight, hash]` or from "lora_combined_1": "name : weight"."""
    for entry in items(metadata.get("loras")):
        parts = items(entry)
        if len(parts) >= 2 and text_of(parts[0]) not in ("", "None") and parse_number(parts[1]) is not None:
            yield text_of(parts[0]), parts[1]
    for key, value in metadata.items():
        if key.startswith("lora_combined_"):
            name, _, weight = text_of(value).rpartition(" : ")
            if name not in ("", "None") and parse_number(weight.strip()) is not None:
                yield name, weight.strip()
