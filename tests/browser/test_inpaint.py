"""The mask over the picture, in a real browser."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from generation.request import Inpaint, MaskedContent
from scripts.screenshots import open_tab
from tests.browser.journeys import picture_file, start
from tests.fakes import FakeWorker

READY = "#img2img_image [data-state=ready]"
CANVAS = "#img2img_image canvas"


@pytest.fixture
def easel(page: Page, tmp_path: Path) -> Page:
    """img2img with a picture of 1200 x 800 and the brush at hand."""
    open_tab(page, "img2img")
    page.set_input_files("#img2img_image .drop input", picture_file(tmp_path, (1200, 800)))
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Paint a mask").click()
    return page


def paint(page: Page, start_at: tuple[float, float], end_at: tuple[float, float]) -> None:
    """A stroke; places are shares of the picture's width and height."""
    box = page.locator(CANVAS).bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = (
        (box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]) for place in (start_at, end_at)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=5)
    page.mouse.up()
    page.wait_for_selector(READY)


def made(page: Page, worker: FakeWorker) -> Inpaint | None:
    """The mask part of the request that Generate sends now."""
    gate = worker.hold_at(0)
    start(page, "a boat", 1, "img2img")
    gate.wait_until_reached()
    gate.open()
    img2img = worker.jobs[-1].request.img2img
    assert img2img is not None
    return img2img.inpaint


def mask_of(inpaint: Inpaint | None) -> Image.Image:
    assert inpaint is not None
    return Image.open(io.BytesIO(inpaint.mask)).convert("L")


def test_what_is_painted_is_white_at_full_resolution(easel: Page, fake_worker: FakeWorker) -> None:
    paint(easel, (0.25, 0.5), (0.5, 0.5))
    inpaint = made(easel, fake_worker)
    mask = mask_of(inpaint)
    assert mask.size == (1200, 800)
    assert mask.getpixel((450, 400)) == 255
    assert mask.getpixel((1000, 400)) == 0
    assert inpaint is not None
    assert (inpaint.content, inpaint.blur_x, inpaint.only_masked) == (MaskedContent.ORIGINAL, 4, False)
    assert len(inpaint.mask) < 50_000


def test_eraser_undo_redo_invert_and_clear(easel: Page, fake_worker: FakeWorker) -> None:
    paint(easel, (0.2, 0.5), (0.8, 0.5))
    easel.get_by_role("button", name="Eraser").click()
    paint(easel, (0.5, 0.5), (0.55, 0.5))
    assert mask_of(made(easel, fake_worker)).getpixel((620, 400)) == 0
    for button, expected in (("Undo", 255), ("Redo", 0), ("Invert", 255)):
        easel.get_by_role("button", name=button).click()
        easel.wait_for_selector(READY)
        assert mask_of(made(easel, fake_worker)).getpixel((620, 400)) == expected
    easel.get_by_role("button", name="Clear").click()
    easel.wait_for_selector(READY)
    assert made(easel, fake_worker) is None


def test_a_mask_can_come_from_a_file(easel: Page, fake_worker: FakeWorker, tmp_path: Path) -> None:
    mask = Image.new("L", (120, 80), 0)
    mask.paste(255, (0, 0, 60, 80))
    mask.save(tmp_path / "mask.png")
    easel.set_input_files("#img2img_image .brush input[type=file]", tmp_path / "mask.png")
    easel.wait_for_selector(READY)
    sent = mask_of(made(easel, fake_worker))
    assert (sent.size, sent.getpixel((100, 400)), sent.getpixel((1100, 400))) == ((1200, 800), 255, 0)


def test_keys_undo_and_redo(easel: Page, fake_worker: FakeWorker) -> None:
    paint(easel, (0.2, 0.5), (0.8, 0.5))
    easel.locator(CANVAS).focus()
    easel.keyboard.press("Control+z")
    easel.wait_for_selector(READY)
    assert made(easel, fake_worker) is None
    easel.locator(CANVAS).focus()
    easel.keyboard.press("Control+y")
    easel.wait_for_selector(READY)
    assert mask_of(made(easel, fake_worker)).getpixel((600, 400)) == 255


def test_the_options_of_the_mask_are_sent(easel: Page, fake_worker: FakeWorker) -> None:
    paint(easel, (0.2, 0.5), (0.8, 0.5))
    easel.get_by_role("button", name="Mask ▼").click()
    easel.fill("#img2img_mask_blur input[type=number]", "9")
    easel.get_by_label("Only the masked area").check()
    easel.fill("#img2img_inpaint_full_res_padding input[type=number]", "64")
    inpaint = made(easel, fake_worker)
    assert inpaint is not None
    assert (inpaint.blur_x, inpaint.blur_y, inpaint.only_masked, inpaint.padding) == (9, 9, True, 64)
