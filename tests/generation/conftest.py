"""Hypothesis without surprises: the same examples every time, no database, no deadline."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("easel", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("easel")


def count_lines(call: Callable[[], object]) -> int:
    """How many lines of Python `call` executes: a measure of work that does not depend on the machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture
def lines_of() -> Callable[[Callable[[], object]], int]:
    return count_lines
