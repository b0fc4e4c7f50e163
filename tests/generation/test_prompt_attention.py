from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.prompt_attention import BREAK, is_break, parse_attention

VECTORS = json.loads((Path(__file__).parent.parent / "reference/prompt_vectors.json").read_text())["attention"]

PROMPT_PIECES = [
    "(",
    ")",
    "[",
    "]",
    ":",
    "1.2",
    "+.5",
    " ",
    "\\",
    BREAK,
    "AND",
    "cat",
    "é",
    "\n",
    ":1.3)",
    "(x:",
    ".",
]
prompts = st.lists(st.sampled_from(PROMPT_PIECES), max_size=30).map("".join)


@pytest.mark.parametrize("case", [case for case in VECTORS if "output" in case], ids=lambda case: case["input"])
def test_attention_is_read_as_a1111_reads_it(case: dict) -> None:
    assert parse_attention(case["input"]) == [tuple(run) for run in case["output"]]


@pytest.mark.parametrize("text", ["(a:1.1.1)", "(a:.)", "((b:1..2)"])
def test_a_weight_that_is_no_number_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a number") as caught:
        parse_attention(text)
    assert caught.value.field == "prompt"


def test_a_bad_number_outside_of_brackets_is_text() -> None:
    assert parse_attention("a:1.1.1)") == [("a:1.1.1)", 1.0)]


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("((a)b", [("a", 1.1 * 1.1), ("b", 1.1)]),
        ("(a\\:1.2)", [("a", 1.2)]),  # the backslash escapes nothing here
        ("(a:-0.5)", [("a", -0.5)]),
        ("[(a:1.5)", [("a", 1.5 * (1 / 1.1))]),
        ("a  BREAK\n b", [("a", 1.0), (BREAK, -1.0), ("b", 1.0)]),
        ("BREAKs", [("BREAKs", 1.0)]),
        ("a\nb", [("a\nb", 1.0)]),
        ("(a:٢)", [("a", 2.0)]),
    ],
)
def test_corner_cases(text: str, runs: list[tuple[str, float]]) -> None:
    assert parse_attention(text) == runs


def test_only_a_break_of_weight_minus_one_breaks() -> None:
    assert is_break((BREAK, -1.0))
    assert not is_break((BREAK, -1.2))
    assert not is_break(("a", -1.0))


@given(prompts)
def test_neighbours_have_different_weights_and_nothing_but_marks_gets_lost(text: str) -> None:
    try:
        runs = parse_attention(text)
    except InvalidRequest:
        return
    assert all(one[1] != two[1] for one, two in pairwise(runs))
    assert all(letter in "".join(run for run, _ in runs) for letter in ("cat", "é") if letter in text)


def test_deep_nesting_neither_recurses_nor_explodes(lines_of: Callable[[Callable[[], object]], int]) -> None:
    small = lines_of(lambda: parse_attention("(a[b" * 1000))
    large = lines_of(lambda: parse_attention("(a[b" * 2000))
    assert large < 2.5 * small
    assert parse_attention("(" * 8000 + "a" + ")" * 8000) == [("a", float("inf"))]
    assert 0 <= parse_attention("[" * 10_000 + "a")[0][1] < 1e-300


@pytest.mark.parametrize(
    "text", [" " * 100_000, "BREAK " * 16_000, ":" * 100_000, ": 1 1" * 20_000, "\\" * 100_000]
)
def test_long_hostile_text_is_read(text: str) -> None:
    assert parse_attention(text)
