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
    `is_adaptive`: chooses its own steps, each picture for itself. `is_cfg_plus_plus`: its CFG scale is small;
    A1111's numbers are divided by 12.5.
    `uses_timesteps`: walks the training timesteps and ignores the schedule type (DDIM, PLMS, UniPC).
    """

    name: str
    aliases: tuple[str, ...] = ()
    default_schedule: str = "Uniform"
    second_order: bool = False
    is_stochastic: bool = False
    uses_timesteps: bool = False
    discards_penultimate_sigma: bool = False
    is_adaptive: bool = False
    is_cfg_plus_plus: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """One noise schedule: `name` for the API, `label` for people. `default_rho` is -1 where it has none."""

    name: str
    label: str
    aliases: tuple[str, ...] = ()
    default_rho: float = -1
    need_inner_model: bool = False


# A1111's, in the order of its menu; then ours.
SAMPLERS: tuple[SamplerInfo, ...] = (
    SamplerInfo("DPM++ 2M", ("k_dpmpp_2m",), "Karras"),
    SamplerInfo("DPM++ SDE", ("k_dpmpp_sde",), "Karras", second_order=True, is_stochastic=True),
    SamplerInfo("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), "Exponential", is_stochastic=True),
    SamplerInfo("DPM++ 2M SDE Heun", ("k_dpmpp_2m_sde_heun",), "Exponential", is_stochastic=True),
    SamplerInfo("DPM++ 2S a", ("k_dpmpp_2s_a",), "Karras", second_order=True, is_stochastic=True),
    SamplerInfo(
        "DPM++ 3M SDE", ("k_dpmpp_3m_sde",), "Exponential", is_stochastic=True, discards_penultimate_sigma=True
    ),
    SamplerInfo("Euler a", ("k_euler_a", "k_euler_ancestral"), is_stochastic=True),
    SamplerInfo("Euler", ("k_euler",)),
    SamplerInfo("LMS", ("k_lms",)),
    SamplerInfo("Heun", ("k_heun",), second_order=True),
    SamplerInfo("DPM2", ("k_dpm_2",), "Karras", second_order=True, discards_penultimate_sigma=True),
    SamplerInfo(
        "DPM2 a",
        ("k_dpm_2_a",),
        "Karras",
        second_order=True,
        is_stochastic=True,
        discards_penultimate_sigma=True,
    ),
    SamplerInfo("DPM fast", ("k_dpm_fast",), is_stochastic=True),
    SamplerInfo("DPM adaptive", ("k_dpm_ad",), is_stochastic=True, is_adaptive=True),
    SamplerInfo("Restart", ("restart",), "Karras", second_order=True, is_stochastic=True),
    SamplerInfo("DDIM", ("ddim",), uses_timesteps=True),
    SamplerInfo("DDIM CFG++", ("ddim_cfgpp",), uses_timesteps=True, is_cfg_plus_plus=True),
    SamplerInfo("PLMS", ("plms",), uses_timesteps=True),
    SamplerInfo("UniPC", ("unipc",), uses_timesteps=True),
    SamplerInfo("LCM", ("k_lcm",), is_stochastic=True),
    SamplerInfo("DDPM", ("ddpm",), is_stochastic=True),
    SamplerInfo("DEIS", ("deis",)),
    SamplerInfo("IPNDM", ("ipndm",)),
    SamplerInfo("HeunPP2", ("heunpp2",)),
    SamplerInfo("TCD", ("tcd",), is_stochastic=True),
    SamplerInfo("ER-SDE", ("er_sde",), "Karras", is_stochastic=True),
    SamplerInfo("Euler CFG++", ("euler_cfg_pp",), is_cfg_plus_plus=True),
    SamplerInfo("DPM++ 2M CFG++", ("dpmpp_2m_cfg_pp",), "Karras", is_cfg_plus_plus=True),
)

# A1111's, in its order; then ours.
SCHEDULES: tuple[ScheduleInfo, ...] = (
    ScheduleInfo("automatic", AUTOMATIC),
    ScheduleInfo("uniform", "Uniform", need_inner_model=True),
    ScheduleInfo("karras", "Karras", default_rho=7.0),
    ScheduleInfo("exponential", "Exponential"),
    ScheduleInfo("polyexponential", "Polyexponential", default_rho=1.0),
    ScheduleInfo("sgm_uniform", "SGM Uniform", ("SGMUniform",), need_inner_model=True),
    ScheduleInfo("kl_optimal", "KL Optimal"),
    ScheduleInfo("align_your_steps", "Align Your Steps"),
    ScheduleInfo("simple", "Simple", need_inner_model=True),
    ScheduleInfo("normal", "Normal", need_inner_model=True),
    ScheduleInfo("ddim", "DDIM", need_inner_model=True),
    ScheduleInfo("beta", "Beta", need_inner_model=True),
    ScheduleInfo("turbo", "Turbo", need_inner_model=True),
)


def find_sampler(name: str, field: str = "sampler") -> SamplerInfo:
    """The sampler called `name` (case-insensitive) or known by that alias. Raises UnknownName."""
    wanted = name.strip().casefold()
    for info in SAMPLERS:
        if wanted in (info.name.casefold(), *(alias.casefold() for alias in info.aliases)):
            return info
    raise unknown_name("sampler", name, (info.name for info in SAMPLERS), field)


def find_schedule(name: str, field: str = "schedule") -> ScheduleInfo:
    """The schedule with that name, label or alias (case-insensitive). Raises UnknownName."""
    wanted = name.strip().casefold()
    for info in SCHEDULES:
        if wanted in (info.name.casefold(), info.label.casefold(), *(a.casefold() for a in info.aliases)):
            return info
    raise unknown_name("schedule", name, (info.label for info in SCHEDULES), field)


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
