from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import InvalidRequest
from generation.request import GenerationRequest, make_request
from generation.request_json import request_from_json, request_to_json
from tests.generation.requests import requests


@given(requests())
def test_the_json_form_carries_every_text_request(request: GenerationRequest) -> None:
    assert request_from_json(request_to_json(request)).request() == request


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_it_carries_prompts_that_infotext_cannot(prompt: str) -> None:
    request = make_request(prompt=prompt, batch_size=3, extras={"note": [1, {"a": None}]}, save=False)
    assert request_from_json(request_to_json(request)).request() == request


def test_pictures_are_replaced_by_their_digests() -> None:
    inpaint = {"mask": b"mask", "padding": 5}
    request = make_request(
        img2img={"init_images": (b"one", b"two"), "denoising_strength": 0.5, "inpaint": inpaint}
    )
    text = request_to_json(request, "painter", "abc")
    images = json.loads(text)["request"]["img2img"]["init_images"]
    assert images == [
        "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
    ]
    pasted = request_from_json(text)
    assert pasted.img2img["denoising_strength"] == 0.5
    assert pasted.img2img["inpaint"]["padding"] == 5
    assert "mask" not in pasted.img2img["inpaint"]
    assert (pasted.model_name, pasted.fields["model"], pasted.source) == ("painter", "abc", "Easel")
    assert len(pasted.not_carried_over) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"request": 3}', "[" * 100_000, "{" * 10, "x" * 5_000_000])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        request_from_json(text)


def test_fields_that_are_unknown_or_wrong_are_said() -> None:
    fields = {
        "prompt": "a",
        "steps": 0,
        "label": 1,
        "self": 2,
        "new field": 3,
        "img2img": {"denoising_strength": 9},
    }
    pasted = request_from_json(json.dumps({"request": fields}))
    assert pasted.fields == {"prompt": "a"}
    assert len(pasted.not_carried_over) == 6
