from __future__ import annotations

import json
from pathlib import Path

import pytest

from generation.prompt import apply_styles
from generation.styles import Style, extract_styles

REFERENCE = json.loads((Path(__file__).parent.parent / "reference/prompt_vectors.json").read_text())
STYLES = [Style(*row) for row in REFERENCE["styles_csv"]["loaded"]]


@pytest.mark.parametrize("case", REFERENCE["styles_extract"], ids=lambda case: case["negative_prompt"])
def test_styles_are_recognised_as_a1111_recognises_them(case: dict) -> None:
    found = extract_styles(STYLES, case["prompt"], case["negative_prompt"])
    assert list(found) == case["output"]


def test_what_is_taken_off_can_be_put_on_again() -> None:
    names, prompt, negative = extract_styles(
        STYLES, "photo of cat, film grain, masterpiece, best quality", "cartoon, drawing"
    )
    assert (names, prompt, negative) == (["Photo", "Quality"], "cat", "")
    by_name = {style.name: style for style in STYLES}
    assert apply_styles(prompt, (by_name[name].prompt for name in names)) == (
        "photo of cat, film grain, masterpiece, best quality"
    )


def test_a_style_with_two_places_is_never_recognised() -> None:
    assert extract_styles([Style("Twice", "{prompt} and {prompt}")], "a and a", "") == ([], "a and a", "")


def test_a_style_without_texts_is_never_recognised() -> None:
    assert extract_styles([Style("Empty")], "a", "") == ([], "a", "")
