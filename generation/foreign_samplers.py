"""What other programs call samplers and schedules, in A1111's words."""

from __future__ import annotations

from generation.infotext_request import put_sampler
from generation.pasted_request import PasteBuilder

# ComfyUI, which Fooocus shares; "_gpu" and "_bh2" are variants of the same sampler.
_COMFY_SAMPLERS = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "heunpp2": "HeunPP2", "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a", "lms": "LMS", "dpm_fast": "DPM fast", "dpm_adaptive": "DPM adaptive",
    "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun", "dpmpp_3m_sde": "DPM++ 3M SDE",
    "ddpm": "DDPM", "ddim": "DDIM", "lcm": "LCM", "tcd": "TCD", "uni_pc": "UniPC", "ipndm": "IPNDM",
    "deis": "DEIS", "restart": "Restart", "er_sde": "ER-SDE", "euler_cfg_pp": "Euler CFG++",
}  # fmt: skip
_COMFY_SCHEDULES = {
    "normal": "Normal", "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform",
    "simple": "Simple", "ddim_uniform": "DDIM", "beta": "Beta", "kl_optimal": "KL Optimal", "turbo": "Turbo",
    "align_your_steps": "Align Your Steps",
}  # fmt: skip
# InvokeAI's names without "_k", which means the Karras schedule.
_INVOKE_SAMPLERS = {
    "euler": "Euler", "euler_a": "Euler a", "heun": "Heun", "kdpm_2": "DPM2", "kdpm_2_a": "DPM2 a", "lms": "LMS",
    "dpmpp_2m": "DPM++ 2M", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m_sde": "DPM++ 2M SDE", "ddim": "DDIM",
    "ddpm": "DDPM", "pndm": "PLMS", "unipc": "UniPC", "lcm": "LCM", "deis": "DEIS", "tcd": "TCD",
    "k_euler": "Euler", "k_euler_a": "Euler a", "k_lms": "LMS", "k_heun": "Heun", "plms": "PLMS",
}  # fmt: skip
_NOVELAI_SAMPLERS = {
    "k_euler": "Euler", "k_euler_ancestral": "Euler a", "k_dpmpp_2m": "DPM++ 2M", "k_dpmpp_sde": "DPM++ SDE",
    "k_dpmpp_2m_sde": "DPM++ 2M SDE", "k_dpmpp_2s_ancestral": "DPM++ 2S a", "k_dpm_2": "DPM2", "k_lms": "LMS",
    "k_dpm_2_ancestral": "DPM2 a", "k_dpm_fast": "DPM fast", "ddim": "DDIM", "ddim_v3": "DDIM", "plms": "PLMS",
}  # fmt: skip


def put_comfy_sampler(builder: PasteBuilder, sampler: str, schedule: str) -> None:
    """Sampler and schedule as ComfyUI and Fooocus write them."""
    plain = sampler.removesuffix("_gpu").removesuffix("_bh2").removesuffix("_bh1")
    put_sampler(builder, _COMFY_SAMPLERS.get(plain, sampler), _COMFY_SCHEDULES.get(schedule, schedule))


def put_invoke_sampler(builder: PasteBuilder, scheduler: str) -> None:
    """InvokeAI's "scheduler", which is a sampler, with "_k" at the end for the Karras schedule."""
    plain = scheduler.removesuffix("_k")
    put_sampler(builder, _INVOKE_SAMPLERS.get(plain, scheduler), "Karras" if plain != scheduler else "Uniform")


def put_novelai_sampler(builder: PasteBuilder, sampler: str, schedule: str) -> None:
    """NovelAI's sampler; its schedule "native" is the uniform one."""
    label = {"native": "Uniform", "": ""}.get(schedule, _COMFY_SCHEDULES.get(schedule, schedule))
    put_sampler(builder, _NOVELAI_SAMPLERS.get(sampler, sampler), label)
