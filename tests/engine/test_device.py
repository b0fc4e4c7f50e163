"""Devices, precisions, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import device
from engine.device import (
    choose_device,
    choose_placement,
    free_memory,
    is_out_of_memory,
    memory_of,
    out_of_memory,
    torchvision_problem,
)
from generation.errors import InvalidRequest

CPU = torch.device("cpu")


def test_cpu_can_always_be_chosen() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bf16_only_if_it_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    placement = choose_placement(CPU)
    assert (placement.dtype, placement.vae_dtype) == (dtype, dtype)


def test_own_attention_is_for_bf16_without_matrix_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_amx", lambda: False)
    assert choose_placement(CPU, "bf16").gemm_attention
    assert not choose_placement(CPU, "fp32").gemm_attention
    monkeypatch.setattr(device, "has_amx", lambda: True)
    assert not choose_placement(CPU, "bf16").gemm_attention


@pytest.mark.parametrize(("capability", "vae"), [((8, 0), torch.bfloat16), ((7, 5), torch.float32)])
def test_a_graphics_card_computes_in_fp16_but_not_the_autoencoder(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], vae: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    placement = choose_placement(torch.device("cuda", 0))
    assert (placement.dtype, placement.vae_dtype) == (torch.float16, vae)
    assert not placement.gemm_attention


def test_an_unknown_precision_is_an_error_for_people() -> None:
    with pytest.raises(InvalidRequest, match="int3"):
        choose_placement(CPU, "int3")


def test_memory_is_told_in_bytes() -> None:
    memory = memory_of(CPU)
    assert 0 < memory.ram_free <= memory.ram_total
    assert memory.device_free is None
    free_memory(CPU)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_lack_of_memory_is_recognised(error: Exception, verdict: bool) -> None:
    assert is_out_of_memory(error) is verdict


def test_a_real_lack_of_memory_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_error_for_people_names_what_helps() -> None:
    error = out_of_memory(torch.device("cuda", 0), "decoding")
    assert "graphics card" in error.message
    assert "smaller" in error.hint
    assert error.status == 507


def test_no_torchvision_is_no_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    assert torchvision_problem() is None


def test_a_torchvision_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    program = "from engine.device import torchvision_problem; print(torchvision_problem())"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; {program}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    assert "nms does not exist" in done.stdout
    assert "pip uninstall torchvision" in done.stdout
