"""The noise of training, against diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from engine.training_noise import alphas_cumprod

BETAS = {"beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("schedule", ["scaled_linear", "linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("steps", [1000, 50])
def test_schedules_agree_with_diffusers(schedule: str, steps: int) -> None:
    config = {**BETAS, "beta_schedule": schedule, "num_train_timesteps": steps}
    found = alphas_cumprod(config)
    assert found.dtype is torch.float32
    assert torch.allclose(found, DDIMScheduler(**config).alphas_cumprod, rtol=1e-4)


def test_what_is_not_said_is_as_in_stable_diffusion() -> None:
    assert torch.equal(alphas_cumprod({}), alphas_cumprod({**BETAS, "beta_schedule": "scaled_linear"}))
    sigma_max = ((1 - alphas_cumprod({})[-1]) / alphas_cumprod({})[-1]) ** 0.5
    assert sigma_max == pytest.approx(14.6146, abs=1e-3)


def test_betas_can_be_given_one_by_one() -> None:
    assert alphas_cumprod({"trained_betas": [0.5, 0.5]}).tolist() == [0.5, 0.25]


def test_zero_terminal_snr_agrees_with_diffusers_but_for_the_very_end() -> None:
    found = alphas_cumprod({**BETAS, "rescale_betas_zero_snr": True})
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    wanted = torch.cumprod(1 - rescale_zero_terminal_snr(betas), 0).float()
    assert torch.allclose(found[:-1], wanted[:-1], rtol=1e-4)
    assert wanted[-1] == 0
    assert 0 < found[-1] < 1e-7


@pytest.mark.parametrize(
    "config",
    [{"beta_schedule": "wavy"}, {"num_train_timesteps": 1}, {"num_train_timesteps": 10**9}, {"beta_end": 2.0},
     {"trained_betas": [1.5]}],
)  # fmt: skip
def test_impossible_schedules_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"beta|steps"):
        alphas_cumprod(config)
