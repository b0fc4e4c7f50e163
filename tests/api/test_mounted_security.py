"""The finished application with the page mounted: no file leaves it, no foreign page reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Mount
from starlette.testclient import TestClient

import ui.app
from api.app import create_app
from api.security import Security
from service.services import Services, build_services
from tests.fakes import FakeWorker, png_of

MARK = b"TOP-SECRET-CONTENT"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mounted")


@pytest.fixture(scope="module")
def secret(folder: Path) -> Path:
    """A picture outside of every folder that may be served."""
    file = folder / "elsewhere" / "secret.png"
    file.parent.mkdir()
    file.write_bytes(png_of((1, 2, 3), infotext=MARK.decode()))
    return file


@pytest.fixture(scope="module")
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture(scope="module")
def mounted(folder: Path, worker: FakeWorker) -> Iterator[Services]:
    """Services of the finished application; building a page takes seconds, so all tests here share one."""
    model = folder / "models" / "Stable-diffusion" / "painter.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"painter")
    services = build_services(
        worker_factories={"fake": worker},
        models_dirs=[folder / "models"],
        outputs_dir=folder / "outputs",
        data_dir=folder / "data",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        yield services
    services.close()


def client_of(services: Services, security: Security) -> TestClient:
    """A client of the page mounted on the API, as the server runs it."""

    async def mount() -> FastAPI:  # inside a loop, as otherwise Gradio makes loops of its own and leaves them open
        return ui.app.mount(create_app(services, security), services)

    return TestClient(asyncio.run(mount()), base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def page(mounted: Services) -> Iterator[TestClient]:
    """Without login."""
    with client_of(mounted, Security()) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(mounted: Services) -> Iterator[TestClient]:
    """With login, and with a small limit for bodies."""
    with client_of(mounted, Security(users={"alice": "pw"}, max_body_bytes=50_000)) as client:
        yield client


def test_the_page_and_the_api_live_side_by_side(page: TestClient) -> None:
    assert "<html" in page.get("/").text
    assert page.get("/sdapi/v1/progress").json()["progress"] == 0
    assert page.get("/sdapi/v1/no-such-call").json()["error"] == "NotFound"
    assert page.get("/sdapi/v1/txt2img").status_code == 405
    assert "/sdapi/v1/txt2img" in page.get("/openapi.json").json()["paths"]


def run(page: TestClient, function: int, data: list[Any]) -> None:
    """Calls one of the page's functions as its own script does, and waits for the end."""
    session = f"session {function} {len(json.dumps(data))}"
    body = {"data": data, "fn_index": function, "session_hash": session, "trigger_id": None, "event_data": None}
    page.post(f"/gradio_api/run/{function}", json=body)
    if page.post("/gradio_api/queue/join", json=body).status_code == 200:
        page.get("/gradio_api/queue/data", params={"session_hash": session})


def test_gradio_checks_paths_although_it_is_mounted(page: TestClient) -> None:
    """Otherwise Gradio copies any path that a client claims to have uploaded into its cache."""
    mounts = [route for route in page.app.routes if isinstance(route, Mount) and hasattr(route.app, "get_blocks")]
    assert [mount.app.get_blocks().has_launched for mount in mounts] == [True]


def picture_values(page: TestClient, path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Every function of the page with every input that may take a picture, naming this file in every form."""
    config = page.get("/config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    defaults = {component["id"]: component["props"].get("value") for component in config["components"]}
    upload = {"path": str(path), "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    for dependency in config["dependencies"]:
        for place, component in enumerate(dependency["inputs"]):
            if kinds[component] not in ("image", "gallery", "file", "imageeditor", "uploadbutton", "html"):
                continue
            for value in (upload, str(path), {"image": str(path)}, {"image": upload}, [{"image": upload}]):
                data = [defaults[one] for one in dependency["inputs"]]
                data[place] = value
                yield dependency["id"], data


def pictures_taken(worker: FakeWorker) -> list[bytes]:
    parts = [job.request.img2img for job in worker.jobs if job.request.img2img]
    return [picture for part in parts for picture in part.init_images]


def test_no_function_of_the_page_takes_a_file_of_the_server(
    page: TestClient, worker: FakeWorker, secret: Path, folder: Path
) -> None:
    for function, data in picture_values(page, secret):
        run(page, function, data)
    copies = [file for file in (folder / "uploads").rglob("*") if file.is_file()]
    assert not any(MARK in file.read_bytes() for file in copies)
    assert not any(MARK in picture for picture in pictures_taken(worker))


def test_the_same_calls_take_what_was_uploaded(page: TestClient, worker: FakeWorker, secret: Path) -> None:
    """Without this, the test above could pass because nothing works."""
    answer = page.post("/gradio_api/upload", files={"files": ("x.png", secret.read_bytes())})
    for function, data in picture_values(page, Path(answer.json()[0])):
        run(page, function, data)
    assert any(MARK in picture for picture in pictures_taken(worker))


@pytest.mark.parametrize("prefix", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy="])
def test_the_file_route_serves_no_server_files(page: TestClient, secret: Path, prefix: str) -> None:
    for target in (
        str(secret),
        "/etc/passwd",
        "../../etc/passwd",
        f"{Path(__file__)}",
        "pyproject.toml",
        "webui.py",
    ):
        answer = page.get(prefix + target)
        assert answer.status_code >= 400, target
        assert MARK not in answer.content


@pytest.mark.parametrize("kind", ["assets", "static", "theme"])
def test_asset_routes_do_not_leave_their_folder(page: TestClient, kind: str) -> None:
    for target in ("/..%2f..%2f..%2f..%2fetc/passwd", "/../../../../etc/passwd"):
        assert "root:" not in page.get(f"/{kind}{target}").text


@pytest.mark.parametrize("host", ["localhost", "192.168.1.20:7860"])
def test_gradio_does_not_open_itself_to_foreign_pages(page: TestClient, host: str) -> None:
    headers = {"Origin": "https://evil.example", "Host": host}
    for path in ("/config", "/gradio_api/info", "/"):
        answer = page.get(path, headers=headers)
        assert "access-control-allow-origin" not in answer.headers, path
    assert page.post("/gradio_api/queue/join", json={}, headers=headers).status_code == 403


def test_login_covers_gradios_own_routes(guarded: TestClient) -> None:
    for path in (
        "/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/theme.css", "/gradio_api/heartbeat/x",
        "/gradio_api/queue/data?session_hash=x", "/gradio_api/file=/etc/passwd", "/assets/x.js", "/static/x",
    ):  # fmt: skip
        assert guarded.get(path).status_code == 401, path
    for path in (
        "/gradio_api/upload",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/gradio_api/queue/join",
        "/login",
    ):
        assert guarded.post(path, content="{}").status_code == 401, path
    assert guarded.get("/config", auth=("alice", "pw")).status_code == 200


def test_foreign_hosts_do_not_reach_the_page(page: TestClient) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        assert page.get(path, headers={"Host": "evil.example"}).status_code == 400


def test_uploads_are_counted_too(guarded: TestClient) -> None:
    big = {"files": ("big.png", b"x" * 60_000)}
    answer = guarded.post("/gradio_api/upload", files=big, auth=("alice", "pw"))
    assert answer.status_code == 413
