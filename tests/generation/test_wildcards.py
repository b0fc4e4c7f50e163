from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.wildcards import MAX_CHARACTERS, expand, missing_wildcards, wildcard_lines

WILDCARDS = {
    "animals/cats": ["lion", "tiger"],
    "animals/dogs": ["poodle"],
    "Colour": ["red", "{light|dark} blue"],
    "scene": ["a __colour__ __animals/*__"],
    "loop": ["x __loop__"],
    "twice": ["__twice__ __twice__"],
    "nothing": [],
}


def results(text: str, seeds: int = 60) -> set[str]:
    return {expand(text, WILDCARDS, seed).text for seed in range(seeds)}


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("a {red|blue} cat", {"a red cat", "a blue cat"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("{a|}x", {"ax", "x"}),
        ("{2$$a|b}", {"a, b", "b, a"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{-1$$a|b}", {"", "a", "b"}),
        ("{2-$$a|b}", {"a, b", "b, a"}),
        ("{9$$a|b}", {"a, b", "b, a"}),
        ("{0$$a|b}", {""}),
        ("{2$$$$a|b}", {"ab", "ba"}),
        ("__animals/cats__!", {"lion!", "tiger!"}),
        ("__ANIMALS/*__", {"lion", "tiger", "poodle"}),
        ("__colour__", {"red", "light blue", "dark blue"}),
        ("{__animals/dogs__|x}", {"poodle", "x"}),
        ("{0::a|b}", {"b"}),
        # A1111's own grammar and everything else is left alone.
        ("[a|b] (c:1.2) {prompt} a_b __ x", {"[a|b] (c:1.2) {prompt} a_b __ x"}),
        ("\\{a|b\\}", {"\\{a|b\\}"}),
        ("{a|b", {"{a|b"}),
        ("a|b}", {"a|b}"}),
        ("{}", {"{}"}),
    ],
)
def test_what_can_be_drawn(text: str, possible: set[str]) -> None:
    assert results(text) == possible


def test_a_wildcard_in_a_wildcard() -> None:
    assert expand("__scene__", WILDCARDS, 1).text.startswith("a ")
    assert "_" not in expand("__scene__", WILDCARDS, 1).text


def test_weights_shift_the_odds() -> None:
    drawn = Counter(expand("{9::a|b}", {}, seed).text for seed in range(1000))
    assert 850 < drawn["a"] < 950


def test_results_are_the_same_on_every_machine() -> None:
    assert [expand("{a|b|c} {2$$x|y|z} __colour__", WILDCARDS, seed).text for seed in (0, 1, 2**63)] == [
        "c y, x light blue",
        "a z, x red",
        "b x, z red",
    ]


def test_unknown_and_empty_wildcards_stay_and_are_warned_of() -> None:
    found = expand("__color__ __nothing__ __x*__", WILDCARDS, 1)
    assert found.text == "__color__ __nothing__ __x*__"
    assert len(found.warnings) == 3
    assert "Did you mean __colour__?" in found.warnings[0]


def test_endless_recursion_ends_with_a_warning() -> None:
    found = expand("__loop__", WILDCARDS, 1)
    assert found.text.startswith("x x x")
    assert len(found.warnings) == 1


def test_prompts_that_double_without_end_are_cut_short() -> None:
    assert len(expand("__twice__", WILDCARDS, 1).text) <= 2 * MAX_CHARACTERS
    chain = {f"a{n}": [f"__a{n + 1}____a{n + 1}__"] for n in range(29)} | {"a29": [""]}
    assert expand("__a0__", chain, 1).warnings == ()


def test_a_prompt_that_would_grow_too_long_is_left_as_it_is() -> None:
    found = expand("__long__", {"long": ["x" * MAX_CHARACTERS + "y"]}, 1)
    assert found.text == "__long__"
    assert len(found.warnings) == 1


def test_deep_braces_are_left_as_text() -> None:
    found = expand("{a|" * 1000 + "b" + "}" * 1000, {}, 3)
    assert found.text
    assert expand("{" * 1000 + "a|b" + "}" * 1000, {}, 3).warnings


@given(st.text(alphabet="{}|$_:1-2a \\*", max_size=40), st.integers(0, 2**64))
def test_any_text_is_expanded_the_same_way_twice(text: str, seed: int) -> None:
    wildcards = {"a": ["x", "{1|2}"]}
    assert expand(text, wildcards, seed) == expand(text, wildcards, seed)


def test_files_of_wildcards() -> None:
    assert wildcard_lines("\ufeffred\r\n\n # note\n blue \n") == ["red", "blue"]


def test_missing_wildcards_are_named_once() -> None:
    assert missing_wildcards("__a__ __Colour__ __animals/*__ __a__ {__b__}", WILDCARDS) == ["a", "b"]
