"""A1111's words for choices that requests know by number."""

from __future__ import annotations

from generation.request import MaskedContent, ResizeMode

MASKED_CONTENTS = {
    MaskedContent.FILL: "fill",
    MaskedContent.ORIGINAL: "original",
    MaskedContent.LATENT_NOISE: "latent noise",
    MaskedContent.LATENT_NOTHING: "latent nothing",
}
RESIZE_MODES = {
    ResizeMode.JUST_RESIZE: "Just resize",
    ResizeMode.CROP_AND_RESIZE: "Crop and resize",
    ResizeMode.RESIZE_AND_FILL: "Resize and fill",
    ResizeMode.LATENT_UPSCALE: "Just resize (latent upscale)",
}
