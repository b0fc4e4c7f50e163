"""JSON from strangers: parsed without trust, and values taken only if they have the expected type."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

MAX_JSON = 16_000_000  # characters

_KEY_BEFORE_JSON = re.compile(r"(?:^|,)\s*(\w[\w \-/]+):\s*(?=[\[{])")


def parse_object(text: str | None) -> dict[str, object] | None:
    """The JSON object in a text; None if there is none."""
    if not text or len(text) > MAX_JSON or not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def mapping(value: object) -> Mapping[str, object]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """The value if it is a text, numbers as text; else nothing."""
    if isinstance(value, bool):
        return ""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def take_json_values(infotext: str) -> tuple[str, dict[str, object]]:
    """The infotext without those values of its last line that are JSON arrays or objects, and these values.

    A1111's rules cut such values at their first comma; the pieces then look like parameters.
    """
    head, newline, line = infotext.rstrip().rpartition("\n")
    decoder, found, kept, position = json.JSONDecoder(), {}, [], 0
    while key := _KEY_BEFORE_JSON.search(line, position):
        try:
            value, end = decoder.raw_decode(line, key.end())
        except (ValueError, RecursionError):
            kept.append(line[position : key.end()])
            position = key.end()
        else:
            found[key[1]] = value
            kept.append(line[position : key.start()])
            position = end
    kept.append(line[position:])
    return f"{head}{newline}{''.join(kept).strip(', ')}", found
