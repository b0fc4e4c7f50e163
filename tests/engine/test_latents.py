from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.components import Components, LatentFormat
from engine.latents import TILED_FROM_PIXELS, check_numbers, decode, encode, latent_shape
from generation.errors import InvalidRequest, UserError
from tests.engine import tiny


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


def test_latents_are_an_eighth_of_the_picture(model: Components):
    assert latent_shape(model, 96, 64) == (4, 8, 12)


def test_sizes_that_do_not_divide_are_refused_with_the_nearest(model: Components):
    coarse = replace(model, latent_format=LatentFormat(downscale=16))
    with pytest.raises(InvalidRequest, match=r"height 72 is not a multiple of 16.*Use 64") as caught:
        latent_shape(coarse, 64, 72)
    assert caught.value.field == "height"


def test_encoding_gives_the_scaled_mean(model: Components):
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        expected = model.vae.encode(pixels).latent_dist.mean * model.latent_format.scale
        latents = encode(model, pixels)
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-5)


def test_decoding_undoes_the_scale_and_gives_bytes(model: Components):
    latents = torch.randn(4, 8, 12)
    with torch.inference_mode():
        expected = model.vae.decode(latents[None] / model.latent_format.scale).sample[0]
        pixels = decode(model, latents)
    assert pixels.shape == (64, 96, 3)
    assert pixels.dtype == np.uint8
    levels = ((expected + 1) * 127.5).clamp(0, 255).permute(1, 2, 0)
    assert float((torch.from_numpy(pixels).float() - levels).abs().max()) <= 0.51


class TilingRecorder:
    """Stands for an autoencoder; notes whether it would tile."""

    tiling: bool | None = None

    def enable_tiling(self) -> None:
        self.tiling = True

    def disable_tiling(self) -> None:
        self.tiling = False

    def decode(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        return (torch.zeros(1, 3, 8, 8),)


@pytest.mark.parametrize(("side", "tiled"), [(512, False), (1536, False), (2048, True)])
def test_large_pictures_are_decoded_in_tiles(model: Components, side: int, tiled: bool):
    vae = TilingRecorder()
    decode(replace(model, vae=vae), torch.zeros(4, side // 8, side // 8))
    assert vae.tiling is tiled
    assert (side * side > TILED_FROM_PIXELS) is tiled


def test_values_that_are_no_numbers_are_an_error_with_a_hint():
    check_numbers(torch.tensor([1.0, 2.0]), "The model", "hint")
    with pytest.raises(UserError, match="The model produced values that are not numbers"):
        check_numbers(torch.tensor([1.0, float("nan")]), "The model", "hint")
