"""ComfyUI's executed graph ("prompt" in its PNG files) as a request, as far as common nodes go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PureWindowsPath

from generation.comfy_graph import Graph, Node
from generation.foreign_json import text_of
from generation.foreign_samplers import put_comfy_sampler
from generation.pasted_request import PasteBuilder, PastedRequest, parse_number

_SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
_CHECKPOINT_INPUTS = ("ckpt_name", "unet_name", "model_name", "gguf_name")
_PASSED_ON = {
    "ControlNetApply": "ControlNet", "ControlNetApplyAdvanced": "ControlNet", "IPAdapter": "IP-Adapter",
    "IPAdapterAdvanced": "IP-Adapter", "FreeU": "FreeU", "FreeU_V2": "FreeU", "ImageUpscaleWithModel": "upscaling",
    "ConditioningSetArea": "a prompt for a part of the picture", "FaceDetailer": "a face detailer",
    "FluxGuidance": "distilled guidance",
    "ConditioningSetMask": "a prompt for a part of the picture", "RescaleCFG": "CFG rescaling",
    "ConditioningSetTimestepRange": "a prompt for a part of the steps", "PatchModelAddDownscale": "Deep Shrink",
}  # fmt: skip
_EMBEDDING = re.compile(r"\bembedding:\s*")


def request_from_comfyui(prompt: Mapping[str, object]) -> PastedRequest | None:
    """The request that a graph describes; None if it is not a graph.

    With several samplers it is the first pass that counts, since the others work on its result.
    """
    graph = Graph(prompt)
    if not graph.nodes:
        return None
    builder = PasteBuilder("ComfyUI")
    sampler, others = _first_sampler(graph)
    if sampler is None:
        builder.say("ComfyUI's graph has no sampler node that is known here.")
        return builder.build()
    for other in others:
        builder.say(f"A further sampler (node {other.id}, {other.kind}) is not carried over.")
    _put_sampling(graph, sampler, builder)
    loras = _put_model(graph, sampler, builder)
    _put_prompts(graph, sampler, builder, loras)
    _put_latent(graph, sampler, builder)
    for kind, meaning in _PASSED_ON.items():
        if any(node.kind == kind for node in graph.nodes.values()):
            builder.say(f"{kind} ({meaning}) is not carried over.")
    builder.put("Noise", noise_source="CPU")
    return builder.build()


def _first_sampler(graph: Graph) -> tuple[Node | None, list[Node]]:
    """The sampler that has no sampler before it, as seen from the picture that was saved."""
    outputs = [node for node in graph.nodes.values() if "images" in node.inputs] or list(graph.nodes.values())
    found: dict[str, Node] = {}
    for output in outputs:
        found |= {node.id: node for node in graph.upstream(output) if _is_sampler(node)}
    for node in found.values():
        before = [other for other in graph.upstream(node) if other.id in found and other is not node]
        if not before:
            return node, [other for other in found.values() if other is not node]
    return None, []


def _is_sampler(node: Node) -> bool:
    return node.kind in _SAMPLERS or {"steps", "cfg", "sampler_name", "positive"} <= node.inputs.keys()


def _parts(graph: Graph, sampler: Node) -> list[Node]:
    """The sampler, and the nodes that the custom samplers leave settings to."""
    names = ("guider", "noise", "sampler", "sigmas")
    return [sampler, *(part for name in names if (part := graph.source(sampler, name)))]


def _setting(graph: Graph, nodes: list[Node], *names: str) -> object:
    for node in nodes:
        for name in names:
            value = graph.value(node, name)
            if value is not None:
                return value
    return None


def _put_sampling(graph: Graph, sampler: Node, builder: PasteBuilder) -> None:
    nodes = _parts(graph, sampler)
    for label, field, names in (
        ("Seed", "seed", ("seed", "noise_seed")),
        ("Steps", "steps", ("steps",)),
        ("CFG scale", "cfg_scale", ("cfg",)),
    ):
        value = _setting(graph, nodes, *names)
        if value is not None:
            builder.put_number(label, value, field)
    if sampler.kind == "SamplerCustomAdvanced" and _setting(graph, nodes, "cfg") is None:
        builder.put("CFG scale", cfg_scale=1.0)
    name, schedule = _setting(graph, nodes, "sampler_name"), _setting(graph, nodes, "scheduler")
    put_comfy_sampler(builder, text_of(name), text_of(schedule))
    start, end = (parse_number(_setting(graph, nodes, name)) for name in ("start_at_step", "end_at_step"))
    steps = builder.fields.get("steps", 0)
    if start or (end is not None and end < steps):
        builder.say(f"The sampler runs from step {start or 0} to {end}: a part of the steps is not carried over.")


def _put_model(graph: Graph, sampler: Node, builder: PasteBuilder) -> list[str]:
    """Take the checkpoint over; returns the LoRAs as tags."""
    tags: list[str] = []
    start = next((found for node in _parts(graph, sampler) if (found := graph.source(node, "model"))), None)
    for node in graph.chain(start, "model"):
        lora = text_of(graph.value(node, "lora_name"))
        if lora:
            tags.append(_lora_tag(lora, graph.value(node, "strength_model"), graph.value(node, "strength_clip")))
        checkpoint = next((name for key in _CHECKPOINT_INPUTS if (name := text_of(graph.value(node, key)))), "")
        if checkpoint:
            builder.put_model(_stem(checkpoint))
            break
    else:
        builder.say("ComfyUI's graph names no checkpoint that can be found from its sampler.")
    for node in graph.nodes.values():
        if node.kind == "VAELoader" and (name := text_of(node.inputs.get("vae_name"))):
            builder.put("VAE", vae=name)
        if node.kind == "CLIPSetLastLayer" and isinstance(layer := node.inputs.get("stop_at_clip_layer"), int):
            builder.put("Clip skip", clip_skip=-layer)
    return tags[::-1]


def _lora_tag(name: str, model_strength: object, clip_strength: object) -> str:
    unet = parse_number(model_strength)
    unet = 1 if unet is None else unet
    clip = parse_number(clip_strength)
    return f"<lora:{_stem(name)}:{unet}>" if clip in (None, unet) else f"<lora:{_stem(name)}:{clip}:{unet}>"


def _stem(name: str) -> str:
    """A model's name without folders and extension, whichever way its slashes lean."""
    path = PureWindowsPath(name)
    is_weights = path.suffix.lower() in (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".sft")
    return path.stem if is_weights else path.name


def _put_prompts(graph: Graph, sampler: Node, builder: PasteBuilder, loras: list[str]) -> None:
    for name, field in (("positive", "prompt"), ("negative", "negative_prompt")):
        nodes = [node for node in _parts(graph, sampler) if name in node.inputs]
        if not nodes and name == "positive":
            nodes, name = (
                [node for node in _parts(graph, sampler) if "conditioning" in node.inputs],
                "conditioning",
            )
        texts = _conditioning_texts(graph, nodes[0], name, builder) if nodes else []
        text = _EMBEDDING.sub("", ", ".join(texts))
        if field == "prompt" and loras:
            text = " ".join(part for part in (text, *loras) if part)
        builder.put(name.capitalize(), **{field: text})


def _conditioning_texts(graph: Graph, node: Node, name: str, builder: PasteBuilder) -> list[str]:
    """Texts of all encoders that feed a conditioning input, in the order of the inputs."""
    texts: list[str] = []
    seen: set[str] = set()
    waiting = [(node, name)]
    while waiting:
        current, wanted = waiting.pop()
        link = graph.linked(current, wanted)
        if link is None or link[0].id in seen:
            continue
        found, output = link
        seen.add(found.id)
        if found.kind == "ConditioningZeroOut":
            continue
        names = [key for key in found.inputs if key.startswith("conditioning")]
        if "positive" in found.inputs and "negative" in found.inputs:
            names = ["positive" if output == 0 else "negative"]  # ControlNet and its like pass both on
        if names:
            waiting += [(found, key) for key in reversed(names)]
        elif text := graph.text(found):
            texts.append(text)
    if len(texts) > 1:
        builder.say(f"{len(texts)} texts were combined for the {name} prompt; they are joined by commas.")
    return texts


def _put_latent(graph: Graph, sampler: Node, builder: PasteBuilder) -> None:
    for node in graph.chain(graph.source(sampler, "latent_image"), "samples"):
        if node.kind in ("VAEEncodeForInpaint", "SetLatentNoiseMask"):
            builder.say("The mask is not part of the file: draw it again.")
        width, height = graph.value(node, "width"), graph.value(node, "height")
        if "pixels" in node.inputs:
            strength = parse_number(_setting(graph, _parts(graph, sampler), "denoise"))
            builder.put_img2img("Denoising strength", denoising_strength=1.0 if strength is None else strength)
            builder.say("The init image is not part of the file: choose it again.")
        elif width is not None and height is not None:
            builder.put_size(width, height)
            if isinstance(size := graph.value(node, "batch_size"), int) and size > 1:
                builder.say(
                    f"The picture is one of a batch of {size} with one seed: others than the first differ."
                )
