"""The queue panel."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.journeys import start, wait_for
from tests.fakes import FakeWorker

JOBS = ".easel-queue .jobs > li"


def test_the_panel_lists_jobs_and_cancels_one(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    start(page, "first")
    gate.wait_until_reached()
    for prompt in ("second", "third"):
        page.fill("#txt2img_prompt textarea", prompt)
        page.click("#txt2img_generate")
        wait_for(page, "queued")
    page.get_by_role("button", name="Queue", exact=True).click()
    expect(page.locator(JOBS)).to_have_count(3)
    expect(page.locator(".easel-queue .summary")).to_have_text("1 running, 2 waiting")
    second = page.locator(JOBS, has_text="second")
    expect(second).to_contain_text("Waiting, next in line")
    second.get_by_role("button", name="Cancel").click()
    expect(second).to_have_attribute("data-state", "stopped")
    gate.open()
    expect(page.locator(JOBS, has_text="third")).to_have_attribute("data-state", "done")
    assert [job.request.prompt for job in fake_worker.jobs] == ["first", "third"]
    expect(page.locator(".easel-page-tools .count")).to_be_hidden()


def test_a_job_of_the_panel_is_put_on_the_stage(page: Page) -> None:
    for prompt in ("first", "second"):
        start(page, prompt, steps=2)
        expect(page.locator("#txt2img_results .infotext")).to_contain_text(prompt)
    page.get_by_role("button", name="Queue", exact=True).click()
    page.locator(JOBS, has_text="first").locator(".show").click()
    expect(page.locator("#txt2img_results .infotext")).to_contain_text("first")


def test_weights_follow_the_arrow_keys(page: Page) -> None:
    prompt = page.locator("#txt2img_prompt textarea")
    prompt.fill("a red apple")
    for _ in range(4):
        prompt.press("ArrowLeft")
    prompt.press("Control+ArrowUp")
    expect(prompt).to_have_value("a red (apple:1.1)")
    prompt.press("Control+ArrowUp")
    expect(prompt).to_have_value("a red (apple:1.2)")
    for _ in range(2):
        prompt.press("Control+ArrowDown")
    expect(prompt).to_have_value("a red apple")
