"""From anything that describes a picture (a file's metadata, a pasted text) to one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from generation.errors import InvalidRequest
from generation.foreign_comfyui import request_from_comfyui
from generation.foreign_fooocus import is_fooocus, request_from_fooocus
from generation.foreign_invokeai import request_from_invokeai, request_from_invokeai_2
from generation.foreign_json import items, mapping, parse_object, take_json_values, text_of
from generation.foreign_novelai import request_from_novelai
from generation.foreign_samplers import put_comfy_sampler
from generation.infotext_parse import ReadingOptions, Value, parse_infotext
from generation.infotext_request import request_from_parameters
from generation.metadata import Metadata
from generation.pasted_request import PasteBuilder, PastedRequest
from generation.request_json import request_from_json
from generation.version import NAME


def request_from_metadata(metadata: Metadata, options: ReadingOptions | None = None) -> PastedRequest:
    """The request that a picture file describes, whichever program wrote it; empty if it says nothing.

    Our own JSON says more than infotext, infotext more than foreign JSON, so they are tried in this order.
    """
    if metadata.request_json is not None:
        try:
            return request_from_json(metadata.request_json)
        except InvalidRequest:
            pass  # somebody else's chunk of that name, or a damaged one: the infotext is beside it
    if metadata.infotext.strip():
        return request_from_text(metadata.infotext, options)
    texts = metadata.items
    if novelai := request_from_novelai(texts, metadata.width, metadata.height):
        return novelai
    for key in ("invokeai_metadata", "sd-metadata", "prompt", "Comment", "ImageDescription"):
        if (found := parse_object(texts.get(key))) and (pasted := _from_object(found)):
            return pasted
    if "workflow" in texts:
        sentence = "The file holds ComfyUI's workflow but not the graph that was run; it cannot be carried over."
        return PastedRequest(source="ComfyUI", not_carried_over=(sentence,))
    return PastedRequest()


def request_from_text(text: str, options: ReadingOptions | None = None) -> PastedRequest:
    """The request that a pasted text describes: infotext of any program, or the JSON of one we know."""
    if (found := parse_object(text)) and (pasted := _from_object(found, text)):
        return pasted
    plain, values = take_json_values(text)
    parameters = parse_infotext(plain, options)
    pasted = request_from_parameters(_mended(parameters), _source(parameters, values))
    sentences = [*pasted.not_carried_over, *_lora_sentences(values)]
    checkpoint = _checkpoint(values)
    if checkpoint and not pasted.model_name:
        pasted = replace(pasted, model_name=checkpoint)
        if "model" not in pasted.fields:
            pasted = replace(pasted, fields={**pasted.fields, "model": checkpoint})
    if pasted.source == "Fooocus":
        pasted, sentences = _with_fooocus_sampler(pasted, parameters, sentences)
    return replace(pasted, not_carried_over=tuple(sentences))


def _from_object(found: dict[str, object], text: str = "") -> PastedRequest | None:
    if text and "request" in found:
        try:
            return request_from_json(text)
        except InvalidRequest:
            return None
    if is_fooocus(found):
        return request_from_fooocus(found)
    if "positive_prompt" in found or found.get("app_version"):
        return request_from_invokeai_2(found) if "image" in found else request_from_invokeai(found)
    if "image" in found and "model_weights" in found:
        return request_from_invokeai_2(found)
    graph = mapping(found.get("prompt")) or found
    return request_from_comfyui(graph)


def _source(parameters: Mapping[str, Value], values: Mapping[str, object]) -> str:
    """The program that wrote an infotext, as far as it says so."""
    version = str(parameters.get("Version", ""))
    if "Civitai resources" in values or "Civitai metadata" in values:
        return "Civitai"
    if "App" in parameters:
        return str(parameters["App"])
    for start, name in (
        (NAME, "Easel"),
        ("Fooocus", "Fooocus"),
        ("ComfyUI", "ComfyUI"),
        ("f", "Forge"),
        ("v", "A1111"),
    ):
        if version.startswith(start):
            return name
    return ""


def _mended(parameters: dict[str, Value]) -> dict[str, Value]:
    """Without what only tells about the program, and with Fooocus' names for known keys."""
    informative = {"App", "Fooocus V2 Expansion", "Metadata Scheme", "Raw prompt", "Raw negative prompt"}
    kept = {key: value for key, value in parameters.items() if key not in informative}
    if str(kept.get("Version", "")).startswith("Fooocus"):
        kept = {key: value for key, value in kept.items() if key not in ("Sampler", "Scheduler")}
    return kept


def _with_fooocus_sampler(
    pasted: PastedRequest, parameters: Mapping[str, Value], sentences: list[str]
) -> tuple[PastedRequest, list[str]]:
    """Fooocus writes A1111's sampler name or ComfyUI's, and ComfyUI's schedule as "Scheduler"."""
    builder = PasteBuilder()
    put_comfy_sampler(builder, str(parameters.get("Sampler", "")), str(parameters.get("Scheduler", "")))
    named = builder.build()
    return replace(pasted, fields={**pasted.fields, **named.fields}), [*sentences, *named.not_carried_over]


def _checkpoint(values: Mapping[str, object]) -> str:
    for resource in map(mapping, items(values.get("Civitai resources"))):
        if text_of(resource.get("type")).lower() == "checkpoint":
            return text_of(resource.get("modelName"))
    return ""


def _lora_sentences(values: Mapping[str, object]) -> list[str]:
    """What to do about the add-ons in Civitai's list: their file names are not known."""
    sentences = []
    for resource in map(mapping, items(values.get("Civitai resources"))):
        kind, name = text_of(resource.get("type")), text_of(resource.get("modelName"))
        if kind.lower() == "checkpoint" or not (kind or name):
            continue
        weight, version = text_of(resource.get("weight")) or "1", text_of(resource.get("modelVersionName"))
        where = f", Civitai version {number}" if (number := text_of(resource.get("modelVersionId"))) else ""
        hint = f": write <lora:its file name:{weight}>" if kind.lower() in ("lora", "lycoris", "locon") else ""
        sentences.append(f"{kind} {name!r} {version!r}{where} is not carried over{hint}.")
    return sentences
