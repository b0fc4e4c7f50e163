"""Sigma schedules: at which noise levels a sampler calls the model.

Each function gives `steps` sigmas, strictly descending, and a final 0 (exceptions say so). Names, labels and
default rho are in `generation/sampler_info.py`; a test compares the two tables. Sigmas are Python floats:
samplers multiply tensors by them, so no value ever has to come back from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan, ceil, exp, log, tan

from engine.beta_quantile import beta_quantile
from engine.model_sigmas import ModelSigmas
from generation.errors import InvalidRequest
from generation.request import SamplerOptions
from generation.sampler_info import AUTOMATIC, SamplerInfo, find_schedule


@dataclass(frozen=True, slots=True)
class ScheduleRange:
    """What a schedule spans: the model's noise levels, and the sigmas to start and end with (sigma > 0)."""

    model: ModelSigmas
    sigma_min: float
    sigma_max: float
    rho: float | None = None


Schedule = Callable[[int, ScheduleRange], list[float]]


def linspace(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced numbers from `first` to `last`, both included."""
    if count == 1:
        return [first]
    return [first + (last - first) * k / (count - 1) for k in range(count)]


def uniform(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced timesteps from the last to 0: what A1111 calls the model's own schedule."""
    return [*(span.model.at(t) for t in linspace(len(span.model) - 1, 0, steps)), 0.0]


def karras(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced in sigma^(1/rho). Larger rho (default 7): more steps at low noise. arXiv:2206.00364, eq. 5."""
    rho = span.rho or 7.0
    roots = linspace(span.sigma_max ** (1 / rho), span.sigma_min ** (1 / rho), steps)
    return [*(root**rho for root in roots), 0.0]


def exponential(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced in log sigma."""
    return [*(exp(value) for value in linspace(log(span.sigma_max), log(span.sigma_min), steps)), 0.0]


def sgm_uniform(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced timesteps with the last interval left for the step to 0, as in Stability's SGM code."""
    first, last = span.model.timestep(span.sigma_max), span.model.timestep(span.sigma_min)
    return [*(span.model.at(t) for t in linspace(first, last, steps + 1)[:-1]), 0.0]


def polyexponential(steps: int, span: ScheduleRange) -> list[float]:
    """Log sigma falls as the power rho (default 1: Exponential) of the share of steps still to come."""
    low, high, rho = log(span.sigma_min), log(span.sigma_max), span.rho or 1.0
    return [*(exp(low + (high - low) * share**rho) for share in linspace(1, 0, steps)), 0.0]


def kl_optimal(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced in arctan sigma; ends at sigma_min, not at 0. arXiv:2404.14507, eq. 7 ("KL optimal")."""
    return [tan(angle) for angle in linspace(atan(span.sigma_max), atan(span.sigma_min), steps + 1)]


# Of SD 1.5, from https://research.nvidia.com/labs/toronto-ai/AlignYourSteps: the paper gives 10 steps.
ALIGNED_SIGMAS = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)


def align_your_steps(steps: int, span: ScheduleRange) -> list[float]:
    """The published sigmas for SD 1.5, resampled log-linearly; it has no range. arXiv:2404.14507."""
    if steps == len(ALIGNED_SIGMAS):
        return [*ALIGNED_SIGMAS, 0.0]
    logs = [log(sigma) for sigma in ALIGNED_SIGMAS]
    sigmas = []
    for place in linspace(0, len(logs) - 1, steps):
        low = min(int(place), len(logs) - 2)
        sigmas.append(exp(logs[low] + (logs[low + 1] - logs[low]) * (place - low)))
    return [*sigmas, 0.0]


def simple(steps: int, span: ScheduleRange) -> list[float]:
    """Every (length / steps)-th of the model's sigmas from the top, then 0. More steps than sigmas: Uniform."""
    stride = len(span.model) / steps
    if stride < 1:
        return uniform(steps, span)
    return [*(span.model.sigmas[-1 - int(k * stride)] for k in range(steps)), 0.0]


def normal(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced timesteps between those of sigma_max and sigma_min."""
    first, last = span.model.timestep(span.sigma_max), span.model.timestep(span.sigma_min)
    return [*(span.model.at(t) for t in linspace(first, last, steps)), 0.0]


def ddim(steps: int, span: ScheduleRange) -> list[float]:
    """Timesteps 1, 1 + stride, 1 + 2 · stride …, descending, then 0: may be one step more than asked."""
    stride = max(len(span.model) // steps, 1)
    return [*reversed(span.model.sigmas[1::stride]), 0.0]


BETA_SHAPE = 0.6  # both parameters of the distribution; A1111's default


def beta(steps: int, span: ScheduleRange) -> list[float]:
    """Sigmas at evenly spaced quantiles of Beta(0.6, 0.6): dense at both ends. arXiv:2407.12173."""
    quantiles = (beta_quantile(share, BETA_SHAPE) for share in linspace(1, 0, steps))
    return [*(span.sigma_min + quantile * (span.sigma_max - span.sigma_min) for quantile in quantiles), 0.0]


def turbo(steps: int, span: ScheduleRange) -> list[float]:
    """Evenly spaced whole timesteps, the interval after the last left for the step to 0, as SD Turbo wants it."""
    count = len(span.model)
    if steps > count:
        return sgm_uniform(steps, span)
    return [*(span.model.sigmas[round(count * k / steps) - 1] for k in range(steps, 0, -1)), 0.0]


SCHEDULES: dict[str, Schedule] = {
    "Uniform": uniform,
    "Karras": karras,
    "Exponential": exponential,
    "Polyexponential": polyexponential,
    "SGM Uniform": sgm_uniform,
    "KL Optimal": kl_optimal,
    "Align Your Steps": align_your_steps,
    "Simple": simple,
    "Normal": normal,
    "DDIM": ddim,
    "Beta": beta,
    "Turbo": turbo,
}


def ddim_grid(steps: int, model: ModelSigmas) -> list[float]:
    """A1111's grid for DDIM and PLMS: timesteps 1 + k·(1000 // steps), descending. Ends at timestep 1, not at 0.

    It makes one model call less than `steps` where steps divides 1000. A lone step would make none at all,
    so there the walk ends at 0 instead.
    """
    stride = max(len(model) // steps, 1)
    timesteps = [min(t + 1, len(model) - 1) for t in range(0, len(model), stride)]
    sigmas = list(dict.fromkeys(model.sigmas[t] for t in reversed(timesteps)))
    return sigmas if len(sigmas) > 1 else [model.largest, 0.0]


def unipc_grid(steps: int, model: ModelSigmas) -> list[float]:
    """UniPC's "time uniform" grid: steps + 1 evenly spaced timesteps; ends at the model's smallest sigma."""
    return [model.at(t) for t in linspace(len(model) - 1, 0, steps + 1)]


def lcm_grid(steps: int, model: ModelSigmas, distilled_steps: int = 50) -> list[float]:
    """Timesteps among the 50 that latent consistency models are distilled on, evenly spaced, then 0."""
    stride = len(model) / distilled_steps
    places = linspace(distilled_steps, 1, steps)
    chosen = [round(place) for place in places] if steps <= distilled_steps else places
    return [*(model.at(place * stride - 1) for place in chosen), 0.0]


def tcd_grid(steps: int, model: ModelSigmas, distilled_steps: int = 50) -> list[float]:
    """As `lcm_grid`, with the interval after the last timestep left for the step to 0: the grid of TCD's paper."""
    stride = len(model) / distilled_steps
    places = [distilled_steps - k * distilled_steps / steps for k in range(steps)]
    chosen = [ceil(place - 1e-9) for place in places] if steps <= distilled_steps else places
    return [*(model.at(place * stride - 1) for place in chosen), 0.0]


# What "Automatic" means where it is none of the schedules.
OWN_GRIDS: dict[str, Callable[[int, ModelSigmas], list[float]]] = {"LCM": lcm_grid, "TCD": tcd_grid}


def sigmas_for(
    sampler: SamplerInfo, schedule: str, steps: int, model: ModelSigmas, options: SamplerOptions | None = None
) -> list[float]:
    """The sigmas `sampler` walks in `steps` steps with the schedule of that name or label.

    "Automatic" is the sampler's own default. Timestep samplers have their own grid and ignore the schedule.
    Raises InvalidRequest if `options.sigma_min` is not below `options.sigma_max`.
    """
    if sampler.uses_timesteps:
        return unipc_grid(steps, model) if sampler.name == "UniPC" else ddim_grid(steps, model)
    label = find_schedule(schedule).label
    if label == AUTOMATIC and sampler.name in OWN_GRIDS:
        return OWN_GRIDS[sampler.name](steps, model)
    label = sampler.default_schedule if label == AUTOMATIC else label
    span = _span(model, options or SamplerOptions())
    if not sampler.discards_penultimate_sigma:
        return SCHEDULES[label](steps, span)
    sigmas = SCHEDULES[label](steps + 1, span)
    return [*sigmas[:-2], sigmas[-1]]


def _span(model: ModelSigmas, options: SamplerOptions) -> ScheduleRange:
    sigma_min = options.sigma_min or model.smallest
    sigma_max = options.sigma_max or model.largest
    if sigma_min >= sigma_max:
        message = f"Schedule min sigma {sigma_min:g} is not below max sigma {sigma_max:g}."
        raise InvalidRequest(
            message, f"The model's own are {model.smallest:.3g} and {model.largest:.3g}.", "sampling"
        )
    return ScheduleRange(model, sigma_min, sigma_max, options.rho)
