"""Prompt styles: named texts that are merged into prompts, and recognised in pasted ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLACE = "{prompt}"


@dataclass(frozen=True, slots=True)
class Style:
    """One style. Texts with `{prompt}` wrap the prompt, others are appended to it."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


def extract_styles(styles: Sequence[Style], prompt: str, negative: str) -> tuple[list[str], str, str]:
    """Names of the styles found in both prompts, in the order to apply them again, and the prompts without."""
    found: list[str] = []
    candidates = [style for style in styles if style.prompt or style.negative_prompt]
    while True:
        for style in candidates:
            plain, plain_negative = _without(style.prompt, prompt), _without(style.negative_prompt, negative)
            if plain is not None and plain_negative is not None:
                break
        else:
            return found[::-1], prompt, negative
        prompt, negative = plain, plain_negative
        candidates.remove(style)
        found.append(style.name)


def _without(style_text: str, prompt: str) -> str | None:
    """The prompt with the style text taken off; None if it is not there."""
    whole, text = prompt.strip(), style_text.strip()
    if PLACE in text:
        left, _, right = text.partition(PLACE)
        if PLACE in right or not (whole.startswith(left) and whole.endswith(right)):
            return None
        return whole[len(left) : len(whole) - len(right)]
    if not whole.endswith(text):
        return None
    return whole[: len(whole) - len(text)].removesuffix(", ")
