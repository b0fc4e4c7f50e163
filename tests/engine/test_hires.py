"""The second pass: sizes, noise, prompts, progress, stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.components import Components
from engine.generate import HIRES_NETWORKS, generate
from engine.init_image import to_tensor
from engine.latents import decode, encode
from engine.noise import BatchNoise, picture_seeds
from engine.preview import PreviewSettings
from engine.sampling_pass import Tail, sigmas_of
from engine.upscale import upscale
from generation.hires import second_pass, second_pass_steps, stretched_steps
from generation.job import Warned
from generation.request import Hires, HiresSize
from generation.upscalers import LATENT_MODES
from tests.engine import tiny
from tests.engine.tiny import difference, pictures

TWICE = HiresSize(128, 64, 128, 64)


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


def hires(**values: Any) -> dict[str, Any]:
    return {"scale": 1.5, "denoising_strength": 0.5, **values}


def test_the_picture_has_the_second_size(model: Components):
    [picture] = pictures(model, hires=hires(), width=96)
    assert picture.pixels.shape == (96, 144, 3)
    assert not picture.is_partial


def test_both_passes_count_as_one_walk(model: Components):
    recorder = tiny.Recorder(watched=True)
    everything = PreviewSettings(interval=0, share=1e9)
    request = tiny.request(steps=4, batch_count=2, hires=hires(steps=6))
    list(generate(model, request, recorder.channel, preview=everything))
    assert second_pass_steps(request) == 6
    counted = [(event.batch, event.step, event.steps) for event in recorder.steps]
    assert counted == [(batch, step, 10) for batch in (1, 2) for step in range(1, 11)]
    assert [event.preview.step for event in recorder.previews] == [1, 2, 3, 5, 6, 7, 8, 9] * 2


@pytest.mark.parametrize("sampler", ["DDIM", "UniPC", "DPM++ SDE", "DPM adaptive", "DPM2"])
def test_the_steps_grow_with_every_kind_of_sampler(model: Components, sampler: str):
    recorder = tiny.Recorder()
    pictures(model, recorder, sampler=sampler, steps=4, hires=hires(), batch_size=2)
    steps = [event.step for event in recorder.steps]
    assert steps == sorted(steps)
    assert steps[-1] == recorder.steps[-1].steps
    assert len({event.steps for event in recorder.steps}) == 1


def test_without_noise_the_second_pass_only_enlarges(model: Components):
    [picture] = pictures(model, hires=hires(denoising_strength=0, upscaler="None"))
    [small] = pictures(model)
    with torch.inference_mode():
        large = Image.fromarray(small.pixels).resize((96, 96), Image.Resampling.LANCZOS)
        expected = decode(model, encode(model, to_tensor(large).unsqueeze(0))[0])
    assert np.array_equal(picture.pixels, expected)


def test_picture_k_of_a_batch_is_that_of_its_seed_alone(model: Components):
    batch = pictures(model, sampler="Euler a", seed=10, batch_size=3, hires=hires())
    [alone] = pictures(model, sampler="Euler a", seed=11, hires=hires())
    assert difference(batch[1], alone) <= 1
    assert difference(batch[0], alone) > 10


def test_the_second_noise_is_that_of_the_seed_at_the_new_size(model: Components):
    """A whole second pass by hand, bit for bit: latents enlarged, noise added, one Euler step to 0."""
    request = tiny.request(steps=1, cfg_scale=1, hires={"scale": 2, "denoising_strength": 1})
    assert request.hires is not None
    later = second_pass(request, request.hires)

    class Zero:
        """A U-Net that always predicts no noise, so that the denoised picture is its input."""

        config = model.unet.config

        def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
            return (torch.zeros_like(sample),)

    still = tiny.with_unet(model, Zero())
    [picture] = generate(still, request, tiny.Recorder().channel)
    with torch.inference_mode():
        sigma = sigmas_of(request, model)[0]
        first = BatchNoise(request, picture_seeds(request), (4, 8, 8), model.device).first() * sigma
        noise = BatchNoise(later, picture_seeds(later), (4, 16, 16), model.device).first()
        enlarged = upscale(model, first[0], HiresSize(128, 128, 128, 128), "Latent")
        expected = decode(model, enlarged + noise[0] * sigmas_of(later, model)[0])
    assert np.array_equal(picture.pixels, expected)


def test_seed_resize_knows_the_second_size(model: Components):
    plain = pictures(model, hires=hires())
    resized = pictures(model, hires=hires(), seed_resize_width=64, seed_resize_height=64)
    assert difference(*plain, *resized) > 0
    assert resized[0].pixels.shape == (96, 96, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a dog"},
        {"negative_prompt": "blue"},
        {"cfg_scale": 2.0},
        {"sampler": "Heun"},
        {"schedule": "Karras"},
        {"upscaler": "Nearest"},
        {"denoising_strength": 0.75},
    ],
)
def test_the_second_pass_has_its_own_settings(model: Components, changes: dict[str, Any]):
    plain, other = pictures(model, hires=hires()), pictures(model, hires=hires(**changes))
    assert difference(*plain, *other) > 0


def test_prompts_are_scheduled_over_the_second_pass(model: Components):
    """A switch at 1.0 comes after the first pass; one at 0.5 is over before the second."""
    [late] = pictures(model, prompt="a [red:blue:1.0] apple", hires=hires(prompt="a [red:blue:1.0] apple"))
    [split] = pictures(model, prompt="a red apple", hires=hires(prompt="a blue apple"))
    assert difference(late, split) == 0


def test_loras_of_the_hires_prompt_alone_are_not_passed_over_in_silence(model: Components):
    recorder = tiny.Recorder()
    pictures(model, recorder, prompt="a <lora:x:1>", hires=hires(prompt="b <lora:x:1>"))
    assert not any(isinstance(event, Warned) for event in recorder.events)
    pictures(model, recorder, hires=hires(prompt="b <lora:x:1>"))
    assert [event.message for event in recorder.events if isinstance(event, Warned)] == [HIRES_NETWORKS]


@pytest.mark.parametrize(("step", "size"), [(2, 64), (4, 64), (5, 96)])
def test_a_stop_keeps_what_is_there(model: Components, step: int, size: int):
    recorder = tiny.Recorder()
    recorder.stop_at = step
    [picture] = pictures(model, recorder, steps=4, hires=hires())
    assert recorder.steps[-1].step == step
    assert picture.pixels.shape == (size, size, 3)
    assert picture.is_partial


def test_a_stop_between_the_passes_keeps_the_whole_first_picture(model: Components):
    recorder = tiny.Recorder()
    recorder.stop_at = 4
    [picture] = pictures(model, recorder, steps=4, hires=hires())
    [small] = pictures(model, steps=4)
    assert difference(picture, small) == 0


@pytest.mark.parametrize("step", [2, 4, 5])
def test_a_discarding_stop_keeps_nothing(model: Components, step: int):
    recorder = tiny.Recorder()
    recorder.stop_at, recorder.keep = step, False
    assert pictures(model, recorder, steps=4, hires=hires()) == []


def test_a_skip_in_the_second_pass_goes_on_with_the_next_batch(model: Components):
    recorder = tiny.Recorder()
    recorder.skip_at = 5
    result = pictures(model, recorder, steps=4, batch_count=2, hires=hires())
    assert [picture.is_partial for picture in result] == [True, False]


def test_a_stop_among_pictures_made_one_by_one_loses_none(model: Components):
    recorder = tiny.Recorder()
    recorder.stop_at = 5
    result = pictures(model, recorder, steps=4, sampler="Euler", batch_size=2, hires=hires(sampler="DPM adaptive"))
    assert [picture.pixels.shape[0] for picture in result] == [96, 64]
    assert all(picture.is_partial for picture in result)


def test_an_inpainting_model_makes_a_second_pass_too():
    [picture] = pictures(tiny.components(9), hires=hires())
    assert picture.pixels.shape == (96, 96, 3)


@pytest.mark.parametrize("mode", LATENT_MODES, ids=lambda mode: mode.name)
def test_latents_are_enlarged_as_the_name_says(model: Components, mode: Any):
    latents = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    enlarged = upscale(model, latents, TWICE, mode.name)
    expected = torch.nn.functional.interpolate(
        latents[None], size=(8, 16), mode=mode.mode, antialias=mode.antialias
    )
    assert torch.equal(enlarged, expected[0])


def test_the_overhang_is_cut_off_evenly(model: Components):
    latents = torch.arange(4 * 8 * 8, dtype=torch.float32).reshape(4, 8, 8)
    cut = upscale(model, latents, HiresSize(40, 64, 64, 64), "Latent (nearest)")
    assert torch.equal(cut, latents[:, :, 1:6])


def test_hires_sizes_as_a1111_computes_them():
    assert Hires(scale=1.3).size_from(512, 768) == (664, 992, 664, 992)
    assert Hires(width=1024).size_from(512, 768) == (1024, 1536, 1024, 1536)
    assert Hires(height=1024).size_from(512, 768) == (680, 1024, 680, 1024)
    assert Hires(width=1024, height=1024).size_from(512, 768) == (1024, 1024, 1024, 1536)
    assert Hires(width=1024, height=1024).size_from(768, 512) == (1024, 1024, 1536, 1024)


@pytest.mark.parametrize(
    ("steps", "strength", "stretched"),
    [(20, 0.5, 40), (20, 0.7, 28), (20, 1.0, 20), (20, 0.01, 1000), (1, 0.3, 3)],
)
def test_all_steps_are_made_at_the_end_of_a_longer_schedule(steps: int, strength: float, stretched: int):
    assert stretched_steps(steps, strength) == stretched


def test_the_second_pass_starts_where_the_longer_schedule_is(model: Components):
    request = tiny.request(steps=5, sampler="Euler", schedule="Karras")
    whole = sigmas_of(request.model_copy(update={"steps": 10}), model)
    assert sigmas_of(request, model, Tail(4, 10)) == whole[5:]
    assert len(whole[5:]) == 6, "five steps from the middle of ten, then 0"
