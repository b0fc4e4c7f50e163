"""From a picture's metadata back into the form."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.screenshots import open_tab
from tests.browser.journeys import start, wait_for
from tests.fakes import FakeWorker, png_of

INFOTEXT = (
    "two green pears\nNegative prompt: blur\nSteps: 9, Sampler: Euler a, Schedule type: Karras, "
    "CFG scale: 4.5, Seed: 77, Size: 256x192, Model: elsewhere, Model hash: 0123456789"
)


def picture_with(infotext: str, folder: Path) -> Path:
    file = folder / "made.png"
    file.write_bytes(png_of((1, 2, 3), infotext=infotext))
    return file


def test_a_picture_brings_its_parameters_back(page: Page, fake_worker: FakeWorker, tmp_path: Path) -> None:
    open_tab(page, "PNG Info")
    page.set_input_files("#pnginfo_image input[type=file]", picture_with(INFOTEXT, tmp_path))
    expect(page.locator("#pnginfo_text textarea")).to_have_value(INFOTEXT)
    page.click("#pnginfo_send_txt2img")
    expect(page.locator("#txt2img_prompt textarea")).to_be_visible()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("two green pears")
    expect(page.get_by_test_id("toast-body")).to_contain_text("The model 'elsewhere' is not here")
    page.click("#txt2img_generate")
    wait_for(page, "done")
    asked = fake_worker.jobs[0].request
    assert (asked.negative_prompt, asked.steps, asked.sampler, asked.schedule) == ("blur", 9, "Euler a", "Karras")
    assert (asked.cfg_scale, asked.seed, asked.width, asked.height) == (4.5, 77, 256, 192)


def test_a_picture_is_sent_to_img2img_with_its_parameters(page: Page, tmp_path: Path) -> None:
    open_tab(page, "PNG Info")
    page.set_input_files("#pnginfo_image input[type=file]", picture_with(INFOTEXT, tmp_path))
    expect(page.locator("#pnginfo_text textarea")).to_have_value(INFOTEXT)
    page.click("#pnginfo_send_img2img")
    page.wait_for_selector("#img2img_image [data-state=ready]")
    expect(page.locator("#img2img_prompt textarea")).to_have_value("two green pears")


def test_parameters_pasted_into_the_prompt_fill_the_form(page: Page) -> None:
    page.fill("#txt2img_prompt textarea", INFOTEXT)
    page.click("#txt2img_paste")
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("two green pears")
    expect(page.locator("#txt2img_steps input[type=number]")).to_have_value("9")
    expect(page.locator("#txt2img_seed input")).to_have_value("77")


def test_a_plain_prompt_is_left_alone(page: Page) -> None:
    page.fill("#txt2img_prompt textarea", "just words")
    page.click("#txt2img_paste")
    expect(page.get_by_test_id("toast-body")).to_contain_text("no generation parameters")
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("just words")


def test_a_silent_picture_says_so(page: Page, tmp_path: Path) -> None:
    open_tab(page, "PNG Info")
    page.set_input_files("#pnginfo_image input[type=file]", picture_with("", tmp_path))
    expect(page.locator("#pnginfo_text textarea")).to_have_value(
        "This picture says nothing about how it was made."
    )


def test_what_was_generated_says_how_it_was_made(page: Page, tmp_path: Path) -> None:
    start(page, "a red apple", 2)
    wait_for(page, "done")
    with page.expect_download() as download:
        page.click("#txt2img_results .download")
    file = tmp_path / "download.png"
    download.value.save_as(file)
    open_tab(page, "PNG Info")
    page.set_input_files("#pnginfo_image input[type=file]", file)
    expect(page.locator("#pnginfo_text textarea")).to_have_value(re.compile("^a red apple\n"))
