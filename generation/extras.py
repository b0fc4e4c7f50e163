"""Enlarging finished pictures without a model, keeping what they say about themselves: A1111's "extras"."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

from generation.errors import InvalidRequest
from generation.infotext import quote
from generation.metadata import INFOTEXT_KEY, PNG_COMPRESSION, read_infotext
from generation.upscalers import NO_UPSCALER, upscale_pixels

POSTPROCESSING_KEY = "postprocessing"  # A1111's PNG chunk
MAX_SIDE = 32_768


@dataclass(frozen=True, slots=True)
class Upscaling:
    """How to enlarge: `scale` times, or with `to_size` until (width, height) is covered, then cut to it if `crop`.

    `second` is blended over the first by `second_visibility`, 0 to 1. Upscalers are canonical names; "None"
    leaves the picture as it is, as A1111 does here.
    """

    upscaler: str = NO_UPSCALER
    scale: float = 2.0
    to_size: tuple[int, int] | None = None
    crop: bool = True
    second: str = NO_UPSCALER
    second_visibility: float = 0.0


def upscaled_png(data: bytes, wanted: Upscaling, max_pixels: int) -> tuple[bytes, str]:
    """The picture in a file, enlarged, as PNG with its infotext and other texts; and what was done to it.

    What was done also becomes the chunk `postprocessing`. Raises InvalidRequest if the result would have more
    than `max_pixels`. `data` must be a picture that can be read.
    """
    with Image.open(io.BytesIO(data)) as opened:
        kept = _texts(data)
        image = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    image, done = upscale_image(image, wanted, max_pixels)
    chunks = PngImagePlugin.PngInfo()
    for key, text in {**kept, **({POSTPROCESSING_KEY: done} if done else {})}.items():
        if _is_latin(text):
            chunks.add_text(key, text)
        else:
            chunks.add_itxt(key, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=chunks, compress_level=PNG_COMPRESSION)
    return buffer.getvalue(), done


def upscale_image(image: Image.Image, wanted: Upscaling, max_pixels: int) -> tuple[Image.Image, str]:
    """The enlarged picture, and A1111's words for what was done ("" = nothing). Raises InvalidRequest."""
    if wanted.upscaler == NO_UPSCALER:
        return image, ""
    size = _size(image, wanted, max_pixels)
    result = upscale_pixels(image, wanted.upscaler, *size)
    said: dict[str, object] = (
        {"Postprocess upscale to": f"{wanted.to_size[0]}x{wanted.to_size[1]}"}
        if wanted.to_size
        else {"Postprocess upscale by": wanted.scale}
    )
    said["Postprocess upscaler"] = wanted.upscaler
    if wanted.second != NO_UPSCALER and wanted.second_visibility > 0:
        result = Image.blend(result, upscale_pixels(image, wanted.second, *size), wanted.second_visibility)
        said["Postprocess upscaler 2"] = wanted.second
    if wanted.to_size and wanted.crop:
        result = _cut(result, wanted.to_size)
        said["Postprocess crop to"] = f"{wanted.to_size[0]}x{wanted.to_size[1]}"
    return result, ", ".join(f"{key}: {quote(value)}" for key, value in said.items())


def _size(image: Image.Image, wanted: Upscaling, max_pixels: int) -> tuple[int, int]:
    if wanted.to_size:
        width, height = wanted.to_size
        scale = max(width / image.width, height / image.height)
        if scale == width / image.width:
            size = width, max(round(image.height * scale), height)
        else:
            size = max(round(image.width * scale), width), height
    else:
        size = max(int(image.width * wanted.scale), 1), max(int(image.height * wanted.scale), 1)
    if size[0] * size[1] > max_pixels or max(size) > MAX_SIDE:
        message = f"The enlarged picture would be {size[0]}x{size[1]}, more than this server makes"
        hint = "Lower the scale or the size."
        raise InvalidRequest(f"{message} ({max_pixels:,} pixels).", hint, "upscaling_resize")
    return size


def _cut(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of the picture."""
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def _texts(data: bytes) -> Mapping[str, str]:
    try:
        found = read_infotext(data)
    except InvalidRequest:
        return {}  # a format that carries no texts
    infotext = {INFOTEXT_KEY: found.infotext} if found.infotext else {}
    return infotext | {key: text for key, text in found.items.items() if 0 < len(key) < 80 and _is_latin(key)}


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)
