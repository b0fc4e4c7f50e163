from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.components import Components
from engine.conditioning import Conditioner, EncodedPrompt
from engine.denoiser import Denoiser, Guidance, stack_embeddings
from generation.prompt import parse_prompt
from tests.engine import tiny


class CountingUnet:
    """Passes calls on and remembers their sizes and contexts."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.config = network.config
        self.calls: list[tuple[int, ...]] = []
        self.contexts: list[Tensor] = []

    def __call__(self, sample: Tensor, timestep: Tensor, **options: Any) -> Any:
        self.calls.append(tuple(sample.shape))
        self.contexts.append(options["encoder_hidden_states"])
        return self.network(sample, timestep, **options)


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


def encoded(model: Components, text: str, steps: int = 4, *, is_negative: bool = False) -> EncodedPrompt:
    return Conditioner(model).encode_prompt(parse_prompt(text, steps, is_negative=is_negative))


def noisy(batch: int = 2, sigma: float = 3.0) -> Tensor:
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(4)) * sigma


def denoise(
    model: Components, prompt: str, scale: float, x: Tensor, sigma: float = 3.0, negative: str = ""
) -> Tensor:
    with torch.inference_mode():
        return Denoiser(model, encoded(model, prompt), encoded(model, negative), Guidance(scale))(x, sigma)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_prediction_is_turned_into_x0(kind: str):
    model = tiny.components(prediction_type=kind)
    sigma, x = 3.0, noisy()
    with torch.inference_mode():
        context = Conditioner(model).encode("a red apple").expand(2, -1, -1)
        timestep = torch.tensor(
            [Denoiser(model, *2 * (encoded(model, ""),), Guidance())._sigmas.timestep(sigma)] * 2
        )
        alpha = 1 / (1 + sigma**2) ** 0.5
        output = model.unet(x * alpha, timestep, context).sample
        z, noise_share = x * alpha, sigma * alpha
        expected = (z - noise_share * output) / alpha if kind == "epsilon" else alpha * z - noise_share * output
    torch.testing.assert_close(denoise(model, "a red apple", 1.0, x), expected, rtol=1e-4, atol=1e-4)


def test_whole_batch_with_and_without_prompt_goes_through_in_one_call(model: Components):
    unet = CountingUnet(model.unet)
    counted = tiny.with_unet(model, unet)
    denoise(counted, "a cat AND a dog :0.5", 7, noisy(3))
    assert unet.calls == [(9, 4, 8, 8)]
    unet.calls.clear()
    denoise(counted, "a cat", 1.0, noisy(3))
    assert unet.calls == [(3, 4, 8, 8)]


def test_pictures_of_a_batch_do_not_touch_each_other(model: Components):
    x = noisy(3)
    together = denoise(model, "a cat AND a dog", 7, x)
    alone = denoise(model, "a cat AND a dog", 7, x[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


def test_and_is_the_weighted_sum_of_its_sides(model: Components):
    x = noisy()
    cat, dog, nothing = (denoise(model, text, 1.0, x) for text in ("a cat", "a dog", ""))
    expected = nothing + 7 * (cat - nothing) + 7 * 0.5 * (dog - nothing)
    torch.testing.assert_close(denoise(model, "a cat AND a dog :0.5", 7, x), expected, rtol=1e-3, atol=1e-3)


def test_prompts_of_unequal_length_give_what_separate_calls_give(model: Components):
    x, long = noisy(), "a red apple, " * 40  # three chunks against one
    alone, nothing = denoise(model, long, 1.0, x), denoise(model, "", 1.0, x)
    together = denoise(model, long, 5, x)
    torch.testing.assert_close(together, nothing + 5 * (alone - nothing), rtol=1e-3, atol=1e-3)


def test_contexts_are_repeated_to_the_least_common_length():
    stacked = stack_embeddings([torch.ones(154, 2), torch.ones(231, 2)])
    assert stacked is not None
    assert stacked.shape == (2, 462, 2)
    assert stack_embeddings([torch.ones(77 * chunks, 2) for chunks in (7, 11, 13)]) is None


def test_prompts_of_wildly_unequal_length_get_calls_of_their_own(model: Components):
    unet = CountingUnet(model.unet)
    texts = ["cat " * 75 * chunks for chunks in (4, 5, 7)]
    together = denoise(tiny.with_unet(model, unet), " AND ".join(texts), 1.0, noisy())
    assert [len(call) and call[0] for call in unet.calls] == [2, 2, 2, 2]
    alone = [denoise(model, text, 1.0, noisy()) for text in texts]
    nothing = denoise(model, "", 1.0, noisy())
    torch.testing.assert_close(together, sum(alone) - 2 * nothing, rtol=1e-3, atol=1e-3)


def test_rescale_copes_with_sides_that_cancel(model: Components):
    with torch.inference_mode():
        prompt, nothing = encoded(model, "a cat AND a dog :-1"), encoded(model, "")
        assert Denoiser(model, prompt, nothing, Guidance(7.0, rescale=0.5))(noisy(), 3.0).isfinite().all()


def test_prompt_changes_at_the_scheduled_call(model: Components):
    unet = CountingUnet(model.unet)
    counted = tiny.with_unet(model, unet)
    prompt = encoded(counted, "[cat:dog:2]", 6)
    denoiser = Denoiser(counted, prompt, encoded(counted, ""), Guidance(1.0))
    with torch.inference_mode():
        for _ in range(6):
            denoiser(noisy(1), 3.0)
    cat, dog = (Conditioner(model).encode(text) for text in ("cat", "dog"))
    used = ["cat" if torch.equal(context[0], cat) else "dog" for context in unet.contexts]
    assert torch.equal(unet.contexts[-1][0], dog)
    assert used == ["cat"] * 3 + ["dog"] * 3  # as A1111: a change at 2 comes after three calls


def test_rescale_lowers_the_contrast_of_strong_guidance(model: Components):
    x = noisy()
    with torch.inference_mode():
        prompt, nothing = encoded(model, "a cat"), encoded(model, "")
        plain = Denoiser(model, prompt, nothing, Guidance(30.0))(x, 3.0)
        rescaled = Denoiser(model, prompt, nothing, Guidance(30.0, rescale=1.0))(x, 3.0)
    assert not torch.allclose(plain, rescaled)


def test_latents_stay_float32_around_a_half_precision_model(model: Components):
    from dataclasses import replace

    half = replace(
        tiny.components(),
        unet=tiny.unet().to(torch.bfloat16),
        dtype=torch.bfloat16,
        text_encoder=model.text_encoder,
    )
    exact, rounded = denoise(model, "a cat", 5, noisy()), denoise(half, "a cat", 5, noisy())
    assert rounded.dtype is torch.float32
    assert float((exact - rounded).abs().max() / exact.abs().max()) < 0.1
