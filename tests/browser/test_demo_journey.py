"""The real program, started as people start it, with the embedded demo model."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from generation.metadata import read_infotext
from scripts.screenshots import open_tab
from tests.browser.conftest import Visit
from tests.browser.journeys import start, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.demo]
ROOT = Path(__file__).resolve().parents[2]
WAIT = 120_000  # milliseconds; loading included, on a busy machine


@dataclass(frozen=True)
class Program:
    """A running Easel of its own process."""

    address: str
    outputs: Path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    outputs = tmp_path_factory.mktemp("outputs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "webui.py", "--port", str(port), "--outputs-dir", str(outputs)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_answering(process, address + "/healthz")
        yield Program(address, outputs)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_until_answering(process: subprocess.Popen[str], url: str) -> None:
    """Returns once the server answers. There is no event to wait for across processes."""
    for _ in range(600):
        assert process.poll() is None, process.communicate()[0]
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server did not start")


@pytest.fixture
def demo(browser: Browser, program: Program) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT)
    visit = Visit(context, program.address)
    yield visit.open()
    context.close()
    assert visit.problems == []


def test_a_newcomers_first_picture(demo: Page, program: Program) -> None:
    """Only a prompt is typed: everything else comes from the model's own defaults."""
    previews: set[str] = set()
    demo.on("response", lambda answer: previews.add(answer.url) if "/preview" in answer.url else None)
    demo.fill("#txt2img_prompt textarea", "a red apple on a blue background")
    expect(demo.locator("#txt2img_width input[type=number]")).to_have_value("128")
    demo.fill("#txt2img_steps input[type=number]", "60")  # long enough to watch
    demo.click("#txt2img_generate")
    wait_for(demo, "done")
    assert len(previews) >= 3
    expect(demo.locator("#txt2img_stage img")).to_have_attribute("src", re.compile("images/0$"))
    [saved] = program.outputs.glob("*-*-*/*.png")
    png = saved.read_bytes()
    assert read_infotext(png).infotext.startswith("a red apple on a blue background\nSteps: 60")
    with Image.open(io.BytesIO(png)) as picture:
        red, _, blue = picture.convert("RGB").getpixel((3, 3))
    assert blue > red + 40


def test_a_reload_in_mid_job_finds_the_job_again(demo: Page) -> None:
    start(demo, "a dog", steps=150)
    demo.wait_for_selector("#txt2img_stage[data-state=running]")
    demo.reload()
    demo.wait_for_selector("#txt2img_stage[data-ready]", state="attached")
    wait_for(demo, "running")
    demo.click("#txt2img_interrupt")
    wait_for(demo, "stopped")
    expect(demo.locator("#txt2img_gallery img")).to_have_count(1)


def test_a_picture_is_painted_over(demo: Page, program: Program) -> None:
    before = len(list(program.outputs.glob("*-*-*/*.png")))
    start(demo, "a pizza", steps=6)
    wait_for(demo, "done")
    demo.click(".easel-details button.send >> visible=true")
    open_tab(demo, "img2img")
    start(demo, "a green frog", steps=6, tab="img2img")
    wait_for(demo, "done", "img2img")
    expect(demo.locator("#img2img_gallery img")).to_have_count(1)
    assert len(list(program.outputs.glob("*-*-*/*.png"))) == before + 2
