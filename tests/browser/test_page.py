"""What the page does besides making pictures: models, settings, keyboard, theme, phones, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from generation.errors import OutOfMemory
from scripts.screenshots import open_tab
from service.services import Services
from tests.browser.conftest import Visit
from tests.browser.journeys import start, wait_for
from tests.fakes import FakeWorker

MODEL = "#setting_sd_model_checkpoint input"


@pytest.fixture
def models_dir(models_dir: Path) -> Path:
    """A second model that has opinions of its own."""
    folder = models_dir / "sketcher"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"sketcher")
    opinions = {"native_size": 128, "default_steps": 7, "example_prompts": ["a pencil on a desk"]}
    (folder / "easel.json").write_text(json.dumps(opinions))
    return models_dir


def choose_model(page: Page, name: str) -> None:
    page.click(MODEL)
    page.get_by_role("option", name=name).click()


def test_choosing_a_model_brings_its_own_settings(page: Page, fake_worker: FakeWorker, services: Services) -> None:
    page.fill("#txt2img_cfg_scale input[type=number]", "5")
    choose_model(page, "sketcher")
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("128")
    expect(page.locator("#txt2img_height input[type=number]")).to_have_value("128")
    expect(page.locator("#txt2img_steps input[type=number]")).to_have_value("7")
    expect(page.locator("#txt2img_cfg_scale input[type=number]")).to_have_value("5")
    page.click("text=a pencil on a desk")
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a pencil on a desk")
    page.click("#txt2img_generate")
    wait_for(page, "done")
    assert fake_worker.jobs[0].checkpoint.name == "sketcher"
    assert services.preferences.get().sd_model_checkpoint.startswith("sketcher")


def test_refresh_finds_a_new_model(page: Page, models_dir: Path) -> None:
    (models_dir / "Stable-diffusion" / "latest.safetensors").write_bytes(b"latest")
    page.click("#refresh_sd_model_checkpoint")
    page.wait_for_load_state()
    page.click(MODEL)
    expect(page.get_by_role("option", name="latest.safetensors")).to_be_visible()


def test_an_error_is_a_sentence_with_a_hint(page: Page, fake_worker: FakeWorker) -> None:
    fake_worker.fail_with = OutOfMemory("The device has no memory left for 512x512.", "Try a smaller size.")
    start(page)
    wait_for(page, "error")
    expect(page.locator("#txt2img_stage .trouble")).to_contain_text("no memory left for 512x512")
    expect(page.locator("#txt2img_stage .trouble")).to_contain_text("Try a smaller size.")
    fake_worker.fail_with = None
    page.click("#txt2img_generate")
    wait_for(page, "done")
    expect(page.locator("#txt2img_stage .trouble")).to_be_hidden()


def test_a_bad_value_is_refused_before_there_is_a_job(page: Page, fake_worker: FakeWorker) -> None:
    page.fill("#txt2img_width input[type=number]", "500")
    page.click("#txt2img_generate")
    wait_for(page, "error")
    expect(page.locator("#txt2img_stage .trouble")).to_contain_text("500")
    expect(page.get_by_test_id("toast-body")).to_contain_text("500")
    assert fake_worker.jobs == []


def test_what_people_typed_is_never_html(page: Page, fake_worker: FakeWorker) -> None:
    fake_worker.fail_with = OutOfMemory("<img src=x onerror=alert(1)>", "<b>hint</b>")
    start(page, "<script>alert(1)</script>")
    wait_for(page, "error")
    expect(page.locator("#txt2img_stage .trouble")).to_have_text("<img src=x onerror=alert(1)><b>hint</b>")


def test_the_keyboard_is_enough(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    prompt = page.locator("#txt2img_prompt textarea")
    prompt.fill("first line")
    prompt.press("Enter")
    assert fake_worker.jobs == []
    prompt.press_sequentially("second line")
    prompt.press("Control+Enter")
    gate.wait_until_reached()
    page.wait_for_selector("#txt2img_stage[data-state=running]")
    prompt.press("Escape")
    wait_for(page, "stopped")
    assert fake_worker.jobs[0].request.prompt == "first line\nsecond line"


def test_alt_enter_skips(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(1)
    page.fill("#txt2img_batch_count input[type=number]", "2")
    start(page, steps=5)
    gate.wait_until_reached()
    page.wait_for_selector("#txt2img_stage[data-state=running]")
    page.keyboard.press("Alt+Enter")
    wait_for(page, "done")
    assert len([step for step in fake_worker.stepped if step[1] == 5]) == 1


def test_seeds_and_sizes_are_set_without_the_server(page: Page, fake_worker: FakeWorker) -> None:
    page.fill("#txt2img_seed input", "1234")
    page.fill("#txt2img_width input[type=number]", "256")
    page.click("#txt2img_swap")
    expect(page.locator("#txt2img_height input[type=number]")).to_have_value("256")
    expect(page.locator("#txt2img_width input[type=number]")).to_have_value("512")
    start(page, steps=2)
    wait_for(page, "done")
    page.click("#txt2img_random_seed")
    expect(page.locator("#txt2img_seed input")).to_have_value("-1")
    page.click("#txt2img_reuse_seed")
    expect(page.locator("#txt2img_seed input")).to_have_value("1234")


def test_settings_are_saved_and_still_there_after_a_reload(page: Page, services: Services) -> None:
    open_tab(page, "Settings")
    page.fill("#setting_preview_size input[type=number]", "256")
    page.fill("#setting_file_name_pattern input, #setting_file_name_pattern textarea", "[seed]")
    page.click("#settings_save")
    expect(page.locator("#settings_note")).to_contain_text("Saved.")
    assert (services.preferences.get().preview_size, services.preferences.get().file_name_pattern) == (
        256,
        "[seed]",
    )
    page.reload()
    open_tab(page, "Settings")
    expect(page.locator("#setting_preview_size input[type=number]")).to_have_value("256")


def test_settings_can_be_searched(page: Page) -> None:
    open_tab(page, "Settings")
    page.fill("#settings_search input", "preview")
    expect(page.locator("#setting_preview_size")).to_be_visible()
    expect(page.locator("#setting_file_name_pattern")).to_be_hidden()


def test_dark_is_the_default_and_the_choice_is_kept(page: Page, visit: Visit) -> None:
    assert "__theme=dark" in page.url
    expect(page.locator("body")).to_have_class("dark")
    page.get_by_role("button", name="Use the light theme").click()
    expect(page.locator("body")).not_to_have_class("dark")
    again = visit.open("/")
    assert "__theme=light" in again.url
    expect(again.locator("body")).not_to_have_class("dark")


def test_the_title_tells_how_far_it_is(page: Page, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(3)
    start(page, steps=6)
    gate.wait_until_reached()
    expect(page).to_have_title("50% · easel")
    gate.open()
    wait_for(page, "done")
    expect(page).to_have_title("easel")


def test_a_missing_file_is_explained(browser: Browser, page: Page, server: str, services: Services) -> None:
    start(page, steps=2)
    wait_for(page, "done")
    [row] = services.history.recent()
    row.path.unlink()
    context = browser.new_context()  # with an empty cache
    again = Visit(context, server).open()
    expect(again.locator("#txt2img_stage .trouble")).to_contain_text("This picture could not be loaded.")
    expect(again.locator("#txt2img_gallery .missing")).to_have_count(1)
    context.close()


def test_full_size_opens_and_closes(page: Page) -> None:
    page.fill("#txt2img_batch_count input[type=number]", "2")
    start(page, steps=2)
    wait_for(page, "done")
    page.click("#txt2img_stage .enlarge")
    big = page.locator("#txt2img_results dialog img")
    expect(big).to_be_visible()
    first = big.get_attribute("src")
    page.keyboard.press("ArrowRight")
    expect(big).not_to_have_attribute("src", str(first))
    page.keyboard.press("Escape")
    expect(big).to_be_hidden()


@pytest.mark.parametrize("tab", ["txt2img", "img2img", "History", "Settings"])
@pytest.mark.parametrize("width", [390, 1024])
def test_nothing_overflows(browser: Browser, server: str, tab: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = Visit(context, server).open()
    open_tab(page, tab)
    expect(page.locator(f"#tab_{tab.lower()}")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()


def test_on_a_phone_the_picture_comes_first_and_generate_is_at_hand(browser: Browser, server: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = Visit(context, server).open()
    stage = page.locator("#txt2img_stage").bounding_box()
    prompt = page.locator("#txt2img_prompt").bounding_box()
    button = page.locator("#txt2img_generate").bounding_box()
    assert stage
    assert prompt
    assert button
    assert stage["y"] < prompt["y"]
    assert 700 < button["y"] < button["y"] + button["height"] <= 844
    context.close()
