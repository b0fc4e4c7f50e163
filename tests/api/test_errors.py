"""Every error is JSON with a sentence; a bug never shows its traceback."""

from __future__ import annotations

import logging

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient


def test_an_error_has_all_the_keys_that_clients_read(client: TestClient) -> None:
    body = client.post("/sdapi/v1/txt2img", json={"sampler_name": "Eulr"}).json()
    assert set(body) == {"detail", "error", "errors", "body", "hint", "field"}
    assert (body["error"], body["field"]) == ("UnknownName", "sampler_name")
    assert body["errors"] == body["detail"]
    assert body["hint"] in body["detail"]


def test_a_wrong_type_is_a_sentence_not_a_list(client: TestClient) -> None:
    body = client.post("/sdapi/v1/txt2img", json={"steps": "abc"}).json()
    assert body["detail"].startswith("steps: ")
    assert "'abc'" in body["detail"]


def test_a_huge_bad_value_is_shortened(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={"steps": "9" * 100_000})
    assert answer.status_code == 422
    assert len(answer.text) < 1500


def test_broken_json_says_so(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", content="{oops", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "not valid JSON" in answer.json()["detail"]


def test_json_needs_no_content_type(client: TestClient) -> None:
    assert client.post("/sdapi/v1/txt2img", content=b'{"steps": 1}').status_code == 200


@pytest.mark.parametrize(
    "path", ["/no/such/page", "/sdapi/v1/no-such-call", "/sdapi", "/api/v1/nothing", "/api/v1/jobs/a/b"]
)
def test_unknown_addresses_are_404_json(client: TestClient, path: str) -> None:
    for method in ("GET", "POST"):
        answer = client.request(method, path)
        assert answer.status_code == 404
        assert answer.json()["detail"]


def test_a_bug_is_logged_and_answered_without_details(
    app: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("the secret inside")

    app.add_api_route("/broken", broken, methods=["GET"])
    with caplog.at_level(logging.ERROR):
        answer = client.get("/broken")
    assert answer.status_code == 500
    body = answer.json()
    assert "the secret inside" not in answer.text
    assert "Traceback" not in answer.text
    number = body["detail"].split("error ")[1].split(")")[0]
    assert number in caplog.text
    assert "the secret inside" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/healthz").status_code == 200


def test_a_bug_in_the_middle_of_an_answer_breaks_it_off(app: FastAPI, client: TestClient) -> None:
    def half() -> StreamingResponse:
        def parts():
            yield b"first"
            raise ValueError("late")

        return StreamingResponse(parts())

    app.add_api_route("/half", half, methods=["GET"])
    with pytest.raises(ValueError, match="late"):
        TestClient(app, base_url="http://localhost").get("/half")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/jobs/..%2f..%2fetc%2fpasswd",
        "/api/v1/jobs/%2e%2e/images/0",
        "/api/v1/jobs/a/images/..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/history/..%2f1/image",
        "/sdapi/v1/..%2f..%2fetc/passwd",
        "/sdapi/v1/../../etc/passwd",
        "/api/v1/jobs/%00",
        "//etc/passwd",
    ],
)
def test_paths_never_come_from_requests(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text
