from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.infotext_parse import ReadingOptions, StyleReading, find_pairs, parse_infotext
from generation.styles import Style

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/infotext_vectors.json").read_text())
STYLES = (
    Style("Photo", "photo of {prompt}, film grain", "cartoon, drawing"),
    Style("Quality", "masterpiece, best quality"),
)
PAIRS_LINE = "\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 9"
# The rule as A1111 states it: quadratic in time on hostile lines, so only a yardstick here.
PAIR = re.compile(REFERENCE["_meta"]["regex_param"])

line_pieces = [
    "a",
    "bc",
    ":",
    ", ",
    '"',
    "\\",
    '"x, y"',
    " ",
    "-",
    "/",
    "\t",
    "Steps: 20",
    "Size: 1x2",
    '""',
    ': "',
]


def options_of(case: dict) -> ReadingOptions:
    given_options = case["options"]
    return ReadingOptions(
        styles=STYLES if given_options.get("_styles") else (),
        style_reading=StyleReading(given_options.get("infotext_styles", "Apply if any")),
    )


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_infotext_is_read_as_a1111_reads_it(case: dict) -> None:
    expected = {key: value for key, value in case["output"].items() if key != "__stdout__"}
    found = parse_infotext(case["input"], options_of(case))
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {key: type(v) for key, v in expected.items()}


@given(st.lists(st.sampled_from(line_pieces), max_size=20).map("".join))
def test_pairs_are_found_as_a1111s_pattern_finds_them(line: str) -> None:
    assert list(find_pairs(line)) == PAIR.findall(line)


@pytest.mark.parametrize("unit", ["word ", "a: ", "aa: ", '"', 'aa: "x, ', "::", "a/", 'aa:"\\'])
def test_the_work_of_reading_a_line_grows_in_proportion(
    unit: str, lines_of: Callable[[Callable[[], object]], int]
) -> None:
    small = lines_of(lambda: list(find_pairs(unit * 1000)))
    large = lines_of(lambda: list(find_pairs(unit * 2000)))
    assert large < 2.5 * small + 100
    assert parse_infotext(unit * 20_000)


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    assert "Prompt" in parse_infotext(text)


@pytest.mark.parametrize(
    ("version", "prompt", "sampler", "added"),
    [
        ("v1.5.2", "[a:b:5]", "DDIM", {"Old prompt editing timelines", "Pad conds v0", "Downcast alphas_cumprod"}),
        ("v1.5.2", "a", "Euler", {"Downcast alphas_cumprod"}),
        ("v1.7.0-224-gabc", "[a]", "PLMS", {"Downcast alphas_cumprod"}),
        ("v1.7.0-225-gabc", "[a]", "PLMS", set()),
        ("v1.10.1", "[a]", "DDIM", set()),
        ("f2.0.1v1.10.1-previous-665-gae278f79", "[a]", "DDIM", set()),
        ("easel-v0.1.0", "[a]", "DDIM", set()),
    ],
)
def test_old_versions_switch_old_behaviour_on(version: str, prompt: str, sampler: str, added: set[str]) -> None:
    text = f"{prompt}\nSteps: 20, Sampler: {sampler}, Seed: 1, Version: {version}"
    flags = {"Old prompt editing timelines", "Pad conds v0", "Downcast alphas_cumprod"}
    assert flags & parse_infotext(text).keys() == added
    assert not flags & parse_infotext(text, ReadingOptions(back_compatible=False)).keys()


def test_a_refiner_before_1_8_switches_by_steps() -> None:
    line = "a\nSteps: 20, Seed: 1, Refiner: x, Version: {}"
    assert parse_infotext(line.format("v1.7.0"))["Refiner switch by sampling steps"] is True
    assert parse_infotext(line.format("v1.8.0"))["Refiner switch by sampling steps"] is False


def test_different_styles_in_the_hires_prompt_keep_everything() -> None:
    text = f"photo of cat, film grain\nNegative prompt: cartoon, drawing{PAIRS_LINE}, Hires prompt: other"
    found = parse_infotext(text, ReadingOptions(STYLES))
    assert found["Prompt"] == "photo of cat, film grain"
    assert "Styles array" not in found


def test_before_1_8_hires_prompts_do_not_count_for_styles() -> None:
    photo = "photo of cat, film grain\nNegative prompt: cartoon, drawing"
    text = f"{photo}{PAIRS_LINE}, Hires prompt: x, Version: v1.7.0"
    assert parse_infotext(text, ReadingOptions(STYLES))["Styles array"] == ["Photo"]


def test_styles_apply_even_if_there_are_none() -> None:
    assert parse_infotext(f"a{PAIRS_LINE}", ReadingOptions(style_reading=StyleReading.APPLY))["Styles array"] == []


def test_skipped_keys_are_left_out() -> None:
    assert "Seed" not in parse_infotext(f"a{PAIRS_LINE}", ReadingOptions(skip=("Seed",)))


def test_hires_size_may_stand_for_size() -> None:
    text = f"a{PAIRS_LINE}, Size: 512x512, Hires resize: 1024x768"
    found = parse_infotext(text, ReadingOptions(hires_size_is_size=True))
    assert (found["Size-1"], found["Size-2"]) == (1024, 768)
    assert parse_infotext(text)["Size-1"] == "512"


@pytest.mark.parametrize(
    "sizes", ["Size: 0x0, First pass size: 0x0", f"First pass size: {'9' * 5000}x1", "Hires resize: 1"]
)
def test_sizes_that_make_no_sense_do_no_harm(sizes: str) -> None:
    assert parse_infotext(f"a{PAIRS_LINE}, {sizes}")["Prompt"] == "a"


def test_a_broken_weight_counts_as_emphasis() -> None:
    assert parse_infotext(f"(a:1.1.1){PAIRS_LINE}")["Emphasis"] == "Original"
    assert "Emphasis" not in parse_infotext(f"a BREAK b{PAIRS_LINE}")


def test_fp8_weights_bring_their_cache_setting() -> None:
    found = parse_infotext(f"a{PAIRS_LINE}, FP8 weight: Enable")
    assert found["Cache FP16 weight for LoRA"] is False
