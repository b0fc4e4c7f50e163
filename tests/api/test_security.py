"""The gate: Host, Origin, CORS, login, body size, headers; in front of every route and of mounted apps."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from api.app import create_app
from api.login import Doorkeeper, FailureThrottle
from api.security import Gate, Security
from api.sessions import Sessions
from service.services import Services
from tests.fakes import PATIENCE, FakeWorker

ClientOf = Callable[..., TestClient]
POST = "/sdapi/v1/interrupt"


# Host


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860", "192.168.1.20:7860", "[fe80::1]", "LocalHost"],
)
def test_own_names_and_plain_addresses_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "localhost/x",
        "a@localhost",
    ],
)
def test_foreign_names_are_refused_everywhere(client: TestClient, host: str) -> None:
    for path in ("/healthz", "/sdapi/v1/options", "/docs", "/no/such/page"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 400, path
        assert answer.json()["error"] == "ForeignHost"


def test_configured_names_are_answered(secured: ClientOf) -> None:
    client = secured(allowed_hosts=("ai.example.org", "*.gradio.live"))
    for host, status in (
        ("ai.example.org", 200),
        ("abc.gradio.live", 200),
        ("gradio.live", 400),
        ("evilgradio.live", 400),
        ("b.example.org", 400),
    ):
        assert client.get("/healthz", headers={"Host": host}).status_code == status, host


def test_a_foreign_forwarded_host_does_not_get_through() -> None:
    seen: list[str | None] = []

    async def echo(scope, receive, send) -> None:
        seen.append(dict(scope["headers"]).get(b"x-forwarded-host"))
        await PlainTextResponse("ok")(scope, receive, send)

    gate = TestClient(
        Gate(echo, Security(allowed_hosts=("ai.example.org",)), Doorkeeper({}, Sessions({}))),
        base_url="http://localhost",
    )
    for host in ("evil.example", "ai.example.org"):
        gate.get("/", headers={"X-Forwarded-Host": host})
    assert seen == [None, b"ai.example.org"]


# Origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:3000",
        "https://localhost:3000",
        "null",
        "http://localhost.evil.example",
        "file://",
        "http://[",
        "",
    ],
)
def test_foreign_pages_change_nothing(client: TestClient, origin: str) -> None:
    for path in (POST, "/api/v1/jobs", "/sdapi/v1/options", "/no/such/page"):
        answer = client.post(path, json={}, headers={"Origin": origin})
        assert answer.status_code == 403, path
        assert answer.json()["error"] == "ForeignOrigin"
        assert "access-control-allow-origin" not in answer.headers


def test_other_changing_methods_are_guarded_too(client: TestClient) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = client.request(method, "/api/v1/jobs/x", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403


def test_the_own_page_and_programs_without_origin_may(client: TestClient) -> None:
    assert client.post(POST).status_code == 200
    assert client.post(POST, headers={"Origin": "http://localhost"}).status_code == 200
    headers = {"Origin": "http://127.0.0.1:7860", "Host": "127.0.0.1:7860"}
    assert client.post(POST, headers=headers).status_code == 200


def test_a_page_behind_a_proxy_may(secured: ClientOf) -> None:
    client = secured(allowed_hosts=("ai.example.org",))
    for headers in (
        {"Host": "ai.example.org", "Origin": "https://ai.example.org"},
        {"Host": "127.0.0.1:7860", "Origin": "https://ai.example.org"},
        {"Host": "127.0.0.1:7860", "X-Forwarded-Host": "ai.example.org", "Origin": "https://ai.example.org"},
    ):
        assert client.post(POST, headers=headers).status_code == 200
    forged = {"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    assert client.post(POST, headers=forged).status_code == 403


# CORS


def test_no_page_may_read_answers_by_default(client: TestClient) -> None:
    answer = client.get("/sdapi/v1/options", headers={"Origin": "https://evil.example"})
    assert not any(name.startswith("access-control-allow") for name in answer.headers)
    preflight = client.options(
        "/sdapi/v1/txt2img",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers


def test_a_configured_page_may(secured: ClientOf) -> None:
    client = secured(cors_origins=("https://app.example",), users={"alice": "pw"})
    origin = {"Origin": "https://app.example"}
    preflight = client.options("/sdapi/v1/txt2img", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 200
    answer = client.post(POST, headers=origin, auth=("alice", "pw"))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    evil = client.post(POST, headers={"Origin": "https://evil.example"}, auth=("alice", "pw"))
    assert evil.status_code == 403


# Login


@pytest.fixture
def guarded(secured: ClientOf) -> TestClient:
    return secured(users={"alice": "wonderland", "bob": "päss:word"})


@pytest.mark.parametrize(
    "path",
    ["/", "/sdapi/v1/options", "/api/v1/jobs", "/docs", "/openapi.json", "/no/page", "/gradio_api/info"],
)
def test_nothing_without_login(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert answer.json()["detail"] == "Please log in."


def test_health_needs_no_login(guarded: TestClient) -> None:
    assert guarded.get("/healthz").status_code == 200


@pytest.mark.parametrize("credentials", [("alice", "wonderland"), ("bob", "päss:word")])
def test_the_right_password(guarded: TestClient, credentials: tuple[str, str]) -> None:
    header = "basic " + base64.b64encode(":".join(credentials).encode()).decode()
    assert guarded.get("/sdapi/v1/options", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize("credentials", [("alice", "wrong"), ("carol", "wonderland"), ("", ""), ("alice", "")])
def test_the_wrong_password(guarded: TestClient, credentials: tuple[str, str]) -> None:
    answer = guarded.get("/sdapi/v1/options", auth=credentials)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "Wrong name or password."


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc", "Basic /w==", ""])
def test_unreadable_credentials(guarded: TestClient, header: str) -> None:
    assert guarded.get("/sdapi/v1/options", headers={"Authorization": header}).status_code == 401


def test_guessing_is_slowed_down_and_ends(services: Services) -> None:
    now = [0.0]
    inner = create_app(services, Security())
    users = {"alice": "pw"}
    doorkeeper = Doorkeeper(users, Sessions(users), FailureThrottle(clock=lambda: now[0]))
    gate = Gate(inner, Security(users=users), doorkeeper)
    client = TestClient(gate, base_url="http://localhost")
    statuses = [client.get("/healthz/x", auth=("alice", f"guess {n}")).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    refused = client.get("/sdapi/v1/options", auth=("alice", "pw"))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) == 1
    now[0] = 1.5
    assert client.get("/sdapi/v1/options", auth=("alice", "pw")).status_code == 200
    assert client.get("/sdapi/v1/options", auth=("alice", "no")).status_code == 401


def test_waits_grow_to_a_minute_and_the_table_stays_small() -> None:
    now = [0.0]
    throttle = FailureThrottle(clock=lambda: now[0])
    waits = []
    for _ in range(15):
        throttle.failed("1.2.3.4")
        waits.append(throttle.wait("1.2.3.4"))
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert throttle.wait("5.6.7.8") == 0
    for number in range(20_000):
        throttle.failed(str(number))
    assert len(throttle._failures) == 10_000


def test_jobs_belong_to_their_owner(guarded: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    alice, bob = ("alice", "wonderland"), ("bob", "päss:word".encode())
    gate = fake_worker.hold_at(1)
    job_id = guarded.post("/api/v1/jobs", json={"steps": 3, "save": True}, auth=alice).json()["id"]
    gate.wait_until_reached()
    assert services.generation.job(job_id).owner == "alice"
    assert guarded.get("/api/v1/jobs", auth=bob).json() == []
    for method, path in (
        ("GET", ""), ("GET", "/events"), ("GET", "/preview"), ("GET", "/request"), ("POST", "/stop"),
        ("POST", "/skip"), ("DELETE", ""),
    ):  # fmt: skip
        answer = guarded.request(method, f"/api/v1/jobs/{job_id}{path}", auth=bob)
        assert answer.status_code == 404, path
    for call in ("interrupt", "skip"):
        guarded.post(f"/sdapi/v1/{call}", auth=bob)
    assert services.generation.status(job_id).state == "running"
    shown = guarded.get("/sdapi/v1/progress", auth=bob).json()
    assert (shown["state"]["job_count"], shown["job_id"], shown["current_image"]) == (1, None, None)
    assert guarded.get("/sdapi/v1/progress", auth=alice).json()["job_id"] == job_id
    gate.open()
    services.generation.wait(job_id, timeout=PATIENCE)
    assert guarded.get(f"/api/v1/jobs/{job_id}/images/0", auth=bob).status_code == 404
    assert guarded.get("/api/v1/history", auth=bob).json()["total"] == 0
    assert guarded.get("/api/v1/history", auth=alice).json()["total"] == 1
    assert guarded.get("/api/v1/history/1/image", auth=bob).status_code == 404


def test_passwords_do_not_show_in_repr() -> None:
    assert "wonderland" not in repr(Security(users={"alice": "wonderland"}))


# Mounted apps and WebSockets


def outer_app(services: Services, security: Security) -> FastAPI:
    app = create_app(services, security)

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.scope["state"]["user"])
        await socket.close()

    async def page(request) -> PlainTextResponse:
        return PlainTextResponse(f"page of {request.scope['state']['user']}")

    app.add_api_websocket_route("/socket", echo)
    app.mount("/", Starlette(routes=[Route("/", page), Mount("/deep", routes=[Route("/page", page)])]))
    return app


def test_mounted_apps_are_behind_the_gate_and_learn_the_user(services: Services) -> None:
    client = TestClient(outer_app(services, Security(users={"alice": "pw"})), base_url="http://localhost")
    for path in ("/", "/deep/page"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 400
        assert client.get(path, auth=("alice", "pw")).text == "page of alice"
    assert client.get("/sdapi/v1/no-such-call", auth=("alice", "pw")).status_code == 404


def test_websockets_are_guarded_likewise(services: Services) -> None:
    client = TestClient(outer_app(services, Security(users={"alice": "pw"})), base_url="http://localhost")
    login = {"Authorization": "Basic " + base64.b64encode(b"alice:pw").decode()}
    for headers in ({}, {**login, "Origin": "https://evil.example"}, {**login, "Host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers=headers):
            pass
    with client.websocket_connect(
        "/socket", headers={**login, "Origin": "http://localhost", "Host": "localhost"}
    ) as socket:
        assert socket.receive_text() == "alice"


# Body size


def asgi_post(
    app: FastAPI, path: str, body: AsyncIterator[bytes] | bytes, headers: dict[str, str]
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, content=body, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/sdapi/v1/txt2img", "/api/v1/jobs", "/sdapi/v1/png-info", "/sdapi/v1/options"])
def test_a_body_in_chunks_is_counted_not_trusted(services: Services, path: str) -> None:
    app = create_app(services, Security(max_body_bytes=10_000))
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"prompt": "'
        for _ in range(1000):
            sent += 1000
            yield b"x" * 1000
        yield b'"}'

    answer = asgi_post(app, path, chunks(), {"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"] == "BodyTooLarge"
    assert sent <= 20_000


def test_a_declared_size_is_refused_before_reading(services: Services) -> None:
    app = create_app(services, Security(max_body_bytes=10_000))
    for length in ("10001", "9" * 50):
        answer = asgi_post(app, "/sdapi/v1/txt2img", b"{}", {"Content-Length": length})
        assert answer.status_code == 413


def test_a_body_at_the_limit_passes(services: Services) -> None:
    app = create_app(services, Security(max_body_bytes=10_000))
    body = b'{"steps": 1, "prompt": "' + b"x" * (10_000 - 26) + b'"}'
    assert len(body) == 10_000
    assert asgi_post(app, "/sdapi/v1/txt2img", body, {}).status_code == 200


def test_mounted_apps_get_a_413_too(services: Services) -> None:
    async def reads_everything(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse("read it all")(scope, receive, send)

    app = create_app(services, Security(max_body_bytes=10_000))
    app.mount("/", reads_everything)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    answer = asgi_post(app, "/upload", chunks(), {})
    assert answer.status_code == 413


# Headers


def test_security_headers_on_every_answer(client: TestClient) -> None:
    for answer in (
        client.get("/healthz"),
        client.get("/nope"),
        client.get("/healthz", headers={"Host": "evil.example"}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"


def test_frames_can_be_allowed(secured: ClientOf) -> None:
    client = secured(frame_ancestors=("https://huggingface.co",))
    assert (
        client.get("/healthz").headers["content-security-policy"]
        == "frame-ancestors 'self' https://huggingface.co"
    )


def test_json_is_compressed_for_those_who_ask(client: TestClient) -> None:
    answer = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/openapi.json", headers={"Accept-Encoding": "identity"}).headers
