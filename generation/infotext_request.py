"""From infotext to a request: which key is which field, and what has no counterpart."""

from __future__ import annotations

from collections.abc import Mapping

from generation import sampler_info
from generation.errors import UserError
from generation.infotext_hires import put_hires, tells_hires
from generation.infotext_parse import DEFAULTS, ReadingOptions, Value, parse_infotext
from generation.infotext_words import MASKED_CONTENTS, RESIZE_MODES
from generation.pasted_request import PasteBuilder, PastedRequest, parse_number, short

_NUMBERS = {
    "Steps": "steps",
    "CFG scale": "cfg_scale",
    "Seed": "seed",
    "Variation seed": "variation_seed",
    "Variation seed strength": "variation_strength",
    "Clip skip": "clip_skip",
}
_SAMPLING = {
    "Eta": "eta",
    "Eta DDIM": "eta",
    "Sigma churn": "s_churn",
    "Sigma tmin": "s_tmin",
    "Sigma tmax": "s_tmax",
    "Sigma noise": "s_noise",
    "Schedule min sigma": "sigma_min",
    "Schedule max sigma": "sigma_max",
    "Schedule rho": "rho",
    "ENSD": "eta_noise_seed_delta",
    "CFG rescale": "cfg_rescale",
}
_MASK_KEYS = ("Mask blur", "Mask blur x", "Mask blur y", "Mask mode", "Mask rounding", "Masked content")
_AREA_KEYS = ("Inpaint area", "Masked area padding")
# Keys that describe the picture and ask for nothing.
_INFORMATION = {
    "Prompt", "Negative prompt", "Version", "User", "Lora hashes", "TI hashes", "Hypernet", "Hypernet strength",
    "Styles array", "VAE hash", "Created Date", "Batch size", "Batch pos", "Emphasis", "Hashes",
    "First pass size-1", "First pass size-2", "Civitai resources", "Civitai metadata",
}  # fmt: skip


def request_from_infotext(text: str, options: ReadingOptions | None = None) -> PastedRequest:
    """The request an infotext describes. Never raises: what cannot be carried over is said in sentences."""
    return request_from_parameters(parse_infotext(text, options))


def request_from_parameters(values: Mapping[str, Value], source: str = "") -> PastedRequest:
    """The request for parameters as `parse_infotext` gives them."""
    builder = PasteBuilder(source)
    keys = dict(values)
    builder.put("Prompt", prompt=keys["Prompt"])
    builder.put("Negative prompt", negative_prompt=keys["Negative prompt"])
    styles = keys.get("Styles array")
    builder.styles = tuple(styles) if isinstance(styles, list) else ()
    if "Steps" in keys or "Sampler" in keys or "Seed" in keys:
        _put_generation(builder, keys)
    for key, value in keys.items():
        if key not in _INFORMATION and DEFAULTS.get(key) != value:
            builder.say(f"{key}: {short(value)} has no counterpart here.")
    return builder.build()


def _put_generation(builder: PasteBuilder, keys: dict[str, Value]) -> None:
    """Take everything over that is known, removing it from `keys`."""
    for key, name in _NUMBERS.items():
        if key in keys:
            builder.put_number(key, keys.pop(key), name)
    for key, name in _SAMPLING.items():
        if key in keys and (value := keys.pop(key)) != DEFAULTS.get(key):
            builder.put_sampling(key, name, parse_number(value))
    if "Size-1" in keys and "Size-2" in keys:
        builder.put_size(keys.pop("Size-1"), keys.pop("Size-2"))
    _put_seed_resize(builder, keys)
    put_sampler(builder, str(keys.pop("Sampler", "")), str(keys.pop("Schedule type", "")))
    builder.put("RNG", noise_source=keys.pop("RNG", "GPU"))
    builder.put_model(str(keys.pop("Model", "")), str(keys.pop("Model hash", "")))
    if "VAE" in keys:
        builder.put("VAE", vae=keys.pop("VAE"))
    if tells_hires(keys):
        put_hires(builder, keys)
    elif "Denoising strength" in keys:
        _put_img2img(builder, keys)


def _put_seed_resize(builder: PasteBuilder, keys: dict[str, Value]) -> None:
    width = parse_number(keys.pop("Seed resize from-1", 0))
    height = parse_number(keys.pop("Seed resize from-2", 0))
    if width and height:
        builder.put("Seed resize from", seed_resize_width=width, seed_resize_height=height)


def put_sampler(builder: PasteBuilder, sampler: str, schedule: str) -> None:
    """Take sampler and schedule over; each that is unknown becomes a sentence."""
    if schedule:
        try:
            schedule = sampler_info.find_schedule(schedule).label
        except UserError as error:
            builder.say(f"Schedule type is not carried over: {error}")
            schedule = ""
    if sampler:
        try:
            sampler, schedule = sampler_info.resolve(sampler, schedule)
        except UserError as error:
            builder.say(f"Sampler is not carried over: {error}")
        else:
            builder.fields["sampler"] = sampler
    if schedule:
        builder.fields["schedule"] = schedule


def _put_img2img(builder: PasteBuilder, keys: dict[str, Value]) -> None:
    builder.put_img2img("Denoising strength", denoising_strength=parse_number(keys.pop("Denoising strength")))
    if "Noise multiplier" in keys:
        multiplier = parse_number(keys.pop("Noise multiplier"))
        builder.put_img2img("Noise multiplier", initial_noise_multiplier=multiplier)
    modes = {label: mode for mode, label in RESIZE_MODES.items()}
    if keys.get("Resize mode") in modes:
        builder.put_img2img("Resize mode", resize_mode=modes[str(keys.pop("Resize mode"))])
    has_mask = any(key in keys and DEFAULTS.get(key) != keys[key] for key in (*_MASK_KEYS, *_AREA_KEYS))
    if has_mask:
        _put_mask(builder, keys)
    builder.say("The init image is not part of the text: choose it again.")


def _put_mask(builder: PasteBuilder, keys: dict[str, Value]) -> None:
    if "Mask blur" in keys:
        blur = parse_number(keys.pop("Mask blur"))
        builder.put_inpaint("Mask blur", blur_x=blur, blur_y=blur)
    for key, name in (("Mask blur x", "blur_x"), ("Mask blur y", "blur_y")):
        if key in keys:
            builder.put_inpaint(key, **{name: parse_number(keys.pop(key))})
    builder.put_inpaint("Mask mode", invert=keys.pop("Mask mode", "") == "Inpaint not masked")
    builder.put_inpaint("Mask rounding", round_mask=keys.pop("Mask rounding", "True") != "False")
    contents = {label: content for content, label in MASKED_CONTENTS.items()}
    if keys.get("Masked content") in contents:
        builder.put_inpaint("Masked content", content=contents[str(keys.pop("Masked content"))])
    is_only_masked = keys.pop("Inpaint area", "") == "Only masked"
    builder.put_inpaint("Inpaint area", only_masked=is_only_masked)
    if is_only_masked:
        builder.put_inpaint("Masked area padding", padding=parse_number(keys.pop("Masked area padding", 32)))
    builder.say("The mask is not part of the text: draw it again.")
