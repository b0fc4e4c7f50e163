"""Steps that many journeys share."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Page


def start(page: Page, prompt: str = "a red apple", steps: int = 6, tab: str = "txt2img") -> None:
    """Fill in the form and press Generate."""
    page.fill(f"#{tab}_prompt textarea", prompt)
    page.fill(f"#{tab}_steps input[type=number]", str(steps))
    page.click(f"#{tab}_generate")


def wait_for(page: Page, state: str, tab: str = "txt2img") -> None:
    """Wait until the stage is in this state."""
    page.wait_for_selector(f"#{tab}_stage[data-state={state}]")


def picture_file(folder: Path, size: tuple[int, int] = (96, 64), name: str = "start.png") -> Path:
    """A picture on disk: left half red, right half blue."""
    picture = Image.new("RGB", size, (200, 30, 30))
    picture.paste((30, 30, 200), (size[0] // 2, 0, size[0], size[1]))
    file = folder / name
    picture.save(file)
    return file
