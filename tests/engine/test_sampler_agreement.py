"""Agreement with diffusers: same U-Net, same sigmas, same noise.

Its schedulers walk latents x / sqrt(1 + sigma^2) ("variance preserving") unless they are of the k-diffusion kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from engine.conditioning import Conditioner
from engine.denoiser import Denoiser, Guidance
from engine.model_sigmas import ModelSigmas
from engine.schedules import SCHEDULES, ScheduleRange, ddim_grid, lcm_grid, sigmas_for
from generation import sampler_info
from generation.prompt import parse_prompt
from tests.engine import tiny
from tests.engine.gaussian import run

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODEL = ModelSigmas(tiny.alphas_cumprod())
SPAN = ScheduleRange(MODEL, MODEL.smallest, MODEL.largest)
SD_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@pytest.fixture(scope="module")
def denoiser() -> Callable[[], Denoiser]:
    model = tiny.components()
    prompt = Conditioner(model).encode_prompt(parse_prompt("a red apple", 1))
    return lambda: Denoiser(model, prompt, prompt, Guidance(1.0))


def ours(name: str, x: Tensor, sigmas: list[float], denoise: Denoiser, seed: int = 5) -> Tensor:
    with torch.inference_mode():
        return run(name, x, sigmas, denoise, seeds=[seed])


def theirs(
    scheduler: Any, x: Tensor, sigmas: list[float], denoise: Denoiser, *, is_vp: bool, seed: int = 5
) -> Tensor:
    """Walks diffusers' scheduler, whose timesteps belong to `sigmas` already, with the same model."""
    generator = torch.Generator().manual_seed(seed)
    z = x / (1 + sigmas[0] ** 2) ** 0.5 if is_vp else x
    level = iter(sigmas)
    for timestep in scheduler.timesteps:
        sigma = next(level)
        noisy = z * (1 + sigma**2) ** 0.5 if is_vp else z
        with torch.inference_mode():
            epsilon = (noisy - denoise(noisy, sigma)) / sigma
        scheduler.scale_model_input(z, timestep)
        options = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
        z = scheduler.step(epsilon, timestep, z, **options).prev_sample
    return z * (1 + sigmas[-1] ** 2) ** 0.5 if is_vp else z


def force(scheduler: Any, sigmas: list[float]) -> Any:
    """The scheduler with these sigmas and their (fractional) timesteps."""
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas)
    scheduler.timesteps = torch.tensor([MODEL.timestep(sigma) for sigma in sigmas[:-1]])
    return scheduler


def start(sigmas: list[float]) -> Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)) * sigmas[0]


def assert_agree(mine: Tensor, other: Tensor) -> None:
    assert float((mine - other).abs().max() / other.abs().max()) < 1e-4


DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero"}
FORCED = [
    ("Euler", "Uniform", diffusers.EulerDiscreteScheduler, {}, False),
    ("Euler", "Karras", diffusers.EulerDiscreteScheduler, {}, False),
    ("Euler a", "Uniform", diffusers.EulerAncestralDiscreteScheduler, {}, False),
    ("Euler a", "Karras", diffusers.EulerAncestralDiscreteScheduler, {}, False),
    ("DPM++ 2M", "Karras", diffusers.DPMSolverMultistepScheduler, DPM, True),
    ("DPM++ 2M", "Uniform", diffusers.DPMSolverMultistepScheduler, DPM, True),
    (
        "DPM++ 2M SDE",
        "Exponential",
        diffusers.DPMSolverMultistepScheduler,
        {**DPM, "algorithm_type": "sde-dpmsolver++"},
        True,
    ),
    (
        "DPM++ 2M SDE Heun",
        "Exponential",
        diffusers.DPMSolverMultistepScheduler,
        {**DPM, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
        True,
    ),
    ("UniPC", "Karras", diffusers.UniPCMultistepScheduler, {"solver_order": 3, "solver_type": "bh1"}, True),
]


@pytest.mark.parametrize(("name", "schedule", "kind", "config", "is_vp"), FORCED)
def test_agrees_with_the_diffusers_scheduler(
    name: str, schedule: str, kind: Any, config: dict[str, Any], is_vp: bool, denoiser: Callable[[], Denoiser]
):
    sigmas = SCHEDULES[schedule](10, SPAN)
    if name == "UniPC":
        sigmas = sigmas[:-1]  # diffusers' UniPC gives NaN for a final 0
    scheduler = force(kind(**SD_CONFIG, **config), sigmas)
    x = start(sigmas)
    assert_agree(ours(name, x, sigmas, denoiser()), theirs(scheduler, x, sigmas, denoiser(), is_vp=is_vp))


def test_heun_agrees_with_diffusers(denoiser: Callable[[], Denoiser]):
    sigmas = SCHEDULES["Uniform"](8, SPAN)
    scheduler = diffusers.HeunDiscreteScheduler(**SD_CONFIG, timestep_spacing="linspace")
    scheduler.set_timesteps(8)
    doubled = [sigmas[0], *(sigma for sigma in sigmas[1:-1] for _ in range(2)), 0.0]
    torch.testing.assert_close(scheduler.sigmas[::2][:7], torch.tensor(doubled)[::2][:7], rtol=1e-4, atol=1e-4)
    scheduler.sigmas = torch.tensor(doubled)
    x = start(sigmas)
    assert_agree(ours("Heun", x, sigmas, denoiser()), theirs(scheduler, x, doubled, denoiser(), is_vp=False))


def test_ddim_agrees_with_diffusers_on_the_grid_of_a1111(denoiser: Callable[[], Denoiser]):
    sigmas = ddim_grid(20, MODEL)
    scheduler = diffusers.DDIMScheduler(
        **SD_CONFIG, timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False, clip_sample=False
    )
    scheduler.set_timesteps(20)
    scheduler.timesteps = scheduler.timesteps[:-1]  # A1111 makes no call at timestep 1
    assert scheduler.timesteps[0] == 951
    x = start(sigmas)
    assert_agree(ours("DDIM", x, sigmas, denoiser()), theirs(scheduler, x, sigmas, denoiser(), is_vp=True))


def test_ddpm_agrees_with_diffusers(denoiser: Callable[[], Denoiser]):
    timesteps = list(range(999, 0, -111))
    sigmas = [*(MODEL.sigmas[t] for t in timesteps), 0.0]
    scheduler = diffusers.DDPMScheduler(**SD_CONFIG, clip_sample=False)
    scheduler.set_timesteps(timesteps=timesteps)
    x = start(sigmas)
    assert_agree(ours("DDPM", x, sigmas, denoiser()), theirs(scheduler, x, sigmas, denoiser(), is_vp=True))


def test_lcm_agrees_with_diffusers(denoiser: Callable[[], Denoiser]):
    sigmas = lcm_grid(4, MODEL)
    timesteps = [round(MODEL.timestep(sigma)) for sigma in sigmas[:-1]]
    assert timesteps[0] == 999
    assert timesteps[-1] == 19
    scheduler = diffusers.LCMScheduler(**SD_CONFIG, clip_sample=False)
    scheduler.set_timesteps(timesteps=timesteps)
    x = start(sigmas)
    assert_agree(ours("LCM", x, sigmas, denoiser()), theirs(scheduler, x, sigmas, denoiser(), is_vp=True))


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_tcd_agrees_with_diffusers_on_its_own_grid(denoiser: Callable[[], Denoiser], steps: int):
    sigmas = sigmas_for(sampler_info.find_sampler("TCD"), "Automatic", steps, MODEL)
    scheduler = diffusers.TCDScheduler(**SD_CONFIG, clip_sample=False)
    scheduler.set_timesteps(steps)
    assert [round(MODEL.timestep(sigma)) for sigma in sigmas[:-1]] == scheduler.timesteps.tolist()
    x = start(sigmas)
    assert_agree(ours("TCD", x, sigmas, denoiser()), theirs(scheduler, x, sigmas, denoiser(), is_vp=True))
