"""Names of samplers and schedules, as A1111 writes them; lists need no torch.

`engine/samplers` and `engine/schedules.py` hold the code; a test compares their tables with this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from generation.errors import UserError, unknown_name

AUTOMATIC = "Automatic"


@dataclass(frozen=True, slots=True)
class SamplerInfo:
    """One sampler. `default_schedule` is what "Automatic" means for it.

    `second_order`: two model calls per step. `is_stochastic`: draws new noise at every step.
    `uses_timesteps`: walks the training timesteps and ignores the schedule type (DDIM, PLMS, UniPC, DDPM).
    """

    name: str
    aliases: tuple[str, ...] = ()
    default_schedule: str = "Uniform"
    second_order: bool = False
    is_stochastic: bool = False
    uses_timesteps: bool = False
    discards_penultimate_sigma: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """One noise schedule: `name` for the API, `label` for people. `default_rho` is -1 where it has none."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    default_rho: float = -1
    need_inner_model: bool = False


SAMPLERS: tuple[SamplerInfo, ...] = (
    SamplerInfo("DPM++ 2M", ("k_dpmpp_2m",), "Karras"),
    SamplerInfo("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), "Exponential", is_stochastic=True),
    SamplerInfo("Euler a", ("k_euler_a", "k_euler_ancestral"), is_stochastic=True),
    SamplerInfo("Euler", ("k_euler",)),
    SamplerInfo("Heun", ("k_heun",), second_order=True),
    SamplerInfo("DDPM", ("ddpm",), is_stochastic=True, uses_timesteps=True),
    SamplerInfo("DDIM", ("ddim",), uses_timesteps=True),
    SamplerInfo("PLMS", ("plms",), uses_timesteps=True),
    SamplerInfo("UniPC", ("unipc",), uses_timesteps=True),
    SamplerInfo("LCM", ("k_lcm",), is_stochastic=True),
)

SCHEDULES: tuple[ScheduleInfo, ...] = (
    ScheduleInfo("automatic", AUTOMATIC),
    ScheduleInfo("uniform", "Uniform", need_inner_model=True),
    ScheduleInfo("karras", "Karras", default_rho=7.0),
    ScheduleInfo("exponential", "Exponential"),
    ScheduleInfo("sgm_uniform", "SGM Uniform", ("SGMUniform",), need_inner_model=True),
)


def find_sampler(name: str) -> SamplerInfo:
    """The sampler called `name` (case-insensitive) or known by that alias. Raises UnknownName."""
    wanted = name.strip().casefold()
    for info in SAMPLERS:
        if wanted in (info.name.casefold(), *(alias.casefold() for alias in info.aliases)):
            return info
    raise unknown_name("sampler", name, (info.name for info in SAMPLERS), "sampler")


def find_schedule(name: str) -> ScheduleInfo:
    """The schedule with that name, label or alias (case-insensitive). Raises UnknownName."""
    wanted = name.strip().casefold()
    for info in SCHEDULES:
        if wanted in (info.name.casefold(), info.label.casefold(), *(a.casefold() for a in info.aliases)):
            return info
    raise unknown_name("schedule", name, (info.label for info in SCHEDULES), "schedule")


def resolve(sampler: str, schedule: str = AUTOMATIC) -> tuple[str, str]:
    """Canonical sampler name and schedule label for what a client sent.

    Splits old combined names ("DPM++ 2M Karras"); the longest matching schedule wins, so "Euler SGM Uniform"
    is Euler with SGM Uniform. A schedule inside the name is used only if `schedule` is Automatic.
    Raises UnknownName with the nearest names.
    """
    given = find_schedule(schedule or AUTOMATIC).label
    try:
        return find_sampler(sampler).name, given
    except UserError as unknown:
        folded = sampler.strip().casefold()
        labels = [(label, info.label) for info in SCHEDULES for label in (info.label, *info.aliases)]
        for ending, label in sorted(labels, key=lambda pair: -len(pair[0])):
            if folded.endswith(" " + ending.casefold()):
                try:
                    name = find_sampler(sampler.strip()[: -len(ending)]).name
                except UserError:
                    continue
                return name, label if given == AUTOMATIC else given
        raise unknown from None


def effective_schedule(sampler: str, schedule: str) -> str:
    """The schedule label that is really used: "Automatic" replaced by the sampler's default."""
    label = find_schedule(schedule).label
    return find_sampler(sampler).default_schedule if label == AUTOMATIC else label
