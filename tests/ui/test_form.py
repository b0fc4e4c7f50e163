"""Values of the controls become a request, by name."""

from __future__ import annotations

import pytest

from generation.errors import InvalidRequest, UnknownName
from generation.request import Hires
from ui import form, hires


def test_values_reach_the_fields_of_their_name() -> None:
    request = form.to_request(
        {"prompt": "a pear", "steps": 7, "cfg_scale": 4.5, "sampler": "Euler a", "width": 256}
    )
    assert (request.prompt, request.steps, request.cfg_scale, request.width) == ("a pear", 7, 4.5, 256)
    assert request.sampler == "Euler a"
    assert request.img2img is None


def test_an_emptied_number_box_means_the_default() -> None:
    request = form.to_request({"seed": None, "steps": None, "eta": None, "eta_noise_seed_delta": 31337})
    assert (request.seed, request.steps) == (-1, 20)
    assert (request.sampling.eta, request.sampling.eta_noise_seed_delta) == (None, 31337)


def test_init_images_make_it_img2img() -> None:
    request = form.to_request({"denoising_strength": 0.4, "resize_mode": 1}, (b"picture",))
    assert request.img2img is not None
    assert request.img2img.init_images == (b"picture",)
    assert (request.img2img.denoising_strength, request.img2img.resize_mode) == (0.4, 1)


@pytest.mark.parametrize(
    ("values", "error"), [({"width": 500}, InvalidRequest), ({"sampler": "Oiler"}, UnknownName)]
)
def test_bad_values_are_refused_in_words(values: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=str(next(iter(values.values())))):
        form.to_request(values)


def test_the_second_pass_is_made_only_when_it_is_switched_on() -> None:
    values = {"hr_scale": 1.5, "hr_upscaler": "Lanczos", "hr_steps": 7, "hr_denoising_strength": 0.4}
    assert form.to_request({"enable_hr": False, **values}).hires is None
    made = form.to_request({"enable_hr": True, "hr_resize_x": None, **values}).hires
    assert made == Hires(scale=1.5, upscaler="Lanczos", steps=7, denoising_strength=0.4)


def test_a_pasted_second_pass_fills_its_controls() -> None:
    values, missing = hires.spread({"scale": 1.5, "prompt": "a pear"})
    assert values == {"enable_hr": True, "hr_scale": 1.5}
    assert missing == ("Hires prompt: a pear is not on this page.",)
    assert hires.spread(None) == ({"enable_hr": False}, ())
