from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.prompt_schedule import ScheduledText, active_text, is_readable, prompt_schedule

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/prompt_vectors.json").read_text())

PIECES = [
    "[",
    "]",
    "(",
    ")",
    ":",
    "|",
    "a",
    " ",
    "5",
    "0.5",
    "1.",
    "-1",
    "1e1",
    "\\",
    "\\[",
    "\n",
    "[a:b:5]",
    "[a|b]",
]
prompts = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def schedule(
    text: str, steps: int = 10, hires_steps: int | None = None, old: bool = False
) -> list[tuple[int, str]]:
    return [tuple(entry) for entry in prompt_schedule(text, steps, hires_steps, old)]


@pytest.mark.parametrize("case", REFERENCE["schedule"], ids=lambda case: case["input"])
def test_schedules_are_read_as_a1111_reads_them(case: dict) -> None:
    found = schedule(case["input"], case["base_steps"], case["hires_steps"], case["use_old_scheduling"])
    assert found == [tuple(entry) for entry in case["output"]]


@pytest.mark.parametrize("case", REFERENCE["step_selection"]["cases"], ids=lambda case: case["input"])
def test_the_text_in_use_at_each_call_is_a1111s(case: dict) -> None:
    entries = prompt_schedule(case["input"], case["steps"])
    assert [active_text(entries, call) for call in range(case["steps"])] == case["text_used_at_call_k"]


def test_after_the_last_step_the_first_entry_is_used_as_a1111_does() -> None:
    assert active_text([ScheduledText(2, "a"), ScheduledText(4, "b")], 5) == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(10, "")]),
        ("[a:b:1e0]", [(1, "a"), (10, "b")]),  # no dot: a step
        ("[a:b:1.e0]", [(10, "a")]),  # a dot: a share
        ("[a:b:+3]", [(3, "a"), (10, "b")]),
        ("[a:b:99]", [(10, "a")]),
        ("[a:b:1e999]", [(10, "a")]),
        ("[a:b:\n3\t]", [(3, "a"), (10, "b")]),
        ("[a:b:0.05]", [(10, "b")]),
        ("[a:b:c:5]", [(10, "[a:b:c:5]")]),
        ("[(a:1.2):b:5]", [(5, "(a:1.2)"), (10, "b")]),
        ("[(a:b:c):d:5]", [(10, "[(a:b:c):d:5]")]),  # the inner bracket is unsound, so the outer is, too
        ("x [a:b:5", [(10, "x [a:b:5")]),
        ("(x [a:b:5]", [(5, "(x a"), (10, "(x b")]),
        ("[x [a:b:5]", [(5, "[x a"), (10, "[x b")]),
        ("([a:b:5)]", [(10, "([a:b:5)]")]),
        ("a | [b:c:5]", [(10, "a | [b:c:5]")]),
        ("[a|b:5] [c:d:5]", [(10, "[a|b:5] [c:d:5]")]),
        ("(a|b) [c:d:5]", [(10, "(a|b) [c:d:5]")]),
        ("[a:b:5]\\", [(10, "[a:b:5]\\")]),
        ("[a:b:5]\\\n", [(10, "[a:b:5]\\\n")]),
        ("[a:b:٥]", [(10, "[a:b:٥]")]),
        ("[a|b", [(10, "[a|b")]),
        ("[a|b)]", [(10, "[a|b)]")]),
        ("{a|b}", [(10, "{a|b}")]),
    ],
)
def test_corner_cases(text: str, expected: list[tuple[int, str]]) -> None:
    assert schedule(text) == expected


def test_alternation_inside_schedules_and_the_other_way_round() -> None:
    assert schedule("[a|[b:c:2]]", 4) == [(1, "a"), (2, "b"), (3, "a"), (4, "c")]
    assert schedule("[[a|b]:c:2]", 4) == [(1, "a"), (2, "b"), (3, "c"), (4, "c")]


def test_readable_tells_literal_prompts_from_plain_ones() -> None:
    assert is_readable("a [b:c:5]")
    assert is_readable("plain: text]")
    assert not is_readable("a | b")


@given(prompts, st.integers(1, 12), st.sampled_from([None, 1, 7]), st.booleans())
def test_bounds_ascend_and_end_at_the_last_step(text: str, steps: int, hires: int | None, old: bool) -> None:
    entries = prompt_schedule(text, steps, hires, old)
    bounds = [entry.until_step for entry in entries]
    assert bounds == sorted(set(bounds))
    assert bounds[0] >= 1
    assert bounds[-1] == (steps if hires is None or old else hires)


Sound = tuple[str, Callable[[int], str]]  # a text in which all brackets fit, and what it says at a step


def scheduled(before: Sound, after: Sound, when: int) -> Sound:
    return f"[{before[0]}:{after[0]}:{when}]", lambda step: (before if step <= when else after)[1](step)


def alternating(options: list[Sound]) -> Sound:
    text = "|".join(option[0] for option in options)
    return f"[{text}]", lambda step: options[(step - 1) % len(options)][1](step)


def joined(parts: list[Sound]) -> Sound:
    return "".join(part[0] for part in parts), lambda step: "".join(part[1](step) for part in parts)


def emphasised(inner: Sound) -> Sound:
    return f"({inner[0]})", lambda step: f"({inner[1](step)})"


words = st.sampled_from(["", "a", "b ", "c\\|", "5", "(d:1.2)"]).map(lambda word: (word, lambda step: word))
sound_texts = st.recursive(
    words,
    lambda inner: st.one_of(
        st.builds(scheduled, inner, inner, st.integers(0, 9)),
        st.lists(inner, min_size=2, max_size=3).map(alternating),
        st.lists(inner, min_size=2, max_size=3).map(joined),
        inner.map(emphasised),
    ),
    max_leaves=12,
)


@given(sound_texts)
def test_nested_brackets_say_what_they_were_built_to_say(sound: Sound) -> None:
    text, says = sound
    found = prompt_schedule(text, 8)
    assert [active_text(found, step) for step in range(1, 9)] == [says(step) for step in range(1, 9)]


@pytest.mark.parametrize("unit", ["[a:", "(", "[", "]", "[[a:b:5]", "([", "[a|", "a:b|c]", "[a:b:5]"])
def test_work_grows_in_proportion(unit: str, lines_of: Callable[[Callable[[], object]], int]) -> None:
    small = lines_of(lambda: prompt_schedule(unit * 500, 10))
    large = lines_of(lambda: prompt_schedule(unit * 1000, 10))
    assert large < 2.5 * small + 100


def test_sound_brackets_may_be_nested_thousands_deep() -> None:
    assert schedule("[" * 5000 + "a" + ":3]" * 5000) == [(3, ""), (10, "a")]


def test_a_schedule_that_would_take_minutes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too much"):
        prompt_schedule("[a|b]" * 20_000, 1000)
