"""NovelAI's PNG texts as a request."""

from __future__ import annotations

from collections.abc import Mapping

from generation.foreign_json import mapping, parse_object, text_of
from generation.foreign_samplers import put_novelai_sampler
from generation.pasted_request import PasteBuilder, PastedRequest, parse_number

_NUMBERS = {"seed": ("Seed", "seed"), "steps": ("Steps", "steps"), "scale": ("CFG scale", "cfg_scale")}
_NOT_CARRIED = ("sm", "sm_dyn", "dynamic_thresholding", "reference_image_multiple", "reference_strength",
                "director_reference_images")  # fmt: skip
CLIP_SKIP = 2  # what A1111 sets for NovelAI's pictures, with the noise seed offset below
NOISE_SEED_DELTA = 31337


def request_from_novelai(texts: Mapping[str, str], width: int, height: int) -> PastedRequest | None:
    """The request in the PNG texts of NovelAI, for a picture of that size; None if they are not NovelAI's."""
    comment = parse_object(texts.get("Comment"))
    if comment is None or texts.get("Software") != "NovelAI":
        return None
    builder = PasteBuilder("NovelAI")
    prompt = texts.get("Description") or text_of(comment.get("prompt"))
    negative = text_of(comment.get("uc"))
    if not negative:
        caption = mapping(mapping(comment.get("v4_negative_prompt")).get("caption"))
        negative = text_of(caption.get("base_caption"))
    builder.put("Prompt", prompt=prompt)
    builder.put("Negative prompt", negative_prompt=negative)
    if any(mark in prompt + negative for mark in ("{", "::")):
        builder.say("NovelAI's weights, {word} and 1.2::words::, are plain text here: write (word:1.05).")
    for key, (label, field) in _NUMBERS.items():
        if comment.get(key) is not None:
            builder.put_number(label, comment[key], field)
    builder.put_size(width, height)
    put_novelai_sampler(builder, text_of(comment.get("sampler")), text_of(comment.get("noise_schedule")))
    builder.put("Clip skip", clip_skip=CLIP_SKIP)
    builder.put_sampling("ENSD", "eta_noise_seed_delta", NOISE_SEED_DELTA)
    if rescale := parse_number(comment.get("cfg_rescale")):
        builder.put_sampling("CFG rescale", "cfg_rescale", rescale)
    for key in _NOT_CARRIED:
        if comment.get(key):
            builder.say(f"{key} is NovelAI's own and not carried over.")
    if (strength := parse_number(comment.get("strength"))) is not None and comment.get("request_type", "") in (
        "Img2ImgRequest", "NativeInfillingRequest", "",
    ):  # fmt: skip
        builder.put_img2img("Denoising strength", denoising_strength=strength)
        builder.say("The init image is not part of the file: choose it again.")
    builder.say("NovelAI's model is not public; the picture will differ.")
    return builder.build()
