"""Freed memory stays in the process."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine import heap

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import resource, sys, threading
sys.path.insert(0, {root!r})
from engine.heap import keep_heap
if {keep}: assert keep_heap()
import torch

def work():
    for _ in range(20): torch.ones(20_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5): torch.ones(20_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def page_faults(keep: bool) -> int:
    program = PROGRAM.format(root=str(ROOT), keep=keep)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_large_tensor_made_again_in_a_thread_takes_no_new_pages() -> None:
    kept, plain = page_faults(True), page_faults(False)
    assert kept < plain / 5


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert heap.keep_heap() is False
