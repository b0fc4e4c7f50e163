"""The tab with all saved pictures."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from scripts.screenshots import open_tab
from service.services import Services
from tests.browser.journeys import start, wait_for

TILES = "#history .pictures button"


def test_every_picture_is_there_and_can_be_sent_back(page: Page) -> None:
    page.fill("#txt2img_batch_count input[type=number]", "3")
    page.fill("#txt2img_seed input", "40")
    start(page, "a red apple", 2)
    wait_for(page, "done")
    page.fill("#txt2img_prompt textarea", "something else")
    open_tab(page, "History")
    expect(page.locator(TILES)).to_have_count(3)
    page.locator(TILES).last.click()
    expect(page.locator("#history dialog .infotext")).to_contain_text("Seed: 40")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#history dialog .infotext")).to_contain_text("Seed: 41")
    page.click("#history [data-send=txt2img]")
    expect(page.locator("#txt2img_prompt textarea")).to_be_visible()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a red apple")
    expect(page.locator("#txt2img_seed input")).to_have_value("41")
    open_tab(page, "History")
    page.locator(TILES).first.click()
    page.click("#history [data-send=img2img]")
    page.wait_for_selector("#img2img_image [data-state=ready]")


def test_many_pictures_come_a_page_at_a_time(page: Page, services: Services) -> None:
    page.fill("#txt2img_batch_count input[type=number]", "70")
    start(page, "many", 1)
    wait_for(page, "done")
    assert services.history.count() == 70
    open_tab(page, "History")
    expect(page.locator("#history .count")).to_have_text("70 pictures")
    expect(page.locator(TILES)).to_have_count(60)
    page.click("#history .more")
    expect(page.locator(TILES)).to_have_count(70)
    expect(page.locator("#history .more")).to_be_hidden()


def test_an_empty_history_says_so(page: Page) -> None:
    open_tab(page, "History")
    expect(page.locator("#history .nothing")).to_be_visible()


def test_a_picture_made_since_is_there_when_the_tab_is_opened_again(page: Page) -> None:
    for count in (1, 2):
        open_tab(page, "txt2img")
        start(page, f"number {count}", 2)
        wait_for(page, "done")
        expect(page.locator(".easel-details .infotext").first).to_contain_text(f"number {count}")
        open_tab(page, "History")
        expect(page.locator(TILES)).to_have_count(count)
