from __future__ import annotations

import pytest
import torch

from engine.components import Components
from engine.conditioning import Conditioner, Emphasis
from generation.errors import InvalidRequest
from tests.engine import tiny


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


def lengths(conditioner: Conditioner, text: str) -> list[int]:
    return [len(chunk.tokens) for chunk in conditioner.chunks(text)]


def test_a_plain_text_is_encoded_as_the_text_encoder_does_it(model: Components):
    ids = model.tokenizer(["a red apple"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = model.text_encoder(ids).last_hidden_state[0]
    torch.testing.assert_close(Conditioner(model).encode("a red apple"), expected, rtol=1e-5, atol=1e-5)


def test_clip_skip_takes_an_earlier_layer_through_the_final_norm(model: Components):
    ids = model.tokenizer(["a cat"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        hidden = model.text_encoder(ids, output_hidden_states=True).hidden_states
        expected = getattr(model.text_encoder, "text_model", model.text_encoder).final_layer_norm(hidden[-2])[0]
    torch.testing.assert_close(Conditioner(model).encode("a cat", 2), expected, rtol=1e-5, atol=1e-5)


def test_clip_skip_past_the_first_layer_is_refused(model: Components):
    with pytest.raises(InvalidRequest, match="Clip skip 3 is more than the 2 layers"):
        Conditioner(model).encode("a cat", 3)


def test_an_empty_text_is_one_chunk(model: Components):
    conditioner = Conditioner(model)
    assert lengths(conditioner, "") == [0]
    assert conditioner.encode("").shape == (77, tiny.FEATURES)


@pytest.mark.parametrize(("words", "chunks"), [(75, [75]), (76, [75, 1]), (230, [75, 75, 75, 5])])
def test_long_texts_take_more_chunks(model: Components, words: int, chunks: list[int]):
    conditioner = Conditioner(model)
    text = " ".join(["cat"] * words)
    assert lengths(conditioner, text) == chunks
    assert conditioner.encode(text).shape == (77 * len(chunks), tiny.FEATURES)


@pytest.mark.parametrize(
    ("before", "after", "chunks"),
    [
        (60, 20, [61, 20]),  # the comma is within reach of the end: the phrase moves as a whole
        (54, 30, [75, 10]),  # 21 tokens from the end: too far back, the phrase is torn
        (55, 30, [56, 30]),  # 20 tokens: just near enough
        (74, 5, [75, 5]),  # the comma is the last token of the chunk: nothing to move
    ],
)
def test_a_phrase_after_a_near_comma_moves_to_the_next_chunk(
    model: Components, before: int, after: int, chunks: list[int]
):
    text = " ".join(["cat"] * before) + ", " + " ".join(["dog"] * after)
    assert lengths(Conditioner(model), text) == chunks


def test_a_tokenizer_without_a_comma_never_moves_phrases():
    conditioner = Conditioner(tiny.components(with_comma=False))
    assert lengths(conditioner, " ".join(["cat"] * 80)) == [75, 5]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("cat BREAK dog", [1, 1]),
        ("cat BREAK", [1]),
        ("BREAK cat", [0, 1]),
        ("a BREAK BREAK b", [1, 0, 1]),
        ("BREAK", [0]),
    ],
)
def test_break_starts_a_chunk(model: Components, text: str, chunks: list[int]):
    assert lengths(Conditioner(model), text) == chunks


def test_weights_follow_their_tokens_into_the_next_chunk(model: Components):
    text = " ".join(["cat"] * 60) + ", (" + " ".join(["dog"] * 20) + ":1.5)"
    chunks = Conditioner(model).chunks(text)
    assert chunks[0].weights == [1.0] * 61
    assert chunks[1].weights == [1.5] * 20


def test_emphasis_multiplies_and_restores_the_mean(model: Components):
    plain = Conditioner(model).encode("a red apple")
    weighted = Conditioner(model, Emphasis.NO_NORM).encode("a (red:1.5) apple")
    original = Conditioner(model).encode("a (red:1.5) apple")
    factors = torch.ones(77, 1)
    factors[2] = 1.5  # start token, "a", "red"
    torch.testing.assert_close(weighted, plain * factors)
    torch.testing.assert_close(original.mean(), plain.mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(original, weighted * (plain.mean() / weighted.mean()))
    torch.testing.assert_close(Conditioner(model, Emphasis.IGNORE).encode("a (red:1.5) apple"), plain)


def test_texts_are_encoded_once(model: Components):
    conditioner = Conditioner(model, cache_size=2)
    first = conditioner.encode("a cat")
    assert conditioner.encode("a cat") is first
    assert conditioner.encode("a cat", 2) is not first
    conditioner.encode("a dog")
    assert conditioner.encode("a cat") is not first  # pushed out
