"""A1111's prompt language: from one prompt to weighted, scheduled texts and networks.

Order: comments go (`strip_comments`), styles come (`apply_styles`), `<lora:…>` tags are taken out, the rest is
split at AND, each part gets its schedule (`prompt_schedule`), each text its attention (`prompt_attention`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from generation.errors import InvalidRequest
from generation.prompt_attention import BREAK, BREAK_WEIGHT, is_break, parse_attention
from generation.prompt_schedule import (
    ScheduledText,
    active_index,
    active_text,
    is_readable,
    prompt_schedule,
)

__all__ = [
    "BREAK",
    "BREAK_WEIGHT",
    "LoraArguments",
    "Network",
    "ParsedPrompt",
    "ScheduledText",
    "Subprompt",
    "active_index",
    "active_text",
    "apply_styles",
    "extract_networks",
    "is_break",
    "lora_arguments",
    "parse_attention",
    "parse_prompt",
    "prompt_schedule",
    "split_and",
    "strip_comments",
]

KNOWN_NETWORKS = ("lora", "lyco", "hypernet")
MAX_DISTINCT_CHARACTERS = 4_000_000  # of all different texts of one prompt together

_LINE_COMMENT = re.compile(r"(^|\n)#[^\n]*(\n|$)")
_COMMENT = re.compile(r"#[^\n]*(\n|$)")
_NETWORK = re.compile(r"<(\w+):([^>]+)>")
_AND = re.compile(r"\bAND\b")
_AND_WEIGHT = re.compile(r"\s*([-+]?(?:\d+\.?|\d*\.\d+))\s*")


@dataclass(frozen=True)
class Network:
    """A `<kind:item:item:name=value>` tag; an item with exactly one `=` is named."""

    kind: str
    items: tuple[str, ...]

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """The items without a name, in order."""
        return tuple(item for item in self.items if item.count("=") != 1)

    @cached_property
    def named(self) -> Mapping[str, str]:
        """The named items; the last of equal names wins."""
        return dict(item.split("=") for item in self.items if item.count("=") == 1)

    @property
    def tag(self) -> str:
        """The tag as it was written."""
        return f"<{self.kind}:{':'.join(self.items)}>"


@dataclass(frozen=True, slots=True)
class LoraArguments:
    """What a `<lora:…>` tag asks for: weights for the text encoder and the U-Net, and a rank to cut to."""

    name: str
    text_encoder_weight: float = 1.0
    unet_weight: float = 1.0
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Subprompt:
    """One side of an AND: its guidance weight and its texts over the steps."""

    weight: float
    schedule: tuple[ScheduledText, ...]


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt ready for conditioning. `warnings` are sentences about likely misunderstandings."""

    subprompts: tuple[Subprompt, ...]
    networks: tuple[Network, ...] = ()
    warnings: tuple[str, ...] = ()


def strip_comments(text: str) -> str:
    """The text without `#` comments: whole lines, and from a `#` to the end of its line."""
    return _COMMENT.sub("\n", _LINE_COMMENT.sub("\n", text))


def apply_styles(prompt: str, style_texts: Iterable[str]) -> str:
    """The prompt with each style text merged in, in order: into `{prompt}`, or appended after a comma."""
    for style in style_texts:
        if "{prompt}" in style:
            prompt = style.replace("{prompt}", prompt)
        else:
            prompt = ", ".join(part for part in (prompt.strip(), style.strip()) if part)
    return prompt


def extract_networks(text: str) -> tuple[str, list[Network]]:
    """The text without network tags, and the networks in order."""
    networks: list[Network] = []

    def note(tag: re.Match[str]) -> str:
        networks.append(Network(tag[1], tuple(tag[2].split(":"))))
        return ""

    # Looking behind the last ">" would take quadratic time and find nothing.
    end = text.rfind(">") + 1
    return _NETWORK.sub(note, text[:end]) + text[end:], networks


def lora_arguments(network: Network) -> LoraArguments:
    """Name and weights of a `<lora:name:te:unet:dyn>` tag. Raises InvalidRequest for a bad number or no name."""
    positional, named = network.positional, network.named
    if not positional:
        raise InvalidRequest(f"{network.tag} names no file.", "Write <lora:name:weight>.", "prompt")
    try:
        te = float(named.get("te", positional[1] if len(positional) > 1 else 1.0))
        unet = float(named.get("unet", positional[2] if len(positional) > 2 else te))
        rank = named.get("dyn", positional[3] if len(positional) > 3 else None)
        arguments = LoraArguments(positional[0], te, unet, None if rank is None else int(rank))
    except ValueError as error:
        hint = "Weights are numbers, such as <lora:name:0.8>."
        raise InvalidRequest(f"{network.tag} cannot be read: {error}.", hint, "prompt") from None
    if not (math.isfinite(te) and math.isfinite(unet)):
        raise InvalidRequest(f"{network.tag} has a weight that is not finite.", "Use about 0 to 1.", "prompt")
    return arguments


def split_and(text: str) -> list[tuple[str, float]]:
    """The sides of AND with their weights. A final `:number` is a weight even when there is no AND."""
    return [_split_weight(side) for side in _AND.split(text)]


def parse_prompt(
    prompt: str,
    steps: int,
    hires_steps: int | None = None,
    *,
    old_timelines: bool = False,
    is_negative: bool = False,
) -> ParsedPrompt:
    """A prompt read the way A1111 reads it; negative prompts have neither AND nor networks.

    Raises InvalidRequest where A1111 breaks down: a weight such as `(a:1.1.1)`, a weight that is not finite,
    more text over the steps than can be encoded. A network tag with bad numbers is left out with a warning.
    """
    text = strip_comments(prompt)
    warnings: list[str] = []
    networks: list[Network] = []
    if is_negative:
        sides = [(text, 1.0)]
        _warn_of_negative(text, warnings)
    else:
        text, found = extract_networks(text)
        networks = [network for network in found if _is_usable(network, warnings)]
        sides = split_and(text)
        _warn_of_weights(text, sides, warnings)
    subprompts = []
    for side, weight in sides:
        schedule = tuple(prompt_schedule(side, steps, hires_steps, old_timelines))
        if not is_readable(side):
            warnings.append(_UNREADABLE.format(shown=_short(side)))
        subprompts.append(Subprompt(weight, schedule))
    _check_texts(subprompts, warnings)
    return ParsedPrompt(tuple(subprompts), tuple(networks), tuple(dict.fromkeys(warnings)))


_UNREADABLE = (
    "{shown}: a bar | outside of [a|b], or a backslash with nothing to escape, makes the whole text literal; "
    "[from:to:when] and [a|b] do nothing in it."
)


def _split_weight(side: str) -> tuple[str, float]:
    colon = side.rfind(":")
    match = _AND_WEIGHT.fullmatch(side, colon + 1) if colon >= 0 else None
    return (side[:colon].rstrip(), float(match[1])) if match else (side.rstrip(), 1.0)


def _is_usable(network: Network, warnings: list[str]) -> bool:
    if network.kind not in KNOWN_NETWORKS:
        warnings.append(
            f"{_short(network.tag)}: {network.kind!r} is not a known kind of network; it does nothing."
        )
    elif network.kind != "hypernet":
        try:
            lora_arguments(network)
        except InvalidRequest as error:
            warnings.append(f"{error} It is left out.")
            return False
    return True


def _warn_of_negative(text: str, warnings: list[str]) -> None:
    for network in extract_networks(text)[1]:
        warnings.append(f"{_short(network.tag)}: networks work in the prompt only; here the tag is plain text.")
    if _AND.search(text):
        warnings.append("AND has no meaning in a negative prompt; it is plain text there.")


def _warn_of_weights(text: str, sides: list[tuple[str, float]], warnings: list[str]) -> None:
    for part, (side, weight) in zip(_AND.split(text), sides, strict=True):
        if not math.isfinite(weight):
            raise InvalidRequest("The weight after an AND part is not finite.", "Use about 0 to 2.", "prompt")
        is_ratio = part != side and len(part.rstrip()) > len(side) and side[-1:].isdigit()
        if part.rstrip() != side and (len(sides) == 1 or is_ratio):
            warnings.append(
                f"{_short(part.strip())} ends in a number after a colon: that is read as the weight {weight:g} of "
                f"the whole text. Write a word or a comma after it if it is meant as text."
            )


def _check_texts(subprompts: list[Subprompt], warnings: list[str]) -> None:
    """Warn of BREAKs that do not break. Raises InvalidRequest for texts that could not be encoded."""
    texts = {entry.text for subprompt in subprompts for entry in subprompt.schedule}
    if sum(map(len, texts)) > MAX_DISTINCT_CHARACTERS:
        message = f"The prompt turns into {len(texts)} different long texts over the steps."
        raise InvalidRequest(message, "Shorten it, or use fewer [a|b] alternations.", "prompt")
    for text in texts:
        for run, weight in parse_attention(text):
            if not math.isfinite(weight):
                message = f"The attention weight of {_short(run)} is not finite."
                raise InvalidRequest(message, "Use fewer brackets or a smaller number.", "prompt")
            if run == BREAK and weight != BREAK_WEIGHT:
                warnings.append(
                    "BREAK inside of weighted brackets does not start a new chunk; it is a plain word."
                )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
