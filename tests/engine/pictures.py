"""Encoded pictures for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def png(image: Image.Image) -> bytes:
    """PNG file bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def noise_image(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """An RGB picture in which every pixel is different."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def box_mask(width: int = 64, height: int = 64, box: tuple[int, int, int, int] = (16, 16, 48, 48)) -> Image.Image:
    """Black with a white box."""
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, box)
    return mask
