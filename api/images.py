"""Pictures in requests: base64 or data URIs in, checked bytes out. Nothing is ever fetched from an address."""

from __future__ import annotations

import base64
import binascii
import io
import struct
from typing import NoReturn

from PIL import Image

from generation.errors import InvalidRequest
from service.limits import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
# What Pillow's decoders raise on files that are broken in one way or another.
BROKEN = (
    OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, AttributeError, struct.error,
    OverflowError, ZeroDivisionError, NotImplementedError, MemoryError,
)  # fmt: skip
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def decode(text: str, field: str) -> bytes:
    """The bytes of a base64 text or data URI. Raises InvalidRequest for anything else, addresses included."""
    text = text.strip()
    if text[:8].lower().startswith(("http://", "https://", "file:", "ftp:")):
        raise InvalidRequest(
            f"{field}: this server does not fetch pictures from addresses, got {text[:60]!r}.",
            "Send the picture itself, as base64.",
            field,
        )
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            _not_base64(field)
    try:
        compact = "".join(text.split())
        decoded = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        _not_base64(field)
    if not decoded:
        raise InvalidRequest(f"{field}: the picture is empty.", "Send a picture as base64.", field)
    return decoded


def _not_base64(field: str) -> NoReturn:
    raise InvalidRequest(
        f"{field}: this is not base64 of a picture.", "Send a PNG, JPEG or WebP file, encoded as base64.", field
    )


def check(picture: bytes, limits: Limits, field: str) -> bytes:
    """The same bytes, if they are a complete picture in one of FORMATS and not too large. Decodes it: slow.

    Raises InvalidRequest.
    """
    if len(picture) > limits.max_upload_bytes:
        _too_large(f"{len(picture) / 2**20:.1f} MB", field)
    try:
        with Image.open(io.BytesIO(picture), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > limits.max_init_pixels:
                _too_large(f"{width}x{height} pixels", field)
            opened.load()
    except InvalidRequest:
        raise
    except TOO_LARGE:
        _too_large("more pixels than can be held", field)
    except BROKEN as error:
        raise InvalidRequest(
            f"{field}: this is not a picture that can be read ({len(picture):,} bytes).",
            "Send a complete PNG, JPEG or WebP file.",
            field,
        ) from error
    return picture


def _too_large(size: str, field: str) -> NoReturn:
    raise InvalidRequest(
        f"{field}: the picture has {size}, more than this server takes.", "Send a smaller picture.", field
    )


def as_base64(data: bytes) -> str:
    """Bare base64, as A1111 answers."""
    return base64.b64encode(data).decode("ascii")


def png_of(picture: bytes) -> bytes:
    """The same picture as PNG. Slow: call it in a thread."""
    with Image.open(io.BytesIO(picture)) as opened:
        out = io.BytesIO()
        opened.convert("RGB").save(out, "PNG", compress_level=1)
    return out.getvalue()
