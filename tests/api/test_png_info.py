"""POST /sdapi/v1/png-info."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.api.pictures import base64_of, picture
from tests.fakes import png_of

TEXT = "a pear\nNegative prompt: blurry\nSteps: 12, Sampler: Euler a, CFG scale: 4.5, Seed: 99, Size: 256x320"


def test_infotext_of_a_png(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/png-info", json={"image": base64_of(png_of((1, 2, 3), infotext=TEXT))}).json()
    assert answer["info"] == TEXT
    assert answer["parameters"]["Prompt"] == "a pear"
    assert answer["parameters"]["Seed"] == "99"
    assert "items" in answer


def test_a_generated_picture_tells_how_it_was_made(client: TestClient) -> None:
    made = client.post("/sdapi/v1/txt2img", json={"prompt": "a plum", "steps": 2, "seed": 4}).json()
    answer = client.post("/sdapi/v1/png-info", json={"image": made["images"][0]}).json()
    assert answer["parameters"]["Prompt"] == "a plum"
    assert answer["parameters"]["Seed"] == "4"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_without_infotext(client: TestClient, form: str) -> None:
    answer = client.post("/sdapi/v1/png-info", json={"image": base64_of(picture(form=form))})
    assert answer.status_code == 200
    assert answer.json()["info"] == ""


@pytest.mark.parametrize("image", [None, "", "!!", "aGVsbG8=", "http://localhost/x", "data:image/png;base64,AAAA"])
def test_what_is_no_picture(client: TestClient, image: object) -> None:
    answer = client.post("/sdapi/v1/png-info", json={"image": image})
    assert answer.status_code == 422
    assert answer.json()["field"] == "image"
