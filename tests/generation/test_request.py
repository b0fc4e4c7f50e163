from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from generation.errors import InvalidRequest, UnknownName
from generation.request import GenerationRequest, Img2Img, limits_of, make_request

LIMITED = [
    "seed", "variation_seed", "variation_strength", "seed_resize_width", "seed_resize_height", "steps",
    "cfg_scale", "width", "height", "batch_size", "batch_count", "clip_skip", "img2img.denoising_strength",
    "img2img.initial_noise_multiplier",
]  # fmt: skip


def test_the_defaults_are_a_valid_request() -> None:
    request = make_request()
    assert (request.width, request.height, request.steps, request.image_count) == (512, 512, 20, 1)


def test_requests_are_frozen() -> None:
    with pytest.raises(ValidationError):
        make_request().steps = 3  # type: ignore[misc]


@pytest.mark.parametrize("field", LIMITED)
def test_limits_are_the_ones_that_are_enforced(field: str) -> None:
    limits = limits_of(field)
    name = field.removeprefix("img2img.")
    pair = {"seed_resize_width": "seed_resize_height", "seed_resize_height": "seed_resize_width"}.get(name)

    def build(value: float) -> object:
        if field.startswith("img2img."):
            return make_request(img2img={"init_images": (b"x",), name: value})
        return make_request(**{name: value, **({pair: value} if pair else {})})

    assert build(limits.minimum)
    assert build(limits.maximum)
    assert limits.step > 0
    for beyond in (limits.minimum - limits.step, limits.maximum + limits.step):
        with pytest.raises(InvalidRequest, match=f"{name}|{pair}"):
            build(beyond)


@pytest.mark.parametrize(
    ("values", "field", "shown"),
    [
        ({"steps": 0}, "steps", "0"),
        ({"width": 511}, "width", "511"),
        ({"cfg_scale": "hot"}, "cfg_scale", "'hot'"),
        ({"cfg_scale": float("nan")}, "cfg_scale", "nan"),
        ({"prompt": "a\ud800"}, "prompt", "ud800"),
        ({"vae": "a\ud800"}, "vae", "ud800"),
        ({"prompt": "x" * 100_001}, "prompt", "…"),
        ({"sampling": {"eta": 9}}, "sampling.eta", "9"),
        ({"img2img": {"init_images": ()}}, "img2img.init_images", "()"),
        ({"colour": 1}, "colour", "1"),
        ({"seed_resize_width": 64}, "request", "together"),
    ],
)
def test_a_bad_value_is_named_with_its_field(values: dict, field: str, shown: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make_request(**values)
    assert caught.value.field == field
    assert field in caught.value.message
    assert shown in caught.value.message


def test_unknown_samplers_and_schedules_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'Euler'"):
        make_request(sampler="Oiler")
    with pytest.raises(UnknownName, match="'Karras'"):
        make_request(schedule="Carras")


def test_names_become_canonical() -> None:
    request = make_request(sampler="k_euler_a", schedule="sgm_uniform")
    assert (request.sampler, request.schedule) == ("Euler a", "SGM Uniform")


def test_changes_are_validated() -> None:
    request = make_request(prompt="a", batch_size=2, img2img={"init_images": (b"x",)})
    changed = request.with_changes(batch_count=3)
    assert (changed.image_count, changed.prompt, changed.img2img) == (6, "a", request.img2img)
    assert request.batch_count == 1
    with pytest.raises(InvalidRequest, match="steps"):
        request.with_changes(steps=-1)


def test_pictures_are_not_shown_in_representations() -> None:
    assert "secret" not in repr(Img2Img(init_images=(b"secret",), inpaint={"mask": b"secret"}))


@given(st.binary(min_size=1), st.binary())
def test_requests_with_pictures_survive_json(picture: bytes, mask: bytes) -> None:
    request = make_request(img2img={"init_images": (picture, picture), "inpaint": {"mask": mask}})
    assert GenerationRequest.model_validate_json(request.model_dump_json()) == request
