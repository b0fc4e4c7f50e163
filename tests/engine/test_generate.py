from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine.components import Components
from engine.generate import Picture, generate
from engine.preview import PreviewSettings
from generation import sampler_info
from generation.errors import InvalidRequest, UserError
from generation.job import Warned
from tests.engine import tiny
from tests.engine.tiny import difference, pictures


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


@pytest.mark.parametrize("info", sampler_info.SAMPLERS, ids=lambda info: info.name)
def test_every_sampler_makes_a_picture_and_reports_its_steps(model: Components, info: sampler_info.SamplerInfo):
    recorder = tiny.Recorder()
    [picture] = pictures(model, recorder, sampler=info.name, steps=5, width=96)
    assert picture.pixels.shape == (64, 96, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.std() > 1
    assert not picture.is_partial
    reported = [event.step for event in recorder.steps]
    assert reported[-1] == recorder.steps[-1].steps
    if info.is_adaptive:
        assert reported == sorted(reported)
    else:
        assert reported == list(range(1, len(reported) + 1))
    assert recorder.phases == ["encoding", "sampling", "decoding"]


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M SDE"])
def test_picture_k_of_a_batch_is_that_of_seed_plus_k_alone(model: Components, sampler: str):
    batch = pictures(model, sampler=sampler, seed=10, batch_size=3, prompt="a cat AND a dog :0.5")
    assert [picture.seed for picture in batch] == [10, 11, 12]
    [alone] = pictures(model, sampler=sampler, seed=11, prompt="a cat AND a dog :0.5")
    assert difference(batch[1], alone) <= 1
    assert difference(batch[0], alone) > 10


def test_the_same_request_gives_the_same_pixels(model: Components):
    assert difference(*pictures(model), *pictures(model)) == 0


def test_batches_count_on_and_say_so(model: Components):
    recorder = tiny.Recorder()
    result = pictures(model, recorder, seed=5, batch_size=2, batch_count=2, steps=2)
    assert [picture.seed for picture in result] == [5, 6, 7, 8]
    assert [(event.batch, event.batches) for event in recorder.steps] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    [third] = pictures(model, seed=7, steps=2)
    assert difference(result[2], third) <= 1


def test_variations_report_both_seeds(model: Components):
    result = pictures(model, seed=5, variation_seed=100, variation_strength=0.5, batch_size=2)
    assert [(picture.seed, picture.variation_seed) for picture in result] == [(5, 100), (5, 101)]


def test_prompt_negative_prompt_and_clip_skip_matter(model: Components):
    [plain] = pictures(model)
    for changes in (
        {"prompt": "a dog"},
        {"negative_prompt": "blue"},
        {"clip_skip": 2},
        {"prompt": "a (red:1.6) apple"},
    ):
        [other] = pictures(model, **changes)
        assert difference(plain, other) > 0, changes


def test_warnings_of_the_prompt_reach_the_person(model: Components):
    recorder = tiny.Recorder()
    pictures(model, recorder, prompt="a cat 16:9")
    assert any(isinstance(event, Warned) and "16:9" in event.message for event in recorder.events)


def test_previews_are_sent_while_somebody_watches(model: Components):
    recorder = tiny.Recorder(watched=True)
    everything = PreviewSettings(interval=0, share=1e9)
    list(generate(model, tiny.request(steps=5, batch_size=2), recorder.channel, preview=everything))
    assert [event.preview.step for event in recorder.previews] == [1, 2, 3, 4]
    assert len({event.preview.jpeg for event in recorder.previews}) == 4


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_ends_within_one_step(model: Components, keep: bool):
    recorder = tiny.Recorder()
    recorder.stop_at, recorder.keep = 3, keep
    result = pictures(model, recorder, steps=20, batch_size=2, batch_count=3)
    assert recorder.steps[-1].step == 3
    assert [picture.is_partial for picture in result] == ([True, True] if keep else [])


def test_a_stopped_picture_is_the_predicted_one_not_noise(model: Components):
    class Settled:
        """A U-Net that always predicts the same x0, so that any stop shows it."""

        config = model.unet.config

        def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
            sigma = (1 / tiny.alphas_cumprod()[int(timestep[0])] - 1) ** 0.5
            return ((sample * (1 + sigma**2) ** 0.5 - 0.5) / sigma,)

    settled = tiny.with_unet(model, Settled())
    recorder = tiny.Recorder()
    recorder.stop_at = 2
    [partial] = pictures(settled, recorder, steps=20, cfg_scale=1)
    [whole] = pictures(settled, steps=20, cfg_scale=1)
    assert partial.is_partial
    assert difference(partial, whole) <= 3


def test_a_stop_before_the_first_step_gives_nothing(model: Components):
    recorder = tiny.Recorder()
    recorder.stop.now(keep=True)
    assert pictures(model, recorder) == []
    assert recorder.steps == []


def test_discarding_while_decoding_gives_no_more_pictures(model: Components):
    recorder = tiny.Recorder()
    made: Iterator[Picture] = generate(model, tiny.request(batch_size=3), recorder.channel)
    next(made)
    recorder.stop.now(keep=False)
    assert list(made) == []


def test_a_skip_ends_one_batch_and_the_next_goes_on(model: Components):
    recorder = tiny.Recorder()
    recorder.skip_at = 2
    result = pictures(model, recorder, steps=6, batch_count=2)
    assert [picture.is_partial for picture in result] == [True, False]
    assert [(event.batch, event.step) for event in recorder.steps] == [
        (1, 1),
        (1, 2),
        *((2, k) for k in range(1, 7)),
    ]


def test_numbers_that_overflow_are_an_error_with_a_hint(model: Components):
    class Broken:
        config = model.unet.config

        def __call__(self, sample: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
            return (sample[:, :4] * float("nan"),)

    with pytest.raises(UserError, match="not numbers") as caught:
        pictures(tiny.with_unet(model, Broken()))
    assert "float32" in caught.value.hint


def test_sizes_the_model_cannot_have_are_refused(model: Components):
    coarse = replace(model, latent_format=replace(model.latent_format, downscale=16))
    with pytest.raises(InvalidRequest, match="width 72"):
        pictures(coarse, width=72)


def test_an_undrawn_seed_is_a_bug_of_the_caller(model: Components):
    with pytest.raises(ValueError, match="seed"):
        pictures(model, seed=-1)


def test_inference_mode_does_not_leak_to_the_consumer(model: Components):
    for _ in generate(model, tiny.request(), tiny.Recorder().channel):
        assert not torch.is_inference_mode_enabled()


def test_the_largest_seeds_work(model: Components):
    [picture] = pictures(model, seed=2**63 - 1, sampling={"eta_noise_seed_delta": 2**63 - 1}, sampler="Euler a")
    assert picture.seed == 2**63 - 1


@pytest.mark.parametrize("keep", [True, False])
def test_an_adaptive_sampler_stops_with_the_pictures_it_has(model: Components, keep: bool):
    recorder = tiny.Recorder()
    recorder.stop_at, recorder.keep = 2, keep
    result = pictures(model, recorder, sampler="DPM adaptive", batch_size=3, steps=20)
    assert [picture.is_partial for picture in result] == ([True] if keep else [])


def test_progress_of_pictures_made_one_by_one_never_goes_back(model: Components):
    recorder = tiny.Recorder()
    pictures(model, recorder, sampler="DPM adaptive", batch_size=3, steps=20)
    steps = [event.step for event in recorder.steps]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (1, 20)


def test_an_adaptive_sampler_gives_each_picture_its_own_steps(model: Components):
    batch = pictures(model, sampler="DPM adaptive", batch_size=2, seed=4)
    [alone] = pictures(model, sampler="DPM adaptive", seed=5)
    assert difference(batch[1], alone) <= 1


def test_cfg_plus_plus_follows_its_scale(model: Components):
    weak, strong = (pictures(model, sampler="DDIM CFG++", cfg_scale=scale, steps=8) for scale in (1, 12.5))
    assert difference(*weak, *strong) > 3
