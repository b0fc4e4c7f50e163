"""The second pass of hires fix, told as a request of its own."""

from __future__ import annotations

from generation.request import GenerationRequest, Hires
from generation.sampler_info import find_sampler

LONGEST_SCHEDULE = 1000  # steps; models are trained on as many noise levels


def second_pass(request: GenerationRequest, hires: Hires) -> GenerationRequest:
    """What the second pass does, with everything it takes from the first one filled in; it has no `hires`."""
    size = hires.size_from(request.width, request.height)
    return request.model_copy(
        update={
            "width": size.width,
            "height": size.height,
            "steps": hires.steps or request.steps,
            "sampler": hires.sampler or request.sampler,
            "schedule": hires.schedule or request.schedule,
            "prompt": hires.prompt or request.prompt,
            "negative_prompt": hires.negative_prompt or request.negative_prompt,
            "cfg_scale": request.cfg_scale if hires.cfg_scale is None else hires.cfg_scale,
            "hires": None,
        }
    )


def second_pass_steps(request: GenerationRequest) -> int:
    """How many steps the second pass walks; 0 without one. Schedules with a length of their own may differ."""
    if request.hires is None or request.hires.denoising_strength == 0:
        return 0
    steps = request.hires.steps or request.steps
    sampler = find_sampler(request.hires.sampler or request.sampler)
    return max(steps - 1, 1) if sampler.uses_timesteps else steps


def stretched_steps(steps: int, denoising_strength: float) -> int:
    """Length of the schedule of which the second pass walks the last `steps`: at strength 0.5, 20 of 40.

    So, as in A1111, the steps that were asked for are the steps that are made.
    """
    return min(max(steps, int(steps / min(denoising_strength, 0.999))), LONGEST_SCHEDULE)
