"""A1111's progress, interrupt and skip: global, and only for what runs now."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.services import Services
from tests.api.pictures import opened
from tests.fakes import PATIENCE, FakeWorker


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for clients that wait for their pictures."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def start(background: ThreadPoolExecutor, client: TestClient, **fields: Any) -> Future[Any]:
    return background.submit(client.post, "/sdapi/v1/txt2img", json=fields)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def progress(client: TestClient, **query: Any) -> dict[str, Any]:
    return client.get("/sdapi/v1/progress", params=query).json()


def test_idle(client: TestClient) -> None:
    answer = progress(client)
    assert (answer["progress"], answer["eta_relative"], answer["current_image"]) == (0, 0, None)
    state = answer["state"]
    assert set(state) == {
        "skipped", "interrupted", "stopping_generation", "job", "job_count", "job_timestamp", "job_no",
        "sampling_step", "sampling_steps",
    }  # fmt: skip
    assert (state["job_count"], state["job"]) == (0, "")


def test_while_a_job_runs(client: TestClient, fake_worker: FakeWorker, background: ThreadPoolExecutor) -> None:
    gate = fake_worker.hold_at(5)
    waiting = start(background, client, steps=10, n_iter=2, force_task_id="mine")
    gate.wait_until_reached()
    answer = progress(client)
    assert answer["progress"] == 0.25
    assert answer["job_id"] == "mine"
    assert answer["eta_relative"] >= 0
    state = answer["state"]
    assert (state["sampling_step"], state["sampling_steps"]) == (5, 10)
    assert (state["job_count"], state["job_no"], state["job"]) == (2, 0, "Batch 1 out of 2")
    gate.open()
    assert waiting.result(PATIENCE).status_code == 200
    assert progress(client)["state"]["job_count"] == 0


def test_the_preview_comes_as_png(
    client: TestClient, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    fake_worker.previews_always = True
    gate = fake_worker.hold_at(2)
    waiting = start(background, client, steps=4)
    gate.wait_until_reached()
    assert opened(progress(client)["current_image"]).format == "PNG"
    assert progress(client, skip_current_image=True)["current_image"] is None
    gate.open()
    waiting.result(PATIENCE)


def test_polling_counts_as_watching(
    client: TestClient, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    first, second = fake_worker.hold_at(1), fake_worker.hold_at(3)
    waiting = start(background, client, steps=4)
    first.wait_until_reached()
    assert progress(client)["current_image"] is None
    first.open()
    second.wait_until_reached()
    assert progress(client)["current_image"] is not None
    second.open()
    waiting.result(PATIENCE)


def test_interrupt_returns_the_partial_picture(
    client: TestClient, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    gate = fake_worker.hold_at(3)
    waiting = start(background, client, steps=10, n_iter=3)
    gate.wait_until_reached()
    answer = client.post("/sdapi/v1/interrupt")
    assert (answer.status_code, answer.json()) == (200, {})
    done = waiting.result(PATIENCE)
    assert done.status_code == 200
    assert len(done.json()["images"]) == 1
    assert json.loads(done.json()["info"])["all_seeds"][0] >= 0


def test_interrupt_when_idle_affects_nothing_later(client: TestClient) -> None:
    for call in ("interrupt", "skip"):
        assert client.post(f"/sdapi/v1/{call}").status_code == 200
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 3, "n_iter": 2})
    assert len(answer.json()["images"]) == 2


def test_interrupt_spares_a_waiting_job(
    client: TestClient, services: Services, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    gate = fake_worker.hold_at(1)
    running = start(background, client, steps=5, prompt="first", force_task_id="first")
    gate.wait_until_reached()
    queued = start(background, client, steps=5, prompt="second", force_task_id="second")
    wait_until(lambda: len(services.generation.jobs()) == 2)
    client.post("/sdapi/v1/interrupt")
    running.result(PATIENCE)
    assert len(queued.result(PATIENCE).json()["images"]) == 1
    assert services.generation.status("first").state == "stopped"
    assert services.generation.status("second").state == "done"


def test_skip_goes_on_to_the_next_picture(
    client: TestClient, services: Services, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    gate = fake_worker.hold_at(2)
    waiting = start(background, client, steps=6, n_iter=2, force_task_id="job")
    gate.wait_until_reached()
    answer = client.post("/sdapi/v1/skip")
    assert (answer.status_code, answer.json()) == (200, None)
    assert len(waiting.result(PATIENCE).json()["images"]) == 2
    images = services.generation.status("job").images
    assert [image.is_partial for image in images] == [True, False]


def test_a_job_that_is_discarded_answers_without_pictures(
    client: TestClient, fake_worker: FakeWorker, background: ThreadPoolExecutor
) -> None:
    gate = fake_worker.hold_at(1)
    waiting = start(background, client, steps=5, force_task_id="job")
    gate.wait_until_reached()
    assert client.delete("/api/v1/jobs/job").status_code == 200
    done = waiting.result(PATIENCE)
    assert (done.status_code, done.json()["images"]) == (200, [])
