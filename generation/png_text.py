"""Text chunks of PNG files, wherever in the file they are, without decoding the picture."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 16_000_000  # bytes of one text after decompression; ComfyUI graphs reach some hundred kB
MAX_CHUNKS = 10_000


def read(data: bytes) -> dict[str, str]:
    """All texts by key; of equal keys the last wins. Stops quietly where the file is cut off or broken."""
    texts: dict[str, str] = {}
    position, chunks = len(SIGNATURE), 0
    while position + 8 <= len(data) and chunks < MAX_CHUNKS:
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if len(body) < length:
            break
        if (text := _text(kind, body)) is not None:
            texts[text[0]] = text[1]
        position += 12 + length
        chunks += 1
    return texts


def _text(kind: bytes, body: bytes) -> tuple[str, str] | None:
    key, separator, rest = body.partition(b"\0")
    if not separator:
        return None
    name = key.decode("latin-1")
    if kind == b"tEXt":
        return name, _latin_or_utf8(rest)
    if kind == b"zTXt" and rest[:1] == b"\0":
        plain = _inflate(rest[1:])
        return None if plain is None else (name, _latin_or_utf8(plain))
    if kind == b"iTXt" and len(rest) >= 2:
        is_compressed, coded = rest[0] == 1, rest[2:].split(b"\0", 2)
        if len(coded) == 3:
            body_text = _inflate(coded[2]) if is_compressed else coded[2]
            return None if body_text is None else (name, body_text.decode("utf-8", "replace"))
    return None


def _latin_or_utf8(raw: bytes) -> str:
    """Latin-1 by the standard; some programs write UTF-8 all the same, which is never valid by accident."""
    try:
        return raw.decode("ascii" if raw.isascii() else "utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _inflate(packed: bytes) -> bytes | None:
    """The decompressed bytes; None if they are broken or a bomb."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, MAX_TEXT)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail else plain
