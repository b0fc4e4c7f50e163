"""Values of the controls -> GenerationRequest, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generation.request import GenerationRequest, make_request
from ui import hires

SAMPLING_FIELDS = ("eta", "eta_noise_seed_delta")
IMG2IMG_FIELDS = ("denoising_strength", "resize_mode")


def to_request(
    values: Mapping[str, Any],  # Any: whatever each control holds
    init_images: tuple[bytes, ...] = (),
    inpaint: Mapping[str, Any] | None = None,
) -> GenerationRequest:
    """The request that the form describes; img2img when there are init images.

    An emptied number box means "the default". Raises InvalidRequest or UnknownName, which name the field.
    """
    given = {name: value for name, value in values.items() if value is not None}
    sampling = {name: given.pop(name) for name in SAMPLING_FIELDS if name in given}
    img2img = {name: given.pop(name) for name in IMG2IMG_FIELDS if name in given}
    if init_images:
        given["img2img"] = {**img2img, "init_images": init_images, "inpaint": inpaint}
    given |= hires.take(given)
    return make_request(**given, sampling=sampling)
