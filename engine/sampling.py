"""Runs a sampler over a denoiser, step by step, until it ends or is told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from engine.samplers.protocol import Steps

Denoise = Callable[[Tensor, float], Tensor]


class Sampled(NamedTuple):
    """Latents at the end of sampling; `denoised` is None if it was stopped before the first step was done.

    A run that was stopped gives the newest predicted x0: a finished-looking picture, not a noisy one.
    """

    latents: Tensor | None
    is_partial: bool


def sample(
    sampler: Steps,
    denoise: Denoise,
    on_step: Callable[[int, Tensor], None],
    should_stop: Callable[[], bool],
    unconditional: Callable[[], Tensor] | None = None,
) -> Sampled:
    """Drives a sampler to its end.

    `on_step(step, denoised)` is called after each step, counted from 1, with the newest x0 prediction.
    `should_stop()` is asked before every model call. `unconditional()` gives the part without prompt of the
    newest prediction; only CFG++ samplers ask for it.
    """
    denoised: Tensor | None = None
    last_step = 0
    try:
        x, sigma, step = next(sampler)
        while True:
            if step > last_step and denoised is not None:
                on_step(step, denoised)
                last_step = step
            if should_stop():
                return Sampled(denoised, True)
            assert x is not None
            denoised = denoise(x, sigma)
            x, sigma, step = sampler.send(denoised)
            if x is None and unconditional is not None:
                x, sigma, step = sampler.send(unconditional())
    except StopIteration as end:
        if denoised is not None:
            on_step(last_step + 1, denoised)
        latents: Tensor = end.value
        return Sampled(latents, False)


class Pacer:
    """Keeps the host at most one step ahead of a CUDA device, without ever letting the device wait.

    Samplers need nothing back from the device; unpaced, all steps would be queued at once, progress would run
    to its end at the start, and a stop would come too late.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_needed = device.type == "cuda"
        self._last: torch.cuda.Event | None = None

    def wait(self) -> None:
        """Returns once the step before the one just queued is done."""
        if not self._is_needed:
            return
        queued = torch.cuda.Event()
        queued.record()
        if self._last is not None:
            self._last.synchronize()
        self._last = queued
