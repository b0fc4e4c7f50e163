"""POST /sdapi/v1/extra-single-image and extra-batch-images."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.pictures import base64_of, opened, picture
from tests.fakes import png_of

SINGLE = "/sdapi/v1/extra-single-image"
BATCH = "/sdapi/v1/extra-batch-images"


def test_a_picture_is_enlarged_and_keeps_its_infotext(client: TestClient) -> None:
    image = base64_of(png_of((1, 2, 3), (16, 8), infotext="a pear"))
    answer = client.post(SINGLE, json={"image": image, "upscaler_1": "Lanczos", "upscaling_resize": 3})
    assert answer.status_code == 200, answer.text
    result = opened(answer.json()["image"])
    assert (result.size, result.text["parameters"]) == ((48, 24), "a pear")
    assert result.text["postprocessing"] == answer.json()["html_info"]
    assert "Postprocess upscaler: Lanczos" in answer.json()["html_info"]


def test_a_batch_keeps_its_order(client: TestClient) -> None:
    entries = [{"data": base64_of(picture(size=(8 * k, 8))), "name": str(k)} for k in (1, 2, 3)]
    fields = {"imageList": entries, "upscaler_1": "Nearest", "resize_mode": 1, "upscaling_crop": False}
    answer = client.post(BATCH, json={**fields, "upscaling_resize_w": 16, "upscaling_resize_h": 16})
    assert [opened(image).size for image in answer.json()["images"]] == [(16, 16), (32, 16), (48, 16)]


@pytest.mark.parametrize(
    ("fields", "field", "status"),
    [
        ({"gfpgan_visibility": 0.5}, "gfpgan_visibility", 422),
        ({"codeformer_visibility": 1}, "codeformer_visibility", 422),
        ({"upscaler_1": "ESRGAN"}, "upscaler_1", 404),
        ({"upscaler_2": "ESRGAN"}, "upscaler_2", 404),
        ({"resize_mode": 2}, "resize_mode", 422),
        ({"upscaling_resize": 0}, "upscaling_resize", 422),
        ({"image": "aGVsbG8="}, "image", 422),
        ({"image": ""}, "image", 422),
    ],
)
def test_what_does_not_work_is_said(client: TestClient, fields: dict[str, Any], field: str, status: int) -> None:
    answer = client.post(SINGLE, json={"image": base64_of(picture()), **fields})
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_an_empty_batch_is_refused(client: TestClient) -> None:
    assert client.post(BATCH, json={"imageList": []}).status_code == 422
