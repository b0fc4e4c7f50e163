"""The jobs API: submit, follow, fetch, stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from generation.errors import OutOfMemory
from service.limits import Limits
from service.services import Services, build_services
from tests.api.pictures import picture
from tests.fakes import PATIENCE, FakeWorker

JOBS = "/api/v1/jobs"


def submit(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(JOBS, json={"steps": 4, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def finished(client: TestClient, services: Services, **fields: Any) -> dict[str, Any]:
    job_id = submit(client, **fields)["id"]
    assert services.generation.wait(job_id, timeout=PATIENCE).state.is_final
    return client.get(f"{JOBS}/{job_id}").json()


VIEW_KEYS = {
    "id", "state", "phase", "phase_fraction", "step", "steps", "batch", "batches", "progress", "eta", "position",
    "elapsed", "preview_version", "image_count", "error", "warnings", "version",
}  # fmt: skip


def test_submit_answers_at_once_with_the_job(client: TestClient, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(0)
    answer = client.post(JOBS, json={"prompt": "a pear", "steps": 4})
    gate.open()
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{JOBS}/{job['id']}"
    assert set(job) >= VIEW_KEYS
    assert (job["state"] in ("queued", "running"), job["type"], job["position"]) == (True, "txt2img", 0)
    assert len(job["id"]) >= 20


def test_a_finished_job(client: TestClient, services: Services) -> None:
    job = finished(client, services, prompt="a pear", seed=3, batch_size=2)
    assert (job["state"], job["progress"], job["image_count"], job["error"]) == ("done", 1.0, 2, None)
    assert (job["step"], job["steps"], job["position"], job["eta"]) == (4, 4, None, None)
    assert [image["seed"] for image in job["images"]] == [3, 4]


def test_pictures_and_their_infotext(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    for save in (True, False):
        job = finished(client, services, prompt="a pear", save=save)
        answer = client.get("/" + job["images"][0]["url"])
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        assert "private" in answer.headers["cache-control"]
        assert answer.content == services.generation.status(job["id"]).images[0].read_png()
        infotext = client.get(f"{JOBS}/{job['id']}/images/0/infotext")
        assert infotext.text.startswith("a pear")
        assert infotext.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("index", ["1", "-1", "99999999999999999999", "x"])
def test_pictures_that_do_not_exist(client: TestClient, services: Services, index: str) -> None:
    job = finished(client, services)
    answer = client.get(f"{JOBS}/{job['id']}/images/{index}")
    assert answer.status_code in (404, 422)
    assert answer.json()["detail"]


def test_a_picture_whose_file_was_deleted(client: TestClient, services: Services) -> None:
    job = finished(client, services, save=True)
    path = services.generation.status(job["id"]).images[0].path
    assert path is not None
    path.unlink()
    answer = client.get(f"{JOBS}/{job['id']}/images/0")
    assert answer.status_code == 404
    assert "gone" in answer.json()["detail"]
    assert str(path) not in answer.text


def test_fields_left_out_take_the_settings(
    client: TestClient, services: Services, fake_worker: FakeWorker
) -> None:
    services.preferences.update(default_steps=11, default_sampler="Heun")
    client.post(JOBS, json={"prompt": "a"})
    job_id = client.get(JOBS).json()[0]["id"]
    services.generation.wait(job_id, timeout=PATIENCE)
    request = fake_worker.jobs[-1].request
    assert (request.steps, request.sampler) == (11, "Heun")


def test_img2img_takes_base64_and_data_uris(
    client: TestClient, services: Services, fake_worker: FakeWorker, init_image: str
) -> None:
    inpaint = {"mask": init_image, "blur_x": 2}
    part = {"init_images": [f"data:image/png;base64,{init_image}"], "denoising_strength": 0.5, "inpaint": inpaint}
    job = finished(client, services, type="img2img", img2img=part)
    assert (job["type"], job["state"]) == ("img2img", "done")
    made = fake_worker.jobs[-1].request.img2img
    assert made is not None
    assert made.inpaint is not None
    assert made.init_images == (picture(),)
    assert (made.inpaint.mask, made.inpaint.blur_x, made.inpaint.blur_y) == (picture(), 2, 4)


def test_the_request_of_a_job_can_be_submitted_again(
    client: TestClient, services: Services, fake_worker: FakeWorker
) -> None:
    job = finished(client, services, prompt="a pear", sampling={"eta": 0.5})
    request = client.get(f"{JOBS}/{job['id']}/request").json()
    assert request["seed"] >= 0
    finished(client, services, **request)
    assert fake_worker.jobs[-1].request == fake_worker.jobs[-2].request


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"width": 511}, "width"),
        ({"no_such_field": 1}, "no_such_field"),
        ({"type": "img2img"}, "type"),
        ({"type": "video"}, "type"),
        ({"img2img": {"init_images": []}}, "img2img.init_images"),
        ({"img2img": {"init_images": ["!!"]}}, "a picture"),
        ({"img2img": {"init_images": ["aGVsbG8="]}}, "img2img.init_images"),
        ({"img2img": {"init_images": ["https://example.org/x.png"]}}, "a picture"),
        ({"sampler": "no such sampler"}, "sampler"),
        ({"model": "no such model"}, "model"),
        ({"vae": "no such vae"}, "vae"),
        ({"seed_resize_width": 8}, None),
    ],
)
def test_bad_requests(client: TestClient, fields: dict[str, Any], field: str | None) -> None:
    answer = client.post(JOBS, json={"prompt": "a", **fields})
    assert answer.status_code in (404, 422)
    assert answer.json()["detail"]
    if field is not None:
        assert answer.json()["field"] == field


def test_a_failed_job_tells_its_reason(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    fake_worker.fail_with = OutOfMemory("The device is full.", "Make smaller pictures.")
    job = finished(client, services)
    assert job["state"] == "error"
    assert job["error"] == {"message": "The device is full.", "hint": "Make smaller pictures."}


# Events and previews


def events(text: str) -> list[dict[str, Any]]:
    blocks = [block for block in text.split("\n\n") if block]
    assert all(block.startswith(("data: ", ":")) for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block.startswith("data: ")]


def test_events_end_with_the_final_state(client: TestClient, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(2)
    fake_worker.previews_always = True
    job_id = submit(client, steps=6)["id"]
    gate.wait_until_reached()
    gate.open()
    answer = client.get(f"{JOBS}/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert "no-store" in answer.headers["cache-control"]
    seen = events(answer.text)
    assert seen[-1]["state"] == "done"
    assert seen[-1]["image_count"] == 1
    assert all(event["id"] == job_id for event in seen)
    versions = [event["version"] for event in seen]
    assert versions == sorted(versions)
    assert seen[-1]["preview_version"] > 0


def test_events_are_not_compressed(client: TestClient, services: Services) -> None:
    job = finished(client, services, prompt="x" * 5000)
    answer = client.get(f"{JOBS}/{job['id']}/events", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_the_preview(client: TestClient, fake_worker: FakeWorker, services: Services) -> None:
    fake_worker.previews_always = True
    gate, later = fake_worker.hold_at(0), fake_worker.hold_at(2)
    job_id = submit(client)["id"]
    gate.wait_until_reached()
    assert client.get(f"{JOBS}/{job_id}/preview").status_code == 404
    gate.open()
    later.wait_until_reached()
    answer = client.get(f"{JOBS}/{job_id}/preview")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content[:2] == b"\xff\xd8"
    later.open()
    services.generation.wait(job_id, timeout=PATIENCE)


# Stop, skip, cancel


def test_stop_keeps_what_is_there(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(2)
    job_id = submit(client, batch_count=3)["id"]
    gate.wait_until_reached()
    assert client.post(f"{JOBS}/{job_id}/stop").status_code == 200
    services.generation.wait(job_id, timeout=PATIENCE)
    job = client.get(f"{JOBS}/{job_id}").json()
    assert (job["state"], job["image_count"], job["images"][0]["is_partial"]) == ("stopped", 1, True)


@pytest.mark.parametrize("way", ["stop", "delete"])
def test_discarding(client: TestClient, services: Services, fake_worker: FakeWorker, way: str) -> None:
    gate = fake_worker.hold_at(2)
    job_id = submit(client)["id"]
    gate.wait_until_reached()
    if way == "stop":
        answer = client.post(f"{JOBS}/{job_id}/stop", json={"keep": False})
    else:
        answer = client.delete(f"{JOBS}/{job_id}")
    assert answer.json()["id"] == job_id
    services.generation.wait(job_id, timeout=PATIENCE)
    job = client.get(f"{JOBS}/{job_id}").json()
    assert (job["state"], job["image_count"]) == ("stopped", 0)


def test_skip(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    job_id = submit(client, batch_count=2)["id"]
    gate.wait_until_reached()
    assert client.post(f"{JOBS}/{job_id}/skip").status_code == 200
    services.generation.wait(job_id, timeout=PATIENCE)
    job = client.get(f"{JOBS}/{job_id}").json()
    assert [image["is_partial"] for image in job["images"]] == [True, False]


def test_a_waiting_job_is_cancelled_at_once(client: TestClient, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    first = submit(client)["id"]
    second, third = submit(client)["id"], submit(client)["id"]
    gate.wait_until_reached()
    listed = client.get(JOBS).json()
    assert [job["id"] for job in listed] == [first, second, third]
    assert [job["position"] for job in listed] == [0, 0, 1]
    assert client.delete(f"{JOBS}/{second}").json()["state"] == "stopped"
    assert client.get(f"{JOBS}/{third}").json()["position"] == 0
    gate.open()


def test_stopping_a_finished_job_changes_nothing(client: TestClient, services: Services) -> None:
    job = finished(client, services)
    for answer in (client.post(f"{JOBS}/{job['id']}/stop"), client.delete(f"{JOBS}/{job['id']}")):
        assert answer.json() == job


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("GET", "/events"), ("GET", "/preview"), ("GET", "/images/0"), ("GET", "/images/0/infotext"),
        ("GET", "/request"), ("POST", "/stop"), ("POST", "/skip"), ("DELETE", ""),
    ],
)  # fmt: skip
def test_unknown_jobs_are_404_everywhere(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"{JOBS}/no-such-job{path}")
    assert answer.status_code == 404
    assert "no-such-job" in answer.json()["detail"]


# Idempotency


def test_the_same_key_makes_one_job(client: TestClient, fake_worker: FakeWorker) -> None:
    headers = {"Idempotency-Key": "order 66"}
    first = client.post(JOBS, json={"prompt": "a", "steps": 2}, headers=headers)
    again = client.post(JOBS, json={"prompt": "a", "steps": 2}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(client.get(JOBS).json()) == 1


def test_the_same_key_with_another_request_is_a_conflict(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    client.post(JOBS, json={"prompt": "a", "steps": 2}, headers=headers)
    answer = client.post(JOBS, json={"prompt": "b", "steps": 2}, headers=headers)
    assert answer.status_code == 409
    assert "'k'" in answer.json()["detail"]


def test_a_refused_request_does_not_use_its_key_up(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    assert client.post(JOBS, json={"model": "no such model"}, headers=headers).status_code == 404
    assert client.post(JOBS, json={"prompt": "b", "steps": 2}, headers=headers).status_code == 201


def test_a_full_queue_is_503_with_retry_after(tmp_path: Path, models_dir: Path, fake_worker: FakeWorker) -> None:
    from api.app import create_app
    from api.security import Security

    gate = fake_worker.hold_at(1)
    services = build_services(
        worker_factories={"fake": fake_worker},
        models_dirs=[models_dir],
        outputs_dir=tmp_path / "o",
        data_dir=tmp_path / "d",
        limits=Limits(max_queue_length=1),
    )
    try:
        client = TestClient(create_app(services, Security()), base_url="http://localhost")
        submit(client)
        gate.wait_until_reached()
        submit(client)
        answer = client.post(JOBS, json={})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"] == "QueueFull"
    finally:
        services.close()


# History


def test_history_pages_through_saved_pictures(client: TestClient, services: Services) -> None:
    for prompt in ("one", "two", "three"):
        finished(client, services, prompt=prompt, save=True)
    page = client.get("/api/v1/history", params={"limit": 2, "offset": 1}).json()
    assert page["total"] == 3
    assert [image["prompt"] for image in page["images"]] == ["two", "one"]
    assert "path" not in page["images"][0]
    answer = client.get("/" + page["images"][0]["url"])
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 10**6}, {"offset": -1}, {"limit": "x"}])
def test_bad_pages(client: TestClient, query: dict[str, Any]) -> None:
    answer = client.get("/api/v1/history", params=query)
    assert answer.status_code == 422
    assert answer.json()["field"] == next(iter(query))


@pytest.mark.parametrize("number", [0, 5, -1, 10**30])
def test_history_pictures_that_do_not_exist(client: TestClient, number: int) -> None:
    assert client.get(f"/api/v1/history/{number}/image").status_code in (404, 422)
