"""Attention by matrix products equals PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from engine import attention
from engine.attention import attend, use_gemm_attention
from tests.engine import tiny


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("score_bytes", [1, 700, 5000, 2**22])
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (33, 7), (1, 50)])
def test_every_way_of_slicing_gives_the_same_result(
    monkeypatch: pytest.MonkeyPatch, score_bytes: int, rows: int, columns: int
) -> None:
    monkeypatch.setattr(attention, "SCORE_BYTES", score_bytes)
    query, key, value = random(6, rows, 8), random(6, columns, 8), random(6, columns, 8)
    wanted = scaled_dot_product_attention(query, key, value, scale=0.3)
    assert torch.allclose(attend(query, key, value, 0.3), wanted, atol=1e-6)


def test_bf16_stays_within_its_rounding() -> None:
    query, key, value = (random(4, 64, 40).bfloat16() for _ in range(3))
    exact = scaled_dot_product_attention(query.double(), key.double(), value.double())
    found = attend(query, key, value, 40**-0.5).double()
    assert (found - exact).norm() / exact.norm() < 0.01


@torch.no_grad()
def test_a_unet_gives_the_same_output_with_it() -> None:
    network, x, context = tiny.unet(), random(2, 4, 8, 8), random(2, 77, tiny.FEATURES)
    wanted = network(x, 10, context).sample
    use_gemm_attention(network)
    assert torch.allclose(network(x, 10, context).sample, wanted, atol=1e-5)


@torch.no_grad()
def test_an_autoencoder_gives_the_same_picture_with_it() -> None:
    network, latents = tiny.vae(), random(1, 4, 8, 8)
    wanted = network.decode(latents).sample
    use_gemm_attention(network)
    assert torch.allclose(network.decode(latents).sample, wanted, atol=1e-5)


def test_a_mask_is_refused_rather_than_ignored() -> None:
    network = tiny.unet()
    use_gemm_attention(network)
    mask = torch.ones(1, 77)
    with pytest.raises(ValueError, match="mask"):
        network(random(1, 4, 8, 8), 1, random(1, 77, tiny.FEATURES), encoder_attention_mask=mask)
