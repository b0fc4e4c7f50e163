"""Which device computes, in which precision, and how much memory it has."""

from __future__ import annotations

import gc
import importlib.util
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch

from generation.errors import InvalidRequest, OutOfMemory

SMALLER = "Choose a smaller width and height or a smaller batch size."


class Precision(StrEnum):
    """Number format of the weights; AUTO suits the device."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


_DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model lies in memory.

    `channels_last`: convolution weights with the channels innermost. On a CPU in bf16 that makes the autoencoder
    1.19 x and the U-Net 1.05 x faster (2 cores with avx512_bf16, SD 1.5 at 512x512, medians of alternated runs).
    `gemm_attention`: attention by two matrix products, see `engine/attention.py`.
    """

    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    channels_last: bool = False
    gemm_attention: bool = False


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: auto, cpu, cuda, cuda:1, mps. "auto" takes an accelerator if there is one.

    Raises InvalidRequest if the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(
        kind, 0
    )
    index = int(number) if number.isdecimal() else 0
    if index >= count or (number and not number.isdecimal()):
        known = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        hint = f"This machine has {', '.join(known)}. Start with --device auto."
        raise InvalidRequest(f"There is no device {name!r} that PyTorch can use.", hint, "device")
    return torch.device(kind, index) if kind == "cuda" else torch.device(kind)


def choose_placement(device: torch.device, dtype: str = "auto") -> Placement:
    """How models are placed on `device`.

    - CUDA: fp16, the format Stable Diffusion is trained and shared in; the autoencoder, whose activations overflow
      fp16 in some models, in bf16 where the card computes it (compute capability 8) and in fp32 elsewhere.
    - CPU: bf16 where it has instructions for it (1.5-1.6 x a picture on avx512_bf16), else fp32; fp16 only when
      asked for.
    - Apple: fp16 with the autoencoder in fp32.

    Raises InvalidRequest for an unknown precision.
    """
    if dtype not in tuple(Precision):
        raise InvalidRequest(f"Unknown precision {dtype!r}.", "Choose auto, fp32, bf16 or fp16.", "dtype")
    chosen = _DTYPES.get(Precision(dtype)) or _automatic_dtype(device)
    is_cpu = device.type == "cpu"
    slow_attention = is_cpu and chosen is torch.bfloat16 and not has_amx()
    return Placement(
        device=device,
        dtype=chosen,
        vae_dtype=_vae_dtype(device, chosen),
        channels_last=is_cpu or (device.type == "cuda" and chosen is not torch.float32),
        gemm_attention=slow_attention,
    )


def _automatic_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if has_fast_bf16() else torch.float32
    return torch.float16


def _vae_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    if dtype is not torch.float16:
        return dtype
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return torch.bfloat16
    return torch.float32


def has_fast_bf16() -> bool:
    """True if the CPU has instructions that multiply bf16: about five times as fast as fp32 then.

    Looked up, not timed: a busy moment must not decide which picture a seed gives. CPUs without them compute bf16
    slower than fp32.
    """
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def has_amx() -> bool:
    """True if the CPU has matrix units for bf16, where PyTorch's own attention is fast."""
    return torch.cpu._is_amx_tile_supported()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory: of the machine, and of the accelerator if one is used."""

    ram_free: int
    ram_total: int
    device_free: int | None = None
    device_total: int | None = None
    device_allocated: int | None = None


def memory_of(device: torch.device) -> Memory:
    """What is free and used now."""
    ram_free, ram_total = _ram()
    if device.type != "cuda":
        return Memory(ram_free, ram_total)
    free, total = torch.cuda.mem_get_info(device)
    return Memory(ram_free, ram_total, free, total, torch.cuda.memory_allocated(device))


def _ram() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    table = Path("/proc/meminfo")
    if table.exists():
        for line in table.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024, total
    return total, total


def free_memory(device: torch.device) -> None:
    """Gives back what no object uses any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """True if the error means that memory ran out, on an accelerator or in RAM."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator" in text or "out of memory" in text.lower())


def out_of_memory(device: torch.device, doing: str) -> OutOfMemory:
    """The error for people when memory ran out while `doing` something, with what helps."""
    place = "the graphics card" if device.type == "cuda" else "this machine"
    return OutOfMemory(f"The memory of {place} ran out while {doing}.", SMALLER)


def torchvision_problem() -> str | None:
    """Why an installed torchvision would stop diffusers from loading; None if there is nothing to mend.

    A torchvision built for another PyTorch cannot be imported, and diffusers tries to as soon as it finds one. Not
    having torchvision is fine.
    """
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # a mismatched build raises whatever its loader meets first
        return (
            f"torchvision is installed but does not work with PyTorch {torch.__version__} ({error}). "
            "Easel does not need it: remove it with `pip uninstall torchvision`."
        )
    return None
