"""Samplers by name. Names, aliases and flags are in `generation/sampler_info.py`."""

from __future__ import annotations

from engine.samplers.cfg_plus_plus import ddim_cfgpp, dpmpp_2m_cfgpp
from engine.samplers.dpm import dpm2, dpm2_ancestral
from engine.samplers.dpm_solver import dpm_adaptive, dpm_fast
from engine.samplers.dpmpp import (
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2m_sde_heun,
    dpmpp_2s_ancestral,
    dpmpp_3m_sde,
    dpmpp_sde,
)
from engine.samplers.er_sde import er_sde
from engine.samplers.euler import ddim, ddpm, euler, euler_ancestral, lcm, tcd
from engine.samplers.heun import heun, heunpp2
from engine.samplers.multistep import deis, ipndm, lms, plms
from engine.samplers.protocol import Ask, Sampler, StepNoise, Steps
from engine.samplers.restart import restart
from engine.samplers.unipc import unipc

__all__ = ["SAMPLERS", "Ask", "Sampler", "StepNoise", "Steps"]

SAMPLERS: dict[str, Sampler] = {
    "DPM++ 2M": dpmpp_2m,
    "DPM++ SDE": dpmpp_sde,
    "DPM++ 2M SDE": dpmpp_2m_sde,
    "DPM++ 2M SDE Heun": dpmpp_2m_sde_heun,
    "DPM++ 2S a": dpmpp_2s_ancestral,
    "DPM++ 3M SDE": dpmpp_3m_sde,
    "Euler a": euler_ancestral,
    "Euler": euler,
    "LMS": lms,
    "Heun": heun,
    "DPM2": dpm2,
    "DPM2 a": dpm2_ancestral,
    "DPM fast": dpm_fast,
    "DPM adaptive": dpm_adaptive,
    "Restart": restart,
    "DDIM": ddim,
    "DDIM CFG++": ddim_cfgpp,
    "PLMS": plms,
    "UniPC": unipc,
    "LCM": lcm,
    "DDPM": ddpm,
    "DEIS": deis,
    "IPNDM": ipndm,
    "HeunPP2": heunpp2,
    "TCD": tcd,
    "ER-SDE": er_sde,
    "Euler CFG++": ddim_cfgpp,
    "DPM++ 2M CFG++": dpmpp_2m_cfgpp,
}
