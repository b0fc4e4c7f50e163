"""From a picture to a picture, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.screenshots import open_tab
from tests.browser.journeys import picture_file, start, wait_for
from tests.fakes import FakeWorker


def test_a_picture_is_sent_whole_and_untouched(page: Page, fake_worker: FakeWorker, tmp_path: Path) -> None:
    file = picture_file(tmp_path, (1500, 1000))
    open_tab(page, "img2img")
    page.set_input_files("#img2img_image input[type=file]", file)
    page.wait_for_selector("#img2img_image [data-state=ready]")
    page.fill("#img2img_denoising_strength input[type=number]", "0.4")
    start(page, "a harbour", tab="img2img")
    wait_for(page, "done", "img2img")
    [job] = fake_worker.jobs
    img2img = job.request.img2img
    assert img2img is not None
    assert img2img.init_images == (file.read_bytes(),)
    assert img2img.denoising_strength == 0.4
    expect(page.locator("#img2img_gallery img")).to_have_count(1)
    expect(page.locator("#txt2img_gallery img")).to_have_count(0)


def test_the_form_takes_the_size_of_the_picture(page: Page, tmp_path: Path) -> None:
    open_tab(page, "img2img")
    page.set_input_files("#img2img_image input[type=file]", picture_file(tmp_path, (300, 203)))
    page.click("text=Use its size")
    expect(page.locator("#img2img_width input[type=number]")).to_have_value("304")
    expect(page.locator("#img2img_height input[type=number]")).to_have_value("200")


def test_without_a_picture_it_says_what_is_missing(page: Page, fake_worker: FakeWorker) -> None:
    open_tab(page, "img2img")
    page.click("#img2img_generate")
    wait_for(page, "error", "img2img")
    expect(page.locator("#img2img_stage .trouble")).to_contain_text("There is no picture to start from.")
    assert fake_worker.jobs == []


def test_a_file_that_is_no_picture_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "notes.png"
    file.write_text("not a picture")
    open_tab(page, "img2img")
    page.set_input_files("#img2img_image input[type=file]", file)
    expect(page.locator("#img2img_image .problem")).to_contain_text("notes.png could not be used")


def test_a_result_is_sent_to_img2img_with_its_settings(page: Page, fake_worker: FakeWorker) -> None:
    page.fill("#txt2img_cfg_scale input[type=number]", "3.5")
    start(page, "a red apple", 4)
    wait_for(page, "done")
    page.click("#txt2img_results .send")
    page.wait_for_selector("#img2img_image [data-state=ready]")
    expect(page.locator("#img2img_prompt textarea")).to_have_value("a red apple")
    page.click("#img2img_generate")
    wait_for(page, "done", "img2img")
    first, second = (job.request for job in fake_worker.jobs)
    assert second.img2img is not None
    assert (second.cfg_scale, second.steps, second.seed) == (3.5, 4, first.seed)
