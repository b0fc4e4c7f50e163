"""What guests may not do, and the numbers for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from service.services import Services

ClientOf = Callable[..., TestClient]
OWNER, GUEST = ("olga", "owns"), ("gus", "visits")


@pytest.fixture
def shared(secured: ClientOf) -> TestClient:
    return secured(users=dict([OWNER, GUEST]), guests=frozenset({"gus"}))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sdapi/v1/options"),
        ("POST", "/sdapi/v1/refresh-checkpoints"),
        ("POST", "/sdapi/v1/refresh-vae"),
        ("GET", "/metrics"),
    ],
)
def test_guests_do_not_touch_the_server(shared: TestClient, method: str, path: str) -> None:
    body = {} if method == "POST" else None
    refused = shared.request(method, path, json=body, auth=GUEST)
    assert refused.status_code == 403
    assert "'gus'" in refused.json()["detail"]
    assert shared.request(method, path, json=body, auth=OWNER).status_code == 200


def test_guests_make_pictures_but_their_overrides_do_not_stay(shared: TestClient, services: Services) -> None:
    fields = {
        "steps": 1,
        "override_settings": {"CLIP_stop_at_last_layers": 2},
        "override_settings_restore_afterwards": False,
    }
    assert shared.post("/sdapi/v1/txt2img", json=fields, auth=GUEST).status_code == 200
    assert services.preferences.get().clip_skip == 1
    assert shared.post("/sdapi/v1/txt2img", json=fields, auth=OWNER).status_code == 200
    assert services.preferences.get().clip_skip == 2


@pytest.mark.parametrize("path", ["/sdapi/v1/sd-models", "/sdapi/v1/sd-vae"])
def test_guests_do_not_see_where_files_are(shared: TestClient, path: str) -> None:
    assert "/" not in shared.get(path, auth=GUEST).json()[0]["filename"]
    assert "/" in shared.get(path, auth=OWNER).json()[0]["filename"]


SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.]+')


def test_metrics(client: TestClient) -> None:
    client.post("/sdapi/v1/txt2img", json={"steps": 1})
    client.get("/no/such/page")
    client.get("/healthz", headers={"Host": "evil.example"})
    client.request("BREW", "/coffee")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    assert 'easel_jobs{state="done"} 1' in lines
    assert 'easel_http_answers_total{method="POST",status="200"} 1' in lines
    assert 'easel_http_answers_total{method="GET",status="400"} 1' in lines
    assert 'easel_http_answers_total{method="GET",status="404"} 1' in lines
    assert any(line.startswith('easel_http_answers_total{method="other"') for line in lines)
