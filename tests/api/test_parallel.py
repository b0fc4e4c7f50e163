"""Many clients at once, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import httpx
from fastapi import FastAPI

from generation.request import make_request
from service.services import Services
from tests.api.pictures import opened
from tests.fakes import PATIENCE, FakeWorker


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=PATIENCE)


def test_fifty_clients_get_their_own_pictures(app: FastAPI) -> None:
    async def one(client: httpx.AsyncClient, number: int) -> dict[str, Any]:
        fields = {"prompt": f"client {number}", "seed": 1000 * number, "steps": 2, "n_iter": 2}
        return (await client.post("/sdapi/v1/txt2img", json=fields)).json()

    async def all_of_them() -> list[dict[str, Any]]:
        async with client_of(app) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    for number, answer in enumerate(asyncio.run(all_of_them())):
        info = json.loads(answer["info"])
        assert info["all_seeds"] == [1000 * number, 1000 * number + 1]
        assert answer["parameters"]["prompt"] == f"client {number}"
        for index, image in enumerate(answer["images"]):
            seed = 1000 * number + index
            shown = opened(image)
            assert shown.getpixel((0, 0)) == (seed % 256, seed // 256 % 256, seed // 65536 % 256)
            assert f"client {number}\n" in shown.text["parameters"]


def test_overrides_of_one_client_are_not_seen_by_another(app: FastAPI, fake_worker: FakeWorker) -> None:
    async def both() -> None:
        async with client_of(app) as client:
            calls = [
                {"prompt": "with", "override_settings": {"CLIP_stop_at_last_layers": 2}, "steps": 2},
                {"prompt": "without", "steps": 2},
            ]
            await asyncio.gather(*(client.post("/sdapi/v1/txt2img", json=fields) for fields in calls * 5))

    asyncio.run(both())
    skips = {(job.request.prompt, job.request.clip_skip) for job in fake_worker.jobs}
    assert skips == {("with", 2), ("without", 1)}


def test_a_client_that_leaves_does_not_kill_its_job(
    app: FastAPI, services: Services, fake_worker: FakeWorker
) -> None:
    gate = fake_worker.hold_at(2)

    async def leave_early() -> None:
        async with client_of(app) as client:
            fields = {"steps": 4, "force_task_id": "left", "save_images": True}
            waiting = asyncio.create_task(client.post("/sdapi/v1/txt2img", json=fields))
            await asyncio.to_thread(gate.wait_until_reached)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(leave_early())
    gate.open()
    status = services.generation.wait("left", timeout=PATIENCE)
    assert status.state == "done"
    assert services.history.count() == 1


def test_a_viewer_that_leaves_stops_counting_as_one(
    app: FastAPI, services: Services, fake_worker: FakeWorker
) -> None:
    first, second, third = (fake_worker.hold_at(step) for step in (1, 2, 3))
    services.preferences.update(preview_interval=0)
    job_id = services.generation.submit(make_request(steps=4))

    async def watch_a_while() -> None:
        viewer = Viewer(f"/api/v1/jobs/{job_id}/events")
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            await asyncio.to_thread(first.wait_until_reached)
            group.create_task(viewer.run(app))
            await viewer.has_seen.wait()
            first.open()
            await asyncio.to_thread(second.wait_until_reached)
            viewer.leaves.set()

    asyncio.run(watch_a_while())
    watched = services.generation.status(job_id).preview
    second.open()
    third.wait_until_reached()
    assert watched is not None
    assert services.generation.status(job_id).preview is watched
    third.open()
    assert services.generation.wait(job_id, timeout=PATIENCE).state == "done"


class Viewer:
    """A browser that reads one page until it is told to leave, as the server sees it."""

    def __init__(self, path: str) -> None:
        headers = [(b"host", b"localhost")]
        self.scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "scheme": "http", "http_version": "1.1", "server": ("localhost", 80),
            "client": ("127.0.0.1", 1), "root_path": "", "asgi": {"version": "3.0", "spec_version": "2.3"},
        }  # fmt: skip
        self.has_seen = asyncio.Event()
        self.leaves = asyncio.Event()
        self.has_asked = False

    async def run(self, app: FastAPI) -> None:
        await app(self.scope, self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        if not self.has_asked:
            self.has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            self.has_seen.set()
