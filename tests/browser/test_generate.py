"""From a prompt to a picture, in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import Visit
from tests.browser.journeys import start, wait_for
from tests.fakes import FakeWorker

STAGE = "#txt2img_stage"
PICTURE = "#txt2img_stage img"


def test_the_picture_appears_out_of_the_noise_and_stays(
    page: Page, fake_worker: FakeWorker, services: Services
) -> None:
    before, *gates = [fake_worker.hold_at(step) for step in (0, 1, 3, 5)]
    start(page)
    page.wait_for_selector(f"{STAGE}[data-state=running]")  # watching: previews are made from now on
    before.open()
    previews = set()
    for gate in gates:
        gate.wait_until_reached()
        page.wait_for_selector(f"{STAGE}[data-state=running][data-step='{gate.step}']")
        page.wait_for_function(
            "seen => { const img = document.querySelector('#txt2img_stage img');"
            " return !img.hidden && img.complete && img.naturalWidth > 0 && !seen.includes(img.src) }",
            arg=list(previews),
        )
        previews.add(page.locator(PICTURE).get_attribute("src"))
        gate.open()
    wait_for(page, "done")
    assert len(previews) == 3
    assert all("/preview" in str(url) for url in previews)
    expect(page.locator(PICTURE)).to_have_count(1)
    expect(page.locator(PICTURE)).to_have_attribute("src", re.compile("images/0$"))
    expect(page.locator("#txt2img_gallery img")).to_have_count(1)
    expect(page.locator(".easel-details .infotext").first).to_contain_text("Steps: 6, Sampler: DPM++ 2M")
    [row] = services.history.recent()
    assert (row.prompt, row.path.exists()) == ("a red apple", True)


def test_what_the_form_says_is_what_is_made(page: Page, fake_worker: FakeWorker) -> None:
    page.fill("#txt2img_neg_prompt textarea", "blur")
    for name, value in {"cfg_scale": "4.5", "width": "256", "height": "320", "batch_size": "2"}.items():
        page.fill(f"#txt2img_{name} input[type=number]", value)
    page.fill("#txt2img_seed input", "77")
    start(page, "two pears", 3)
    wait_for(page, "done")
    [job] = fake_worker.jobs
    asked = job.request
    assert (asked.prompt, asked.negative_prompt, asked.steps, asked.seed) == ("two pears", "blur", 3, 77)
    assert (asked.cfg_scale, asked.width, asked.height, asked.batch_size) == (4.5, 256, 320, 2)
    expect(page.locator("#txt2img_gallery img")).to_have_count(2)


def test_interrupt_keeps_what_is_there(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(2)
    start(page, steps=50)
    gate.wait_until_reached()
    page.wait_for_selector(f"{STAGE}[data-state=running]")
    page.click("#txt2img_interrupt")
    wait_for(page, "stopped")
    expect(page.locator("#txt2img_gallery img")).to_have_count(1)
    assert fake_worker.stepped[-1][1] <= 3


def test_skip_goes_on_with_the_next_picture(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(2)
    page.fill("#txt2img_batch_count input[type=number]", "2")
    start(page, steps=9)
    gate.wait_until_reached()
    page.wait_for_selector(f"{STAGE}[data-state=running]")
    page.click("#txt2img_skip")
    wait_for(page, "done")
    expect(page.locator("#txt2img_gallery img")).to_have_count(2)


def test_a_reload_in_mid_job_changes_nothing(page: Page, fake_worker: FakeWorker) -> None:
    before, gate = fake_worker.hold_at(0), fake_worker.hold_at(3)
    start(page)
    page.wait_for_selector(f"{STAGE}[data-state=running]")
    before.open()
    page.wait_for_selector(f"{STAGE}[data-step='3']")
    page.reload()
    page.wait_for_selector(f"{STAGE}[data-state=running][data-step='3']")
    expect(page.locator(PICTURE)).to_be_visible()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a red apple")
    gate.open()
    wait_for(page, "done")
    expect(page.locator("#txt2img_gallery img")).to_have_count(1)


def test_a_second_page_sees_the_job_and_its_result(visit: Visit, page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(3)
    start(page)
    gate.wait_until_reached()
    second = visit.open()
    second.wait_for_selector(f"{STAGE}[data-state=running][data-step='3']")
    gate.open()
    for each in (page, second):
        wait_for(each, "done")
        expect(each.locator("#txt2img_gallery img")).to_have_count(1)
    third = visit.open()
    wait_for(third, "done")


def test_generate_while_one_is_running_queues_another(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    start(page, "first")
    gate.wait_until_reached()
    page.wait_for_selector(f"{STAGE}[data-state=running]")
    page.fill("#txt2img_prompt textarea", "second")
    page.click("#txt2img_generate")
    wait_for(page, "queued")
    expect(page.locator(f"{STAGE} .queue-badge")).to_have_text("1 running, 1 waiting")
    gate.open()
    wait_for(page, "done")
    assert [job.request.prompt for job in fake_worker.jobs] == ["first", "second"]


def test_a_waiting_job_can_be_cancelled(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    start(page, "first")
    gate.wait_until_reached()
    page.wait_for_selector(f"{STAGE}[data-state=running]")
    page.fill("#txt2img_prompt textarea", "second")
    page.click("#txt2img_generate")
    wait_for(page, "queued")
    page.click(f"{STAGE} .cancel")
    wait_for(page, "stopped")
    gate.open()
    assert [job.request.prompt for job in fake_worker.jobs] == ["first"]


def test_hires_fix_is_asked_for_by_its_accordion(page: Page, fake_worker: FakeWorker) -> None:
    page.click("#txt2img_hr > button")
    page.check("#txt2img_enable_hr input")
    for name, value in {"hr_scale": "1.5", "hires_steps": "7", "denoising_strength": "0.4"}.items():
        page.fill(f"#txt2img_{name} input[type=number]", value)
    start(page, "two pears", 3)
    wait_for(page, "done")
    hires = fake_worker.jobs[-1].request.hires
    assert hires is not None
    assert (hires.scale, hires.steps, hires.denoising_strength, hires.upscaler) == (1.5, 7, 0.4, "Latent")
