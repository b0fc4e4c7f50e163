from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.prompt import (
    Network,
    apply_styles,
    extract_networks,
    lora_arguments,
    parse_attention,
    parse_prompt,
    split_and,
    strip_comments,
)

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/prompt_vectors.json").read_text())


@pytest.mark.parametrize("case", REFERENCE["multicond"], ids=lambda case: case["input"])
def test_and_is_split_as_a1111_splits_it(case: dict) -> None:
    assert split_and(case["input"]) == [tuple(side) for side in case["output"]["subprompts"]]


@pytest.mark.parametrize("case", REFERENCE["extra_networks"], ids=lambda case: case["input"])
def test_network_tags_are_read_as_a1111_reads_them(case: dict) -> None:
    text, networks = extract_networks(case["input"])
    found: dict[str, list[dict]] = {}
    for network in networks:
        about = {
            "items": list(network.items),
            "positional": list(network.positional),
            "named": dict(network.named),
        }
        found.setdefault(network.kind, []).append(about)
    assert (text, found) == (case["prompt"], case["networks"])
    for resolved, network in zip(case.get("lora_resolved", []), networks, strict=False):
        arguments = lora_arguments(network)
        weights = (arguments.text_encoder_weight, arguments.unet_weight, arguments.rank)
        assert (arguments.name, *weights) == (resolved["name"], resolved["te"], resolved["unet"], resolved["dyn"])
    if "lora_error" in case:
        with pytest.raises(InvalidRequest, match="abc"):
            lora_arguments(networks[0])


@pytest.mark.parametrize("case", REFERENCE["comments"], ids=lambda case: case["input"])
def test_comments_are_stripped_as_a1111_strips_them(case: dict) -> None:
    assert strip_comments(case["input"]) == case["output"]


@pytest.mark.parametrize("case", REFERENCE["styles_merge"], ids=lambda case: case["style"])
def test_a_style_is_merged_as_a1111_merges_it(case: dict) -> None:
    assert apply_styles(case["prompt"], [case["style"]]) == case["output"]


@pytest.mark.parametrize("case", REFERENCE["styles_apply_sequence"])
def test_styles_are_applied_in_order(case: dict) -> None:
    assert apply_styles(case["prompt"], case["styles"]) == case["output"]


@pytest.mark.parametrize("case", REFERENCE["pipeline"], ids=lambda case: case["input"])
def test_the_whole_way_of_a_prompt(case: dict) -> None:
    parsed = parse_prompt(case["input"], case["steps"])
    networks: dict[str, list[list[str]]] = {}
    for network in parsed.networks:
        networks.setdefault(network.kind, []).append(list(network.items))
    subprompts = [
        {
            "weight": subprompt.weight,
            "schedule": [
                {"until_step": step, "text": text, "attention": [list(run) for run in parse_attention(text)]}
                for step, text in subprompt.schedule
            ],
        }
        for subprompt in parsed.subprompts
    ]
    assert {"networks": networks, "subprompts": subprompts} == {
        key: case[key] for key in ("networks", "subprompts")
    }


def test_a_negative_prompt_has_no_and_and_keeps_tags_with_warnings() -> None:
    parsed = parse_prompt("a AND b:2 <lora:x:1>", 4, is_negative=True)
    assert [(side.weight, side.schedule) for side in parsed.subprompts] == [(1.0, ((4, "a AND b:2 <lora:x:1>"),))]
    assert parsed.networks == ()
    assert len(parsed.warnings) == 2


@pytest.mark.parametrize("text", ["ratio 16:9", "x:5", "time 12:30 AND cat"])
def test_a_number_that_is_taken_for_a_weight_is_warned_of(text: str) -> None:
    assert "weight" in parse_prompt(text, 4).warnings[0]


@pytest.mark.parametrize("text", ["a cat:1.2 AND a dog: -0.5", "plain", "(a:1.2)", "a:b", "a ", "3:x"])
def test_no_warning_where_nothing_is_odd(text: str) -> None:
    assert parse_prompt(text, 4).warnings == ()


def test_a_break_in_weighted_brackets_is_warned_of_once() -> None:
    (warning,) = parse_prompt("(a BREAK b:1.2) [c BREAK d]", 4).warnings
    assert "BREAK" in warning
    assert parse_prompt("a BREAK (b)", 4).warnings == ()


def test_an_unreadable_schedule_is_warned_of() -> None:
    (warning,) = parse_prompt("a | [b:c:5]", 10).warnings
    assert "literal" in warning


def test_a_network_that_cannot_be_read_is_left_out_with_a_warning() -> None:
    parsed = parse_prompt("a <lora:foo:abc> <lora:te=1> <lora:x:inf> <lora:y:0.5>", 4)
    assert parsed.networks == (Network("lora", ("y", "0.5")),)
    assert len(parsed.warnings) == 3


def test_an_unknown_kind_of_network_is_kept_and_warned_of() -> None:
    parsed = parse_prompt("a <foo:x:1> <hypernet:h:0.6>", 4)
    assert [network.tag for network in parsed.networks] == ["<foo:x:1>", "<hypernet:h:0.6>"]
    assert len(parsed.warnings) == 1


@pytest.mark.parametrize(
    "text", ["(a:1.1.1)", "[x:(a:1.2.3):5]", "a:" + "9" * 400, "(" * 8000 + "a", "(a:" + "9" * 400 + ")"]
)
def test_what_would_break_a1111_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_prompt(text, 10)


def test_a_prompt_that_turns_into_too_many_long_texts_is_refused() -> None:
    options = "|".join(str(number) for number in range(200))
    with pytest.raises(InvalidRequest, match="different"):
        parse_prompt("x" * 30_000 + f"[{options}]", 200)


def test_hires_passes_have_their_own_steps() -> None:
    assert parse_prompt("[a:b:12]", 10, 5).subprompts[0].schedule == ((2, "a"), (5, "b"))
    assert parse_prompt("[a:b:1.0]", 10, old_timelines=True).subprompts[0].schedule == ((1, "a"), (10, "b"))


@given(st.text(alphabet="()[]:|\\ .19aANDBREK<>lor#\n", max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    for is_negative in (False, True):
        with suppress(InvalidRequest):
            parsed = parse_prompt(text, 8, is_negative=is_negative)
            assert all(side.schedule[-1].until_step == 8 for side in parsed.subprompts)


@pytest.mark.parametrize(
    "text", ["<a:" * 33_000, "(" * 7000, "AND " * 25_000, "#" * 100_000, " " * 100_000 + ":1", "<" + "a" * 99_000]
)
def test_long_hostile_prompts_are_read(text: str) -> None:
    assert parse_prompt(text, 4).subprompts
