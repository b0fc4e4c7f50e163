from __future__ import annotations

import pytest
import torch

from engine.guidance import combine, needs_unconditional, rescale

COND = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
UNCOND = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_guidance_moves_from_the_unconditional_prediction_past_the_conditional():
    torch.testing.assert_close(combine(COND[:1], [1.0], UNCOND, 7), UNCOND + 7 * (COND[0] - UNCOND))


def test_sides_of_and_add_up_with_their_weights():
    expected = UNCOND + 7 * 0.5 * (COND[0] - UNCOND) - 7 * 0.2 * (COND[1] - UNCOND)
    torch.testing.assert_close(combine(COND, [0.5, -0.2], UNCOND, 7), expected)


@pytest.mark.parametrize(
    ("weights", "scale", "needed"), [([1.0], 1, False), ([0.4, 0.6], 1, False), ([1.0], 7, True), ([0.5], 1, True)]
)
def test_the_unconditional_prediction_is_left_out_only_where_it_cancels(weights, scale, needed):
    assert needs_unconditional(weights, scale) is needed
    if not needed:
        sides = COND[: len(weights)]
        torch.testing.assert_close(combine(sides, weights, None, scale), combine(sides, weights, UNCOND, scale))


@pytest.mark.parametrize("sigma", [0.1, 1.0, 14.6])
def test_full_rescale_gives_the_velocity_of_the_prompt_alone_its_contrast(sigma: float):
    x = torch.randn(3, 4, 8, 8) * (1 + sigma**2) ** 0.5
    guided = combine(COND[:1], [1.0], UNCOND, 7)

    def velocity_std(denoised: torch.Tensor) -> torch.Tensor:
        velocity = (x / (sigma**2 + 1) - denoised) * ((sigma**2 + 1) ** 0.5 / sigma)
        return velocity.std((1, 2, 3))

    rescaled = rescale(guided, COND[0], x, sigma, 1.0)
    torch.testing.assert_close(velocity_std(rescaled), velocity_std(COND[0]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(rescale(guided, COND[0], x, sigma, 0.0), guided, rtol=1e-3, atol=1e-3)
