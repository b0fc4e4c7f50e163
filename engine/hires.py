"""Hires fix: what the first pass made is enlarged, and denoised again at its new size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.noise import PictureSeeds
from engine.sampling_pass import Pass, sample_pictures
from engine.start import InitPicture
from engine.upscale import upscale
from generation.request import HiresSize


@dataclass(frozen=True, slots=True)
class SecondPass:
    """The second pass, and how its pictures come to its size."""

    sampling: Pass
    size: HiresSize
    upscaler: str


@dataclass(frozen=True, slots=True)
class Refined:
    """Latents of each picture (channels, height, width), which may differ in size after a stop."""

    latents: list[Tensor]
    is_partial: bool


def refine(second: SecondPass, batch: int, seeds: Sequence[PictureSeeds], latents: Tensor) -> Refined:
    """The pictures of a batch (batch, channels, height, width) after the second pass.

    Each draws fresh noise of the new shape from its own seed, as in A1111. A stop before a picture's first step
    leaves it as the first pass made it: finished, but small.
    """
    first = list(latents)
    enlarged: list[InitPicture] = []
    for picture in first:
        if second.sampling.channel.stop.ends_batch:
            return Refined(first, True)
        enlarged.append(InitPicture(_enlarged(second, picture)))
    sampled = sample_pictures(second.sampling, batch, seeds, enlarged)
    done = [] if sampled.latents is None else list(sampled.latents)
    return Refined([*done, *first[len(done) :]], sampled.is_partial or len(done) < len(first))


@torch.inference_mode()
def _enlarged(second: SecondPass, latents: Tensor) -> Tensor:
    return upscale(second.sampling.components, latents, second.size, second.upscaler)
