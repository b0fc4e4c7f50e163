"""Pictures that people bring: from file bytes to pixels of the wanted size."""

from __future__ import annotations

import io
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from generation.errors import InvalidRequest
from generation.request import ResizeMode

LANCZOS = Image.Resampling.LANCZOS
MAX_PIXELS = 100_000_000


def open_image(data: bytes, field: str) -> Image.Image:
    """The picture in an encoded file (PNG, JPEG, WebP …), turned as its EXIF says, mode as in the file.

    Raises InvalidRequest naming `field` if the bytes are not a picture, are damaged, or hold too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            message = f"The picture in {field} has {image.width} x {image.height} pixels, which is too many."
            raise InvalidRequest(message, f"Scale it down below {MAX_PIXELS // 1_000_000} megapixels.", field)
        image.load()
        return ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        message = f"The {len(data)} bytes given as {field} cannot be read as a picture ({error})."
        raise InvalidRequest(message, "Use a PNG, JPEG or WebP file.", field) from None


def flatten(image: Image.Image) -> Image.Image:
    """The picture in RGB; what is transparent shows white."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        levels = np.asarray(image, dtype=np.float64)
        largest = 65535 if levels.max(initial=0) > 255 else 255
        image = Image.fromarray((levels / largest * 255).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def resize(image: Image.Image, mode: ResizeMode, width: int, height: int) -> Image.Image:
    """The picture at width x height. LATENT_UPSCALE counts as JUST_RESIZE: it is done later, on latents."""
    if image.size == (width, height):
        return image
    if mode is ResizeMode.CROP_AND_RESIZE:
        return _cover(image, width, height)
    if mode is ResizeMode.RESIZE_AND_FILL:
        return _contain(image, width, height)
    return image.resize((width, height), LANCZOS)


def _cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled until it covers the target, the overhang cut off evenly."""
    zoom = max(width / image.width, height / image.height)
    scaled = image.resize(
        (max(round(image.width * zoom), width), max(round(image.height * zoom), height)), LANCZOS
    )
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    return scaled.crop((left, top, left + width, top + height))


def _contain(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scaled until it fits in; its edge rows or columns are stretched over the rest."""
    zoom = min(width / image.width, height / image.height)
    inner = (min(max(round(image.width * zoom), 1), width), min(max(round(image.height * zoom), 1), height))
    scaled = image.resize(inner, LANCZOS)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = np.pad(
        np.asarray(scaled),
        (
            (top, height - inner[1] - top),
            (left, width - inner[0] - left),
            *((0, 0),) * (len(scaled.getbands()) > 1),
        ),
        mode="edge",
    )
    return Image.fromarray(canvas)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB picture as float32 (3, height, width) in [-1, 1]."""
    levels = torch.from_numpy(np.array(image, dtype=np.float32))
    return levels.permute(2, 0, 1) / 127.5 - 1
