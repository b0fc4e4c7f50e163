"""Pictures as clients send and get them."""

from __future__ import annotations

import base64
import io

from PIL import Image


def picture(colour: str = "red", size: tuple[int, int] = (64, 64), form: str = "PNG") -> bytes:
    """An encoded picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    return out.getvalue()


def base64_of(data: bytes) -> str:
    """Bare base64."""
    return base64.b64encode(data).decode()


def opened(encoded: str) -> Image.Image:
    """The picture in a base64 text; fails if it is not strict base64."""
    return Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)))
