from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.prompt import LoraArguments, parse_attention
from generation.prompt_inspect import inspect_prompt


def words(text: str) -> list[list[str]]:
    """A tokenizer for tests: one token per word, 75 to a chunk."""
    tokens = [word for run, _ in parse_attention(text) for word in run.split()]
    return [tokens[start : start + 75] for start in range(0, max(len(tokens), 1), 75)]


def test_everything_is_laid_open() -> None:
    found = inspect_prompt(
        "a (red:1.2) [cat:dog:0.5] AND tree :0.6, <lora:one:0.8> <lora:two:1>",
        "blurry",
        10,
        chunk_tokens=words,
        known_networks={"lora": ["one"]},
        known_embeddings=["tree", "nice", "CAT"],
    )
    (cat, dog) = found.subprompts[0].schedule
    assert (cat.until_step, cat.text, dog.until_step) == (5, "a (red:1.2) cat", 10)
    assert cat.attention == (("a ", 1.0), ("red", 1.2), (" cat", 1.0))
    assert cat.chunks == (("a", "red", "cat"),)
    assert [side.weight for side in found.subprompts] == [1.0, 1.0]  # the comma keeps ":0.6" text
    assert found.negative[0].schedule[0].text == "blurry"
    assert [network.is_known for network in found.networks] == [True, False]
    assert found.networks[0].arguments == LoraArguments("one", 0.8, 0.8)
    assert (found.unknown, found.embeddings) == (("two",), ("tree", "CAT"))
    assert (found.token_count, found.token_limit, found.negative_token_count) == (3, 75, 1)


def test_without_a_tokenizer_there_are_no_chunks_and_nobody_has_looked_for_networks() -> None:
    found = inspect_prompt("a cat <hypernet:x:1>")
    assert found.subprompts[0].schedule[0].chunks == ()
    assert (found.token_count, found.token_limit) == (0, 75)
    assert (found.networks[0].name, found.networks[0].arguments, found.networks[0].is_known) == ("x", None, None)
    assert found.unknown == ()


def test_long_prompts_count_their_full_chunks() -> None:
    found = inspect_prompt("word " * 80, chunk_tokens=words)
    assert (found.token_count, found.token_limit) == (80, 150)


def test_each_text_is_tokenized_once() -> None:
    asked: list[str] = []

    def tokenize(text: str) -> list[list[str]]:
        asked.append(text)
        return words(text)

    inspect_prompt("[a|b]", steps=20, chunk_tokens=tokenize)
    assert asked == ["a", "b", ""]


def test_warnings_of_both_prompts_are_listed() -> None:
    assert len(inspect_prompt("ratio 16:9", "a AND b").warnings) == 2


def test_what_generation_refuses_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        inspect_prompt("(a:1.1.1)")


@given(st.text(alphabet="()[]:|\\ .19abAND<>lor#", max_size=40))
def test_an_inspection_can_be_sent_as_json(text: str) -> None:
    try:
        found = inspect_prompt(text, text, 4, chunk_tokens=words)
    except InvalidRequest:
        return
    assert json.loads(json.dumps(found.as_dict()))["subprompts"][0]["schedule"][-1]["until_step"] == 4
