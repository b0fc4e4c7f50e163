"""Upscalers by A1111's names: latent modes for hires fix, and pixel upscalers that are always there (Pillow)."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from generation.errors import unknown_name


@dataclass(frozen=True, slots=True)
class LatentMode:
    """A way to enlarge latents: an interpolation `mode` as torch calls it, and whether it is antialiased."""

    name: str
    mode: str
    antialias: bool = False


# A1111's, in its order; the first is the default of hires fix.
LATENT_MODES: tuple[LatentMode, ...] = (
    LatentMode("Latent", "bilinear"),
    LatentMode("Latent (antialiased)", "bilinear", antialias=True),
    LatentMode("Latent (bicubic)", "bicubic"),
    LatentMode("Latent (bicubic antialiased)", "bicubic", antialias=True),
    LatentMode("Latent (nearest)", "nearest"),
    LatentMode("Latent (nearest-exact)", "nearest-exact"),
)
DEFAULT_LATENT_MODE = LATENT_MODES[0].name
NO_UPSCALER = "None"  # a plain resize where a size is asked for, else nothing
PIXEL_UPSCALERS = (NO_UPSCALER, "Lanczos", "Nearest")


def find_latent_mode(name: str) -> LatentMode | None:
    """The latent mode of that canonical name; None for pixel upscalers."""
    return next((mode for mode in LATENT_MODES if mode.name == name), None)


def hires_upscaler(name: str, field: str = "hires.upscaler") -> str:
    """The canonical name of a latent mode or pixel upscaler (case-insensitive). Raises UnknownName."""
    return _find(name, (*(mode.name for mode in LATENT_MODES), *PIXEL_UPSCALERS), field)


def pixel_upscaler(name: str, field: str = "upscaler") -> str:
    """The canonical name of a pixel upscaler (case-insensitive). Raises UnknownName."""
    return _find(name, PIXEL_UPSCALERS, field)


def upscale_pixels(image: Image.Image, upscaler: str, width: int, height: int) -> Image.Image:
    """The picture at width x height. "None" resizes like Lanczos, as in A1111."""
    if image.size == (width, height):
        return image
    nearest = upscaler == "Nearest"
    return image.resize((width, height), Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS)


def _find(name: str, known: tuple[str, ...], field: str) -> str:
    wanted = name.strip().casefold()
    for candidate in known:
        if candidate.casefold() == wanted:
            return candidate
    raise unknown_name("upscaler", name, known, field)
