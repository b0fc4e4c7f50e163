"""Values of the controls become a request, by name."""

from __future__ import annotations

import pytest

from generation.errors import InvalidRequest, UnknownName
from ui import form


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
