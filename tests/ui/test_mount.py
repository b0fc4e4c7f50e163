"""The page as it is served, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.services import Services
from ui.app import build, mount
from ui.controls import UI_MAXIMUM
from ui.theme import build_theme


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    app = mount(FastAPI(), services)
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


def components(services: Services) -> dict[str, dict[str, object]]:
    """Properties of every component that has an id, by id."""
    config = build(services).get_config_file()
    return {
        part["props"]["elem_id"]: part["props"] for part in config["components"] if part["props"].get("elem_id")
    }


def test_a_client_cannot_read_files_of_the_server(client: TestClient, services: Services) -> None:
    """Mounted Gradio pages check paths only if they believe they were launched."""
    config = client.get("/config").json()
    by_input = {part["id"]: part for part in config["components"]}
    target = next(
        dependency
        for dependency in config["dependencies"]
        if any(by_input[each]["props"].get("elem_id") == "img2img_image" for each in dependency["inputs"])
    )
    stolen = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    data = [stolen for _ in target["inputs"]]
    answer = client.post("/gradio_api/run/predict", json={"data": data, "fn_index": target["id"]})
    assert "root:" not in answer.text
    assert not re.search(r"gradio_api/file=[^\"]*passwd", answer.text)
    assert client.get("/gradio_api/file=/etc/passwd").status_code in (403, 404)


def test_the_page_believes_it_was_launched(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("ui.app.gr.mount_gradio_app", lambda app, blocks, *_, **__: seen.append(blocks) or app)
    mount(FastAPI(), services)
    assert [blocks.has_launched for blocks in seen] == [True]


@pytest.mark.parametrize(
    ("cookie", "preference", "expected"),
    [("", "dark", "dark"), ("", "light", "light"), ("light", "dark", "light"), ("nonsense", "dark", "dark")],
)
def test_the_theme_is_chosen_before_the_page_is_sent(
    client: TestClient, services: Services, cookie: str, preference: str, expected: str
) -> None:
    services.preferences.update(theme=preference)
    headers = {"cookie": f"easel-theme={cookie}"} if cookie else {}
    answer = client.get("/?view=1", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (307, f"?view=1&__theme={expected}")
    assert client.get("/?__theme=dark").status_code == 200


def test_our_scripts_are_served_and_asked_for_again(client: TestClient) -> None:
    answer = client.get("/easel-ui/stage.js")
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]
    assert answer.headers["cache-control"] == "no-cache"
    assert client.get("/easel-ui/..%2fapp.py").status_code == 404


def test_addresses_of_ours_are_relative() -> None:
    from ui.assets import FOLDER

    for script in FOLDER.glob("*.js"):
        assert not re.search(r"""["'`]/(api|easel-ui|gradio_api)""", script.read_text()), script.name


def test_ids_that_scripts_of_people_rely_on(services: Services) -> None:
    found = components(services)
    shared = "prompt neg_prompt generate interrupt skip sampling scheduler steps cfg_scale width height seed"
    for tab in ("txt2img", "img2img"):
        for name in [*shared.split(), "batch_count", "batch_size"]:
            assert f"{tab}_{name}" in found
    for name in (
        "img2img_image",
        "img2img_denoising_strength",
        "img2img_resize_mode",
        "setting_sd_model_checkpoint",
    ):
        assert name in found


def test_sliders_stay_within_what_a_request_may_hold(services: Services) -> None:
    found = components(services)
    assert (found["txt2img_steps"]["minimum"], found["txt2img_steps"]["maximum"]) == (1, UI_MAXIMUM["steps"])
    assert found["img2img_denoising_strength"]["maximum"] == 1
    assert found["txt2img_width"]["step"] == 8


def test_every_setting_has_a_control(services: Services) -> None:
    found = components(services)
    for setting in services.preferences.describe():
        assert f"setting_{setting.name}" in found


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("suffix", ["", "_dark"])
@pytest.mark.parametrize("text", ["body_text_color_subdued", "block_title_text_color", "block_info_text_color"])
@pytest.mark.parametrize("paper", ["body_background_fill", "block_background_fill"])
def test_small_text_can_be_read(text: str, paper: str, suffix: str) -> None:
    theme = build_theme()
    assert contrast(getattr(theme, text + suffix), getattr(theme, paper + suffix)) >= 4.5
