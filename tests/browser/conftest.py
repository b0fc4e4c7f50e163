"""A real server and a real Chromium. Every test gets its own server; the browser is shared."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from api.app import create_app
from api.security import Security
from scripts.screenshots import installed_chromium, launch_flags
from service.services import Services
from ui.app import mount

READY = "#txt2img_stage[data-ready]"
expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests; it ends with them, and its event loop with it."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed_chromium(), args=launch_flags())
        yield started
        started.close()


@pytest.fixture
def server(services: Services) -> Iterator[str]:
    """Address of a running Easel around `services`, whose worker is `fake_worker`."""
    services.preferences.update(preview_interval=0)  # a preview at every step that is watched
    app = mount(create_app(services, Security()), services)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, name="test-server")
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(20)
    listener.close()
    assert not thread.is_alive(), "the server did not stop"


@dataclass
class Visit:
    """Pages of one browser profile on one server, and everything that went wrong in them."""

    context: BrowserContext
    server: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """A new page, ready to be used."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("console", self._note_console)
        page.on("request", self._note_request)
        page.goto(self.server + path)
        page.wait_for_selector(READY, state="attached")
        return page

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.problems.append(f"request to the outside: {request.url}")


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Visit]:
    """A fresh browser profile. The test fails if a page reported an error or talked to another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    visit = Visit(context, server)
    yield visit
    context.close()
    assert visit.problems == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page, ready to be used."""
    return visit.open()
