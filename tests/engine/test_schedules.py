from __future__ import annotations

from itertools import pairwise
from math import pi, sin

import diffusers
import pytest
import torch

from engine.beta_quantile import beta_quantile
from engine.model_sigmas import ModelSigmas
from engine.schedules import ALIGNED_SIGMAS, SCHEDULES, ScheduleRange, ddim_grid, lcm_grid, sigmas_for, unipc_grid
from generation import sampler_info
from generation.errors import InvalidRequest
from generation.request import SamplerOptions
from tests.engine import tiny

MODEL = ModelSigmas(tiny.alphas_cumprod())
SPAN = ScheduleRange(MODEL, MODEL.smallest, MODEL.largest)
EULER = sampler_info.find_sampler("Euler")


def test_every_listed_schedule_exists_and_no_other():
    assert ["Automatic", *SCHEDULES] == [info.label for info in sampler_info.SCHEDULES]


def test_sigmas_of_stable_diffusion_have_the_known_range():
    assert MODEL.smallest == pytest.approx(0.0292, abs=1e-4)
    assert MODEL.largest == pytest.approx(14.6146, abs=1e-3)


@pytest.mark.parametrize("timestep", [0, 0.25, 1, 500, 500.5, 998.9, 999])
def test_timesteps_and_sigmas_are_inverse(timestep: float):
    assert MODEL.timestep(MODEL.at(timestep)) == pytest.approx(timestep, abs=1e-6)


def test_sigmas_out_of_range_get_the_nearest_timestep():
    assert MODEL.timestep(1e-9) == 0
    assert MODEL.timestep(1e9) == 999
    assert MODEL.at(-3) == MODEL.smallest
    assert MODEL.at(5000) == pytest.approx(MODEL.largest)


def test_zero_terminal_snr_gives_a_large_but_finite_sigma():
    alphas = tiny.alphas_cumprod()
    alphas[-1] = 0
    assert 1000 < ModelSigmas(alphas).largest < 10_000


@pytest.mark.parametrize("label", list(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50, 150, 1000])
def test_sigmas_descend_strictly_to_zero(label: str, steps: int):
    sigmas = SCHEDULES[label](steps, SPAN)
    assert all(high > low for high, low in pairwise(sigmas))
    assert sigmas[-1] == (pytest.approx(MODEL.smallest) if label == "KL Optimal" else 0)
    if label != "DDIM":  # whose stride is rounded down, so it may have more steps and starts lower
        assert sigmas[0] == pytest.approx(MODEL.largest, rel=1e-4)
        assert len(sigmas) == steps + 1


# Worked out by hand from the published definitions.
@pytest.mark.parametrize(
    ("label", "timesteps"),
    [
        ("Simple", [999, 749, 499, 249]),
        ("Normal", [999, 666, 333, 0]),
        ("DDIM", [751, 501, 251, 1]),
        ("Turbo", [999, 749, 499, 249]),
        ("Uniform", [999, 666, 333, 0]),
        ("SGM Uniform", [999, 749.25, 499.5, 249.75]),
    ],
)
def test_four_steps_are_at_these_timesteps(label: str, timesteps: list[float]):
    sigmas = SCHEDULES[label](4, SPAN)
    assert [MODEL.timestep(sigma) for sigma in sigmas[:-1]] == pytest.approx(timesteps, abs=1e-3)


def test_ten_aligned_steps_keep_the_published_ends():
    assert align(10)[0] == pytest.approx(14.615)
    assert align(10)[-2] == pytest.approx(0.029)
    assert align(11)[:-1] == list(ALIGNED_SIGMAS)


def align(steps: int) -> list[float]:
    return SCHEDULES["Align Your Steps"](steps, SPAN)


# scipy.stats.beta.ppf(share, 0.6, 0.6), rounded
@pytest.mark.parametrize(("share", "value"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_beta_quantiles_at_the_marks(share: float, value: float):
    assert beta_quantile(share, 0.6) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.25, 0.4, 0.77])
def test_beta_quantiles_are_symmetric_and_undo_the_distribution(share: float):
    value = beta_quantile(share, 0.6)
    assert beta_quantile(1 - share, 0.6) == pytest.approx(1 - value, abs=1e-9)
    drawn = torch.distributions.Beta(torch.tensor(0.6), torch.tensor(0.6)).sample((200_000,))
    assert float((drawn < value).float().mean()) == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_beta_quantile_of_the_arcsine_distribution_is_exact(share: float):
    assert beta_quantile(share, 0.5) == pytest.approx(sin(pi * share / 2) ** 2, abs=1e-9)


def test_beta_shapes_with_poles_inside_the_integral_are_refused():
    with pytest.raises(ValueError, match="below"):
        beta_quantile(0.3, 0.4)


@pytest.mark.parametrize(
    ("label", "flag"),
    [("Karras", "use_karras_sigmas"), ("Exponential", "use_exponential_sigmas"), ("Uniform", None)],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_agree_with_diffusers(label: str, flag: str | None):
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",
        **({flag: True} if flag else {}),
    )
    scheduler.set_timesteps(12)
    torch.testing.assert_close(torch.tensor(SCHEDULES[label](12, SPAN)), scheduler.sigmas, rtol=1e-4, atol=1e-4)


def test_ddim_grid_is_that_of_a1111():
    timesteps = [MODEL.timestep(sigma) for sigma in ddim_grid(20, MODEL)]
    assert timesteps == pytest.approx([951 - 50 * k for k in range(20)], abs=1e-6)
    assert len(ddim_grid(30, MODEL)) == 31  # 1000 // 30 = 33 fits 31 times
    assert ddim_grid(1, MODEL)[-1] == 0


def test_unipc_grid_has_one_call_per_step():
    timesteps = [MODEL.timestep(sigma) for sigma in unipc_grid(10, MODEL)]
    assert timesteps == pytest.approx([99.9 * k for k in range(10, -1, -1)], abs=1e-6)


def test_lcm_grid_uses_only_distilled_timesteps():
    timesteps = [MODEL.timestep(sigma) for sigma in lcm_grid(4, MODEL)[:-1]]
    assert timesteps == pytest.approx([999, 679, 339, 19], abs=1e-3)


def test_automatic_means_the_default_of_the_sampler():
    dpm = sampler_info.find_sampler("DPM++ 2M")
    assert sigmas_for(dpm, "Automatic", 8, MODEL) == sigmas_for(dpm, "Karras", 8, MODEL)
    assert sigmas_for(EULER, "Automatic", 8, MODEL) == sigmas_for(EULER, "Uniform", 8, MODEL)


def test_timestep_samplers_ignore_the_schedule():
    ddim = sampler_info.find_sampler("DDIM")
    assert sigmas_for(ddim, "Karras", 20, MODEL) == ddim_grid(20, MODEL)


def test_range_and_rho_can_be_set():
    options = SamplerOptions(sigma_min=0.1, sigma_max=10)
    sigmas = sigmas_for(EULER, "Karras", 10, MODEL, options)
    assert sigmas[0] == pytest.approx(10)
    assert sigmas[-2] == pytest.approx(0.1)
    steeper = sigmas_for(EULER, "Karras", 10, MODEL, SamplerOptions(sigma_min=0.1, sigma_max=10, rho=15))
    assert steeper[4] < sigmas[4]


def test_an_empty_range_is_refused():
    with pytest.raises(InvalidRequest, match="min sigma 20"):
        sigmas_for(EULER, "Karras", 10, MODEL, SamplerOptions(sigma_min=20))
