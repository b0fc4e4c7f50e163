"""GET and POST /sdapi/v1/options."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from service.services import Services
from tests.fakes import FakeWorker


def test_options_by_a1111s_names(client: TestClient, services: Services) -> None:
    services.catalog.wait_for_hashes(10)
    options = client.get("/sdapi/v1/options").json()
    card = services.catalog.find("painter")
    assert options["sd_model_checkpoint"] == card.title
    assert options["sd_checkpoint_hash"] == card.sha256
    assert (options["sd_vae"], options["CLIP_stop_at_last_layers"]) == ("Automatic", 1)
    assert not any("outdir" in name or "path" in name for name in options)


@pytest.mark.parametrize("name", ["painter", "painter.safetensors", "PAINTER"])
def test_a_checkpoint_may_be_set_by_any_of_its_names(client: TestClient, services: Services, name: str) -> None:
    answer = client.post("/sdapi/v1/options", json={"sd_model_checkpoint": name})
    assert (answer.status_code, answer.json()) == (200, None)
    assert services.catalog.find(services.preferences.get().sd_model_checkpoint).name == "painter"


def test_a_checkpoint_may_be_set_by_its_hashes(client: TestClient, services: Services) -> None:
    services.catalog.wait_for_hashes(10)
    card = services.catalog.find("painter")
    for name in (card.title, card.short_hash, card.sha256):
        assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": name}).status_code == 200


def test_options_become_the_defaults_of_later_requests(client: TestClient, fake_worker: FakeWorker) -> None:
    client.post("/sdapi/v1/options", json={"CLIP_stop_at_last_layers": 2, "eta_noise_seed_delta": 31337})
    client.post("/sdapi/v1/txt2img", json={"steps": 1})
    request = fake_worker.jobs[-1].request
    assert (request.clip_skip, request.sampling.eta_noise_seed_delta) == (2, 31337)


def test_all_options_may_be_sent_back(client: TestClient, services: Services) -> None:
    services.catalog.wait_for_hashes(10)
    options = client.get("/sdapi/v1/options").json()
    assert client.post("/sdapi/v1/options", json=options).status_code == 200
    assert client.get("/sdapi/v1/options").json() == options


def test_names_without_meaning_are_told(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/options", json={"outdir_samples": "/etc", "samples_filename_pattern": "../x"})
    assert answer.json() == {"ignored": ["outdir_samples", "samples_filename_pattern"]}


@pytest.mark.parametrize(
    "options",
    [
        {"sd_model_checkpoint": "no such model"},
        {"sd_model_checkpoint": 5},
        {"sd_vae": ["x"]},
        {"sd_vae": "no such vae"},
        {"CLIP_stop_at_last_layers": 99},
        {"CLIP_stop_at_last_layers": "two"},
        {"live_previews_enable": "perhaps"},
    ],
)
def test_bad_values_change_nothing(client: TestClient, services: Services, options: dict[str, object]) -> None:
    before = services.preferences.get()
    answer = client.post("/sdapi/v1/options", json={"eta_noise_seed_delta": 5, **options})
    assert answer.status_code in (404, 422)
    assert answer.json()["field"] == next(iter(options))
    assert services.preferences.get() == before


def test_null_and_empty_leave_a_setting_as_it_is(client: TestClient, services: Services) -> None:
    client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "painter"})
    before = services.preferences.get()
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "", "sd_vae": None}).status_code == 200
    assert services.preferences.get() == before


@pytest.mark.parametrize("body", ["[]", "3", "null", ""])
def test_options_must_be_an_object(client: TestClient, body: str) -> None:
    answer = client.post("/sdapi/v1/options", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
