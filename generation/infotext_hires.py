"""From the "Hires …" keys of infotext to the second pass of a request."""

from __future__ import annotations

from generation.infotext_parse import DEFAULTS, Value
from generation.pasted_request import PasteBuilder, parse_number

_MARKS = ("Hires upscale", "Hires resize-1", "Hires resize-2", "Hires upscaler")
_NUMBERS = {
    "Denoising strength": "denoising_strength",
    "Hires upscale": "scale",
    "Hires resize-1": "width",
    "Hires resize-2": "height",
    "Hires steps": "steps",
    "Hires CFG Scale": "cfg_scale",
}
_TEXTS = {
    "Hires upscaler": "upscaler",
    "Hires sampler": "sampler",
    "Hires schedule type": "schedule",
    "Hires prompt": "prompt",
    "Hires negative prompt": "negative_prompt",
}


def tells_hires(keys: dict[str, Value]) -> bool:
    """True if the parameters are those of a picture with a second pass."""
    return any(keys.get(key, DEFAULTS.get(key)) != DEFAULTS.get(key) for key in _MARKS)


def put_hires(builder: PasteBuilder, keys: dict[str, Value]) -> None:
    """Take the second pass over, removing its keys; each value that is not valid becomes a sentence."""
    builder.put_hires("Hires")
    for key, name in _NUMBERS.items():
        if key in keys and (value := keys.pop(key)) != DEFAULTS.get(key):
            builder.put_hires(key, **{name: parse_number(value)})
    for key, name in _TEXTS.items():
        if key in keys and (value := keys.pop(key)) != DEFAULTS.get(key):
            builder.put_hires(key, **{name: value})
