from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.model_sigmas import ModelSigmas
from engine.samplers import SAMPLERS
from engine.samplers.multistep import vp_time
from engine.samplers.restart import restart_walk
from engine.schedules import ScheduleRange, karras, lcm_grid, sigmas_for, unipc_grid
from generation import sampler_info
from generation.request import SamplerOptions
from tests.engine import tiny
from tests.engine.gaussian import SPREAD, exact_end, noise_of, relative_error, run

MODEL = ModelSigmas(tiny.alphas_cumprod())
SPAN = ScheduleRange(MODEL, MODEL.smallest, MODEL.largest)
NO_NOISE = SamplerOptions(eta=0)
# Those that follow the ODE, at least with eta 0.
DETERMINISTIC = [
    info for info in sampler_info.SAMPLERS if info.name not in ("LCM", "DDPM", "Restart", "TCD", "ER-SDE")
]
# An adaptive one chooses its steps by the picture, so it is given pictures one by one.
BATCHED = [info.name for info in sampler_info.SAMPLERS if not info.is_adaptive]


def test_every_listed_sampler_exists_and_no_other():
    assert list(SAMPLERS) == [info.name for info in sampler_info.SAMPLERS]


def karras_without_zero(steps: int) -> list[float]:
    return karras(steps, SPAN)[:-1]


# (name, least gain in accuracy from twice the steps, greatest error at 40 steps)
ORDERS = [
    ("Euler", 1.8, 0.05),
    ("Euler a", 1.8, 0.05),
    ("DDIM", 1.8, 0.05),
    ("DPM++ 2M", 3.3, 0.004),
    ("DPM++ 2M SDE", 3.3, 0.004),
    ("Heun", 3.3, 0.004),
    ("PLMS", 2.2, 0.004),
    ("UniPC", 3.3, 0.001),
    ("DPM++ SDE", 3.3, 0.004),
    ("DPM++ 2M SDE Heun", 3.3, 0.005),
    ("DPM++ 2S a", 3.3, 0.004),
    ("DPM++ 3M SDE", 2.5, 0.001),
    ("LMS", 6.0, 0.001),
    ("DPM2", 3.3, 0.004),
    ("DPM2 a", 3.3, 0.004),
    ("DDIM CFG++", 1.8, 0.05),
    ("DEIS", 5.0, 0.002),
    ("IPNDM", 2.2, 0.01),
    ("HeunPP2", 1.8, 0.04),
    ("Euler CFG++", 1.8, 0.05),
    ("DPM++ 2M CFG++", 3.3, 0.004),
]


@pytest.mark.parametrize(("name", "gain", "error"), ORDERS)
def test_order_of_convergence_to_the_exact_ode_solution(name: str, gain: float, error: float):
    coarse, fine = (relative_error(name, karras_without_zero(steps), NO_NOISE) for steps in (20, 40))
    assert fine < error
    assert coarse / fine > gain


@pytest.mark.parametrize("info", DETERMINISTIC, ids=lambda info: info.name)
def test_default_schedule_ends_near_the_exact_solution(info: sampler_info.SamplerInfo):
    assert relative_error(info.name, sigmas_for(info, "Automatic", 40, MODEL), NO_NOISE) < 0.06


@pytest.mark.parametrize(
    "name",
    [
        "Euler a",
        "DDPM",
        "DDIM",
        "DPM2 a",
        "DPM++ 2S a",
        "DPM++ SDE",
        "DPM++ 2M SDE",
        "DPM++ 2M SDE Heun",
        "DPM++ 3M SDE",
        "DPM fast",
        "DPM adaptive",
        "Restart",
        "ER-SDE",
    ],
)
def test_stochastic_samplers_keep_the_distribution(name: str):
    sigmas = karras(150, SPAN)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 4, 64, 64, generator=generator) * (SPREAD**2 + sigmas[0] ** 2) ** 0.5
    end = run(name, x, sigmas, options=SamplerOptions(eta=1))
    assert float(end.std()) == pytest.approx(SPREAD, rel=0.04)
    assert abs(float(end.mean())) < 0.02


def test_lcm_has_the_variance_that_its_rule_implies():
    sigmas = lcm_grid(4, MODEL)
    variance = SPREAD**2 + sigmas[0] ** 2
    for sigma, sigma_next in pairwise(sigmas):
        variance = variance * (SPREAD**2 / (SPREAD**2 + sigma**2)) ** 2 + sigma_next**2
    x = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(3)) * (SPREAD**2 + sigmas[0] ** 2) ** 0.5
    assert float(run("LCM", x, sigmas).std()) == pytest.approx(variance**0.5, rel=0.02)


@pytest.mark.parametrize("name", BATCHED)
def test_a_picture_is_the_same_alone_and_in_a_batch(name: str):
    sigmas = sigmas_for(sampler_info.find_sampler(name), "Automatic", 6, MODEL)
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * sigmas[0]
    options = SamplerOptions(s_churn=5)
    together = run(name, x, sigmas, options=options, seeds=[7, 8, 9])
    alone = run(name, x[1:2], sigmas, options=options, seeds=[8])
    torch.testing.assert_close(alone[0], together[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["Euler", "Heun", "DPM2", "HeunPP2"])
def test_churn_adds_noise_only_inside_its_window(name: str):
    sigmas = karras(8, SPAN)
    x = torch.full((1, 1, 4, 4), sigmas[0])
    plain = run(name, x, sigmas)
    assert not torch.equal(run(name, x, sigmas, options=SamplerOptions(s_churn=10)), plain)
    outside = SamplerOptions(s_churn=10, s_tmin=1, s_tmax=0.5)
    assert torch.equal(run(name, x, sigmas, options=outside), plain)


def test_eta_zero_makes_ancestral_and_sde_samplers_deterministic():
    sigmas = karras(8, SPAN)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64) * sigmas[0]
    for name, plain in (("Euler a", "Euler"), ("DPM++ 2M SDE", "DPM++ 2M"), ("DDIM", "Euler")):
        torch.testing.assert_close(run(name, x, sigmas, options=NO_NOISE), run(plain, x, sigmas))


@pytest.mark.parametrize("steps", [20, 30, 36, 60])
def test_restart_walks_as_many_steps_as_asked_and_goes_back_up(steps: int):
    walk = restart_walk(karras(steps, SPAN))
    assert len(walk) == steps
    rises = [(before[1], after[0]) for before, after in pairwise(walk) if after[0] > before[1] * 1.001]
    assert len(rises) == (1 if steps < 36 else 2)
    for low, high in rises:
        assert low == pytest.approx(0.1, rel=0.6)
        assert high == pytest.approx(2, rel=0.6)
    assert walk[-1][1] == 0


@pytest.mark.parametrize(("steps", "length", "times"), [(20, 9, 1), (35, 9, 1), (36, 9, 2), (60, 15, 2)])
def test_restart_repeats_as_many_steps_as_in_a1111(steps: int, length: int, times: int):
    walk = restart_walk(karras(steps, SPAN))
    ups = [k for k in range(1, steps) if walk[k][0] > walk[k - 1][1] * 1.001]
    assert len(ups) == times
    bottom = walk[ups[0] - 1][1]
    ends = [k for k, (_, sigma_next) in enumerate(walk) if sigma_next == pytest.approx(bottom)]
    assert [end - up + 1 for up, end in zip(ups, ends[1:], strict=True)] == [length] * times


def test_restart_with_few_steps_is_heun():
    sigmas = karras(12, SPAN)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64) * sigmas[0]
    assert torch.equal(run("Restart", x, sigmas), run("Heun", x, sigmas))


def test_dpm_fast_makes_as_many_calls_as_steps():
    for steps in range(1, 14):
        calls: list[float] = []

        def counting(x: Tensor, sigma: float, calls: list[float] = calls) -> Tensor:
            calls.append(sigma)
            return x * 0

        run("DPM fast", torch.ones(1, 1, 2, 2), karras(steps, SPAN), counting)
        assert len(calls) == steps


def test_cfg_plus_plus_goes_on_along_the_noise_without_prompt():
    sigmas = [2.0, 1.0]
    walk = SAMPLERS["DDIM CFG++"](
        torch.full((1, 1, 1, 1), 8.0), sigmas, SamplerOptions(), noise_of([0], (1, 1, 1))
    )
    next(walk)
    asked = walk.send(torch.full((1, 1, 1, 1), 3.0))
    assert asked[0] is None
    with pytest.raises(StopIteration) as end:
        walk.send(torch.full((1, 1, 1, 1), 2.0))
    assert float(end.value.value) == 3 + (8 - 2) / 2 * 1


def test_vp_time_runs_from_the_shortest_to_one():
    assert vp_time(0.002) == pytest.approx(1e-3, rel=1e-3)
    assert vp_time(80.0) == pytest.approx(1.0)


def test_lms_with_one_level_is_euler_and_with_two_is_adams_bashforth():
    sigmas = [4.0, 3.0, 2.0]
    walk = SAMPLERS["LMS"](torch.zeros(1), sigmas, SamplerOptions(), noise_of([0], (1, 1, 1)))
    next(walk)
    x, _, _ = walk.send(torch.tensor([4.0]))  # slope (0 - 4) / 4 = -1
    assert float(x) == pytest.approx(1.0)
    with pytest.raises(StopIteration) as end:
        walk.send(torch.tensor([-5.0]))  # slope (1 + 5) / 3 = 2
    assert float(end.value.value) == pytest.approx(1 - (1.5 * 2 - 0.5 * -1))


def test_er_sde_converges_with_order_in_the_mean():
    """Without noise the mean path remains: its error falls faster than a first-order solver's would."""
    quiet = SamplerOptions(s_noise=0)
    ends = [float(run("ER-SDE", torch.full((1, 1, 1, 1), 10.0, dtype=torch.float64), karras(n, SPAN)[:-1],
                      options=quiet)) for n in (15, 30, 60, 480)]  # fmt: skip
    errors = [abs(end - ends[-1]) for end in ends[:-1]]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_unipc_on_its_own_grid_ends_at_the_smallest_sigma():
    sigmas = unipc_grid(20, MODEL)
    assert len(sigmas) == 21
    assert sigmas[-1] == MODEL.smallest
    x = torch.full((1, 1, 1, 1), sigmas[0], dtype=torch.float64)
    torch.testing.assert_close(run("UniPC", x, sigmas), exact_end(x, sigmas), rtol=0.03, atol=0)
