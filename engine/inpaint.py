"""Repainting a part of a picture: what the model is shown, and how its answer is put back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter
from torch import Tensor

from engine.init_image import LANCZOS, open_image, resize
from generation.errors import InvalidRequest
from generation.request import Inpaint, MaskedContent, ResizeMode

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Canvas:
    """An init image with its mask, at the size that is sampled, and the way back.

    `image`: RGB, what is encoded. `mask`: L, white = repaint, blurred. `original`: RGB, the whole picture the
    result is laid into; `opacity`: L of the same size, how much of the result shows; `box`: where, None = all.
    """

    image: Image.Image
    mask: Image.Image
    original: Image.Image
    opacity: Image.Image
    box: Box | None = None

    def compose(self, result: Image.Image) -> Image.Image:
        """The result laid into the original; where nothing shows of it, pixels are those of the original."""
        if self.box is not None:
            whole = self.original.copy()
            size = (self.box[2] - self.box[0], self.box[3] - self.box[1])
            whole.paste(result.resize(size, LANCZOS), self.box[:2])
            result = whole
        return Image.composite(result, self.original, self.opacity)


def prepare(image: Image.Image, settings: Inpaint, mode: ResizeMode, width: int, height: int) -> Canvas:
    """The canvas for an init image (RGB, its own size) and a request of width x height.

    The blurred mask guides the model; what shows of the result is twice as opaque, so that the soft edge lies
    mostly outside of what was asked to be kept. Raises InvalidRequest for an empty mask with `only_masked`.
    """
    mask = read_mask(settings, image.size)
    if settings.only_masked:
        box = crop_box(mask, settings.padding, width / height)
        shown = image.crop(box).resize((width, height), LANCZOS)
        small_mask = mask.crop(box).resize((width, height), LANCZOS)
        canvas = Canvas(shown, small_mask, image, _opacity(mask), box)
    else:
        mode = ResizeMode.JUST_RESIZE if mode is ResizeMode.LATENT_UPSCALE else mode
        whole, mask = resize(image, mode, width, height), resize(mask, mode, width, height)
        canvas = Canvas(whole, mask, whole, _opacity(mask))
    if settings.content is MaskedContent.ORIGINAL:
        return canvas
    return Canvas(fill(canvas.image, canvas.mask), canvas.mask, canvas.original, canvas.opacity, canvas.box)


def read_mask(settings: Inpaint, size: tuple[int, int]) -> Image.Image:
    """The mask as L at `size`, white = repaint: its alpha or brightness, rounded, inverted, blurred as asked."""
    mask = open_image(settings.mask, "img2img.inpaint.mask")
    if mask.has_transparency_data and (alpha := mask.convert("RGBA").getchannel("A")).getextrema() != (255, 255):
        mask = alpha
    mask = mask.convert("L")
    if mask.size != size:
        mask = mask.resize(size, LANCZOS)
    if settings.round_mask:
        mask = mask.point(lambda level: 255 if level > 128 else 0)
    if settings.invert:
        mask = ImageChops.invert(mask)
    if settings.blur_x or settings.blur_y:
        mask = mask.filter(ImageFilter.GaussianBlur((settings.blur_x, settings.blur_y)))
    return mask


def crop_box(mask: Image.Image, padding: int, aspect: float) -> Box:
    """The part of the picture around the mask, widened by `padding` pixels and to `aspect` (width / height).

    Widening goes evenly to both sides and is moved inside at the borders. Raises InvalidRequest for empty masks.
    """
    found = mask.getbbox()
    if found is None:
        raise InvalidRequest(
            "The mask is empty, so there is nothing to repaint.",
            "Paint a mask, or choose the whole picture.",
            "img2img.inpaint.mask",
        )
    left, top, right, bottom = found
    left, right = max(left - padding, 0), min(right + padding, mask.width)
    top, bottom = max(top - padding, 0), min(bottom + padding, mask.height)
    width, height = right - left, bottom - top
    if width / height < aspect:
        left, right = _widen(left, right, round(height * aspect), mask.width)
    else:
        top, bottom = _widen(top, bottom, round(width / aspect), mask.height)
    return left, top, right, bottom


def _widen(low: int, high: int, wanted: int, limit: int) -> tuple[int, int]:
    wanted = min(max(wanted, high - low), limit)
    start = min(max(low - (wanted - (high - low)) // 2, 0), limit - wanted)
    return start, start + wanted


def _opacity(mask: Image.Image) -> Image.Image:
    return mask.point(lambda level: min(level * 2, 255))


def fill(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with its masked part filled by colours from around: blurred more widely where it is deeper."""
    pixels = np.asarray(image, dtype=np.float32)
    known = 1 - np.asarray(mask, dtype=np.float32) / 255
    result = pixels * known[..., None]
    missing = 1 - known
    for radius in (2, 4, 16, 64, 256):
        weight = _blur(known, radius)
        colours = np.stack([_blur(pixels[..., k] * known, radius) for k in range(3)], axis=-1)
        share = np.clip(weight * 4, 0, 1) * missing
        result += colours / np.maximum(weight, 1e-6)[..., None] * share[..., None]
        missing = missing - share
    average = (pixels * known[..., None]).sum((0, 1)) / max(float(known.sum()), 1e-6)
    result += average * missing[..., None]
    filled = Image.fromarray(result.round().clip(0, 255).astype(np.uint8))
    return Image.composite(filled, image, mask.point(lambda level: 255 if level else 0))


def _blur(plane: np.ndarray, radius: int) -> np.ndarray:
    """Box blur of a (height, width) plane; beyond the borders all is 0."""
    for axis in (0, 1):
        size = plane.shape[axis]
        sums = np.concatenate([np.zeros_like(plane.take([0], axis)), plane.cumsum(axis, dtype=np.float64)], axis)
        places = np.arange(size)
        upper, lower = np.minimum(places + radius + 1, size), np.maximum(places - radius, 0)
        plane = (sums.take(upper, axis) - sums.take(lower, axis)) / (2 * radius + 1)
    return plane


def latent_mask(mask: Image.Image, shape: tuple[int, int, int], *, is_rounded: bool) -> Tensor:
    """The mask for latents: (1, height, width) float32, 1 = repaint; 0 or 1 only if rounded."""
    small = mask.resize((shape[2], shape[1]), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(small, dtype=np.float32)) / 255
    return (levels.round() if is_rounded else levels).unsqueeze(0)
