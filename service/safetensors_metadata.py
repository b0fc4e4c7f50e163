"""The texts that trainers write into the header of a safetensors file. Reads no weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

LENGTH_BYTES = 8
MAX_HEADER = 100_000_000  # bytes, the format's own limit


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata; empty if it has none, cannot be read or is no safetensors file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            raw = file.read(length) if length <= MAX_HEADER else b""
        header = json.loads(raw) if len(raw) == length else {}
    except (OSError, ValueError, RecursionError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        return {}
    return {_text(name): _text(value) for name, value in metadata.items() if isinstance(value, str)}


def readable_metadata(path: Path) -> dict[str, Any]:  # Any: JSON
    """The metadata with values that are JSON objects read, as A1111 shows them; always fit to be sent as JSON."""
    return {name: _value(text) for name, text in read_metadata(path).items()}


def _value(text: str) -> Any:  # Any: JSON
    if not text.startswith("{"):
        return text
    try:
        return _sendable(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _sendable(value: Any) -> Any:  # Any: JSON
    """JSON has no NaN, no infinity and no halves of characters, though Python reads them."""
    match value:
        case dict():
            return {_text(name): _sendable(inner) for name, inner in value.items()}
        case list():
            return [_sendable(inner) for inner in value]
        case str():
            return _text(value)
        case float() if not math.isfinite(value):
            return None
    return value


def body_offset(path: Path) -> int:
    """Where the weights begin: behind the header. 0 if it is no safetensors file. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES + 1)
        size = file.seek(0, 2)
    offset = LENGTH_BYTES + int.from_bytes(start[:LENGTH_BYTES], "little")
    return offset if start[LENGTH_BYTES:] == b"{" and offset <= size else 0


def _text(text: str) -> str:
    """JSON may hold halves of characters, which no UTF-8 can."""
    return text.encode("utf-8", "replace").decode("utf-8")
