from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.samplers import SAMPLERS, Steps
from engine.sampling import Pacer, sample
from engine.schedules import linspace
from generation.request import SamplerOptions
from tests.engine.gaussian import noise_of

SIGMAS = [*linspace(10.0, 1.0, 5), 0.0]


def walk(name: str) -> Steps:
    return SAMPLERS[name](torch.full((1, 1, 2, 2), 10.0), SIGMAS, SamplerOptions(), noise_of([0], (1, 2, 2)))


def half(x: Tensor, sigma: float) -> Tensor:
    return x / 2


@pytest.mark.parametrize("name", ["Euler", "Heun", "DPM++ 2M", "UniPC"])
def test_each_step_is_reported_once_with_the_newest_prediction(name: str):
    reported: list[int] = []
    answers: list[Tensor] = []

    def denoise(x: Tensor, sigma: float) -> Tensor:
        answers.append(x / 2)
        return answers[-1]

    def on_step(step: int, denoised: Tensor) -> None:
        reported.append(step)
        assert denoised is answers[-1]

    result = sample(walk(name), denoise, on_step, lambda: False)
    assert reported == [1, 2, 3, 4, 5]
    assert not result.is_partial


@pytest.mark.parametrize("calls", [1, 2, 3, 7])
def test_a_stop_is_seen_before_the_next_model_call(calls: int):
    made = 0

    def denoise(x: Tensor, sigma: float) -> Tensor:
        nonlocal made
        made += 1
        return x * 0 + made

    result = sample(walk("Heun"), denoise, lambda step, denoised: None, lambda: made >= calls)
    assert made == calls
    assert result.is_partial
    assert result.latents is not None
    assert float(result.latents.mean()) == calls  # the newest prediction


def test_a_stop_before_the_first_call_leaves_nothing():
    result = sample(walk("Euler"), half, lambda step, denoised: None, lambda: True)
    assert result == (None, True)


def test_a_sampler_without_steps_gives_back_what_it_got():
    start = torch.ones(1, 1, 2, 2)
    steps = SAMPLERS["Euler"](start, [3.0], SamplerOptions(), noise_of([0], (1, 2, 2)))
    assert sample(steps, half, lambda step, denoised: None, lambda: False).latents is start


def test_the_unconditional_part_is_asked_for_once_per_step():
    asked: list[int] = []

    def unconditional() -> Tensor:
        asked.append(1)
        return torch.zeros(1, 1, 2, 2)

    sample(walk("DDIM CFG++"), half, lambda step, denoised: None, lambda: False, unconditional)
    assert len(asked) == 5


def test_pacing_costs_nothing_on_the_cpu():
    pacer = Pacer(torch.device("cpu"))
    pacer.wait()
    pacer.wait()


@pytest.mark.gpu
def test_pacing_waits_for_the_step_before_on_a_cuda_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pacer, device = Pacer(torch.device("cuda")), torch.device("cuda")
    work = torch.randn(4096, 4096, device=device)
    pacer.wait()
    first = torch.cuda.Event()
    for _ in range(20):
        work = work @ work * 1e-3
    first.record()
    pacer.wait()
    pacer.wait()
    assert first.query()
