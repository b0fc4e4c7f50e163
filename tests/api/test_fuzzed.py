"""Requests made up from our own OpenAPI document: whatever comes, no call breaks, and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from api.app import create_app
from api.security import Security
from service.limits import Limits
from service.services import build_services
from tests.fakes import FakeWorker

EVERY = list(HealthCheck)
SMALL = Limits(
    max_pixels=512 * 512,
    max_steps=4,
    max_batch_size=2,
    max_images_per_job=2,
    max_upload_bytes=100_000,
    max_init_pixels=10_000,
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """An application whose limits keep every valid request short."""
    folder = tmp_path_factory.mktemp("fuzzed")
    model = folder / "models" / "Stable-diffusion" / "painter.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"painter")
    services = build_services(
        worker_factories={"fake": FakeWorker()},
        models_dirs=[folder / "models"],
        outputs_dir=folder / "outputs",
        data_dir=folder / "data",
        limits=SMALL,
    )
    yield create_app(services, Security(allowed_hosts=("testserver",)))
    services.close()


def test_no_made_up_request_breaks_the_server(fuzzed: FastAPI) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", fuzzed)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=8, derandomize=True, deadline=None, database=None, suppress_health_check=EVERY)
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            answer = case.call()
            assert answer.status_code < 500 or answer.status_code in (503, 507), answer.text
            if answer.status_code >= 400 and "json" in answer.headers["content-type"][0]:
                assert answer.json()["detail"]

        holds()
        tried += 1
    assert tried >= 40


def test_afterwards_it_still_makes_a_picture(fuzzed: FastAPI) -> None:
    client = TestClient(fuzzed, base_url="http://localhost")
    assert len(client.post("/sdapi/v1/txt2img", json={"steps": 2}).json()["images"]) == 1
