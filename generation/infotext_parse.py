"""Reading A1111's infotext: prompt lines, "Negative prompt: …" lines, one line of `Key: value` pairs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from generation.errors import InvalidRequest
from generation.infotext_versions import is_before
from generation.prompt_attention import BREAK, parse_attention
from generation.styles import Style, extract_styles

Value = str | int | bool | list[str]  # a list of styles; numbers and bools are defaults only

NEGATIVE = "Negative prompt:"
LEAST_PAIRS = 3  # fewer make the last line prompt text

DEFAULTS: dict[str, str | int | bool] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}

_KEY_CHARACTERS = re.compile(r"[\w \-/]*")
_WORD = re.compile(r"\w")
_SPACES = re.compile(r"\s*")
_QUOTED = re.compile(r'"(?:\\.|[^\\"])+"(?=,|$)')
_SIZE = re.compile(r"^(\d+)x(\d+)$")


class StyleReading(StrEnum):
    """What to do with styles that are recognised in a pasted prompt; A1111's words."""

    IGNORE = "Ignore"
    APPLY = "Apply"
    DISCARD = "Discard"
    APPLY_IF_ANY = "Apply if any"


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """A1111's settings about reading infotext, with its defaults."""

    styles: Sequence[Style] = ()
    style_reading: StyleReading = StyleReading.APPLY_IF_ANY
    skip: Collection[str] = ()
    back_compatible: bool = True
    hires_size_is_size: bool = False


def quote(value: object) -> object:
    """The value as it is written: JSON if it holds a comma, a colon or a newline."""
    text = str(value)
    return json.dumps(value, ensure_ascii=False) if any(mark in text for mark in ",\n:") else value


def unquote(text: str) -> str:
    """The value as it was meant: JSON strings decoded, anything else as it is."""
    if len(text) < 1 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def find_pairs(line: str) -> Iterator[tuple[str, str]]:
    """`Key: value` pairs of one line, values still quoted. Linear in the length of the line.

    A key is a letter or digit, then letters, digits, spaces, `-` and `/`, at least two characters in all; a
    value is a JSON-like string that ends before a comma, or everything up to the next comma.
    """
    position = 0
    while (colon := line.find(":", position)) >= 0:
        before = line[position:colon]
        run = _KEY_CHARACTERS.match(before[::-1])
        first = _WORD.search(before, len(before) - (run.end() if run else 0))
        if first is None or len(before) - first.start() < 2:
            position = colon + 1
            continue
        start = _SPACES.match(line, colon + 1).end()  # type: ignore[union-attr]  # matches even nothing
        quoted = _QUOTED.match(line, start)
        comma = line.find(",", start)
        end = quoted.end() if quoted else comma if comma >= 0 else len(line)
        yield before[first.start() :], line[start:end]
        position = end + 1


def parse_infotext(text: str, options: ReadingOptions | None = None) -> dict[str, Value]:
    """The parameters of an infotext with A1111's keys, "Prompt" and "Negative prompt" included.

    Values are strings; defaults for absent keys are what A1111 adds. Never raises: what cannot be read is left
    out or taken as prompt text.
    """
    options = options or ReadingOptions()
    prompt, negative, pairs = _split(text)
    result = _values(pairs)
    if options.style_reading is not StyleReading.IGNORE:
        prompt, negative = _take_styles(result, prompt, negative, options)
    result["Prompt"], result["Negative prompt"] = prompt, negative
    if "Hypernet" in result:
        result["Prompt"] = f"{prompt}<hypernet:{result['Hypernet']}:{result.get('Hypernet strength', '1.0')}>"
    _add_defaults(result, options)
    if "Emphasis" not in result and (_uses_emphasis(prompt) or _uses_emphasis(negative)):
        result["Emphasis"] = "Original"
    if options.back_compatible:
        _add_old_behaviour(result)
    return {key: value for key, value in result.items() if key not in options.skip}


def _split(text: str) -> tuple[str, str, list[tuple[str, str]]]:
    *lines, last = text.strip().split("\n")
    pairs = list(find_pairs(last))
    if len(pairs) < LEAST_PAIRS:
        lines.append(last)
        pairs = []
    parts: tuple[list[str], list[str]] = ([], [])
    is_negative = False
    for line in map(str.strip, lines):
        if line.startswith(NEGATIVE):
            is_negative = True
            line = line[len(NEGATIVE) :].strip()
        part = parts[is_negative]
        if part or line:  # leading blank lines are dropped, others kept
            part.append(line)
    return "\n".join(parts[0]), "\n".join(parts[1]), pairs


def _values(pairs: list[tuple[str, str]]) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for key, raw in pairs:
        if not raw:
            continue
        value = unquote(raw)
        if size := _SIZE.match(value):
            result[f"{key}-1"], result[f"{key}-2"] = size[1], size[2]
        else:
            result[key] = value
    return result


def _take_styles(result: dict[str, Value], prompt: str, negative: str, options: ReadingOptions) -> tuple[str, str]:
    """The prompts without the styles found in them, which are noted in `result`."""
    found, plain, plain_negative = extract_styles(options.styles, prompt, negative)
    has_hires_prompt = "Hires prompt" in result or "Hires negative prompt" in result
    if has_hires_prompt and is_before("1.8.0-139", result.get("Version"), unknown=True):
        hires = str(result.get("Hires prompt", prompt)), str(result.get("Hires negative prompt", negative))
        hires_found, hires_plain, hires_negative = extract_styles(options.styles, *hires)
        if hires_found != found:
            return prompt, negative
        result["Hires prompt"] = "" if hires_plain == plain else hires_plain
        result["Hires negative prompt"] = "" if hires_negative == plain_negative else hires_negative
    reading = options.style_reading
    if reading is StyleReading.APPLY or (reading is StyleReading.APPLY_IF_ANY and found):
        result["Styles array"] = found
    return plain, plain_negative


def _add_defaults(result: dict[str, Value], options: ReadingOptions) -> None:
    if "Hires resize-1" not in result:
        result["Hires resize-2"] = 0
    _restore_old_hires(result, options)
    for key, default in DEFAULTS.items():
        result.setdefault(key, default)
    if result["FP8 weight"] != "Disable":
        result.setdefault("Cache FP16 weight for LoRA", False)


def _restore_old_hires(result: dict[str, Value], options: ReadingOptions) -> None:
    """Before 2023 "Size" was the final size and "First pass size" the first pass's; 0x0 meant computed."""
    try:
        hires = int(str(result.get("Hires resize-1", 0))), int(str(result.get("Hires resize-2", 0)))
        if options.hires_size_is_size and all(hires):
            result["Size-1"], result["Size-2"] = hires
            return
        if "First pass size-1" not in result or "First pass size-2" not in result:
            return
        first = int(str(result["First pass size-1"])), int(str(result["First pass size-2"]))
        width, height = int(str(result.get("Size-1", 512))), int(str(result.get("Size-2", 512)))
        if not all(first):
            scale = math.sqrt(512 * 512 / (width * height))
            first = math.ceil(scale * width / 64) * 64, math.ceil(scale * height / 64) * 64
    except (ValueError, ZeroDivisionError, OverflowError):
        return
    result["Size-1"], result["Size-2"] = first
    result["Hires resize-1"], result["Hires resize-2"] = width, height


def _uses_emphasis(text: str) -> bool:
    try:
        return any(weight != 1.0 and run != BREAK for run, weight in parse_attention(text))
    except InvalidRequest:
        return True


def _add_old_behaviour(result: dict[str, Value]) -> None:
    """Switches that make newer versions behave as the one that wrote the text."""
    version = result.get("Version")
    if is_before(version, "1.6.0"):
        if "[" in str(result["Prompt"]):
            result["Old prompt editing timelines"] = True
        if result.get("Sampler") in ("DDIM", "PLMS"):
            result["Pad conds v0"] = True
    if is_before(version, "1.7.0-225"):
        result["Downcast alphas_cumprod"] = True
    if is_before(version, "1.8.0") and result.get("Refiner"):
        result["Refiner switch by sampling steps"] = True
