"""Take the pictures of docs/images from a running Easel: every tab, dark, light and on a phone.

    python -m scripts.screenshots --url http://127.0.0.1:7860 [--out docs/images] [--prompt "a red apple"]

Start Easel first, with a model; the pictures show what it really makes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

READY = "#txt2img_stage[data-ready]"
DESK, PHONE = (1440, 900), (390, 844)
FINISHED = "#{tab}_stage[data-state=done], #{tab}_stage[data-state=error]"
LONG = 600_000  # milliseconds: a picture on a slow machine


def generate(page: Page, prompt: str, seed: int = 1, tab: str = "txt2img") -> None:
    """Make one picture and wait until it is there."""
    page.fill(f"#{tab}_prompt textarea", prompt)
    page.fill(f"#{tab}_seed input", str(seed))
    page.click(f"#{tab}_generate")
    page.wait_for_selector(f"#{tab}_stage[data-state=running], #{tab}_stage[data-state=queued]")
    page.wait_for_selector(FINISHED.format(tab=tab), timeout=LONG)
    page.wait_for_selector(f"#{tab}_stage .frame > img:not([hidden])")


def in_mid_job(page: Page, prompt: str) -> None:
    """Stand still while a picture is being made."""
    page.fill("#txt2img_prompt textarea", prompt)
    page.fill("#txt2img_steps input[type=number]", "60")
    page.click("#txt2img_generate")
    page.wait_for_function(
        "() => Number(document.querySelector('#txt2img_stage').dataset.step) >= 24", timeout=LONG
    )


def installed_chromium() -> str | None:
    """Path of the Chromium or Chrome of this machine (or the one in $CHROMIUM); None if there is none."""
    names = [os.environ.get("CHROMIUM") or "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next(filter(None, map(shutil.which, names)), None)


def launch_flags() -> list[str]:
    """Flags for a Chromium without a screen; its sandbox does not work for root."""
    return ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def open_tab(page: Page, name: str) -> None:
    """Open a tab and wait until it is there; on a phone most are behind a menu."""
    page.wait_for_selector("button[role=tab]")
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
    page.locator(f"#tab_{name.lower().replace(' ', '')}").wait_for()


def inpaint(page: Page, prompt: str) -> None:
    """Send the newest picture to img2img, paint a stroke over it and repaint it."""
    page.click("#txt2img_results .send")
    page.wait_for_selector("#img2img_image [data-state=ready]")
    page.get_by_role("button", name="Paint a mask").click()
    box = page.locator("#img2img_image canvas").bounding_box()
    if box is not None:
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.35)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.4, steps=12)
        page.mouse.up()
    page.wait_for_selector("#img2img_image [data-state=ready]")
    generate(page, prompt, 2, "img2img")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--prompt", default="a red apple on a blue background")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_chromium(), args=launch_flags())
        take_all(browser, arguments.url, arguments.out, arguments.prompt)
        browser.close()


def take_all(browser: Browser, url: str, out: Path, prompt: str) -> None:
    """One file for each view; later ones use the pictures that earlier ones made."""

    def png_info(page: Page) -> None:
        with page.expect_download() as download, tempfile.TemporaryDirectory() as folder:
            page.click("#txt2img_results .download")
            file = Path(folder) / "picture.png"
            download.value.save_as(file)
            open_tab(page, "PNG Info")
            page.set_input_files("#pnginfo_image input[type=file]", file)
            page.wait_for_function("() => document.querySelector('#pnginfo_text textarea').value")

    def queue(page: Page) -> None:
        for name in (prompt, f"{prompt}, again"):
            page.fill("#txt2img_prompt textarea", name)
            page.click("#txt2img_generate")
            page.wait_for_selector("#txt2img_stage[data-state=queued], #txt2img_stage[data-state=running]")
        page.get_by_role("button", name="Queue", exact=True).click()
        page.locator(".easel-queue .jobs > li").nth(1).wait_for()

    def history(page: Page) -> None:
        open_tab(page, "History")
        page.wait_for_function(
            "() => { const tiles = [...document.querySelectorAll('#history .pictures img')];"
            " return tiles.length && tiles.every((tile) => tile.complete && tile.naturalWidth) }"
        )

    def tab(name: str) -> Callable[[Page], None]:
        return lambda page: open_tab(page, name)

    def finished(page: Page) -> None:
        page.wait_for_selector(FINISHED.format(tab="txt2img"))

    views: list[tuple[str, tuple[int, int], str, Callable[[Page], None]]] = [
        ("empty_dark", DESK, "dark", lambda page: None),
        ("txt2img_dark", DESK, "dark", lambda page: generate(page, prompt)),
        ("txt2img_light", DESK, "light", finished),
        ("inpaint_dark", DESK, "dark", lambda page: inpaint(page, prompt)),
        ("img2img_dark", DESK, "dark", tab("img2img")),
        ("img2img_light", DESK, "light", tab("img2img")),
        ("pnginfo_dark", DESK, "dark", png_info),
        ("pnginfo_light", DESK, "light", png_info),
        ("history_dark", DESK, "dark", history),
        ("history_light", DESK, "light", history),
        ("settings_dark", DESK, "dark", tab("Settings")),
        ("settings_light", DESK, "light", tab("Settings")),
        ("phone_dark", PHONE, "dark", finished),
        ("phone_light", PHONE, "light", finished),
        ("phone_img2img_dark", PHONE, "dark", tab("img2img")),
        ("phone_pnginfo_dark", PHONE, "dark", png_info),
        ("phone_history_light", PHONE, "light", history),
        ("phone_settings_dark", PHONE, "dark", tab("Settings")),
        ("running_dark", DESK, "dark", lambda page: in_mid_job(page, prompt)),
        ("queue_dark", DESK, "dark", queue),
    ]
    for name, (width, height), theme, act in views:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.goto(f"{url}/?__theme={theme}")
        page.wait_for_selector(READY)
        act(page)
        page.evaluate("() => Promise.all([...document.images].map((each) => each.decode().catch(() => {})))")
        page.screenshot(path=out / f"{name}.png")
        print(out / f"{name}.png")
        context.close()


if __name__ == "__main__":
    main()
