"""The page: its tabs in order, and how it is mounted on the application."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from fastapi import FastAPI, Request

from service.services import Services
from ui import (
    assets,
    history_tab,
    img2img_tab,
    model_choice,
    page,
    pasting,
    png_info_tab,
    sending,
    settings_tab,
    theme,
    top_bar,
    txt2img_tab,
    visitor,
    workbench,
)
from ui.workbench import QUIET, Workbench

UPLOADS_KEPT_SECONDS = 86400
Made = TypeVar("Made")


def build(services: Services) -> gr.Blocks:
    """The whole page. It only shows and submits: jobs, pictures and settings belong to the services."""
    return _within_loop(lambda: _build(services))


def _build(services: Services) -> gr.Blocks:
    with gr.Blocks(
        title="easel",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(3600, UPLOADS_KEPT_SECONDS),
    ) as blocks:
        top = top_bar.build(services)
        with gr.Tabs(elem_id="easel_tabs") as tabs:
            with gr.Tab("txt2img", id="txt2img", elem_id="tab_txt2img"):
                txt2img = txt2img_tab.build(services, top.checkpoint)
            with gr.Tab("img2img", id="img2img", elem_id="tab_img2img"):
                img2img = img2img_tab.build(services, top.checkpoint)
            with gr.Tab("History", id="history", elem_id="tab_history") as history:
                benches = {"txt2img": txt2img, "img2img": img2img}
                history_tab.build(services, history, benches, top.checkpoint, tabs)
            with gr.Tab("PNG Info", id="pnginfo", elem_id="tab_pnginfo"):
                png_info_tab.build(services, (txt2img, img2img), top.checkpoint, tabs)
            with gr.Tab("Settings", id="settings", elem_id="tab_settings"):
                settings_tab.build(services, blocks)
        top_bar.wire_refresh(top, services)
        for bench in (txt2img, img2img):
            _restore_on_load(blocks, bench, services)
            pasting.wire(bench, bench.paste, top.checkpoint, services)
            sending.wire(bench, img2img, tabs, services)
        model_choice.wire(blocks, top, (txt2img, img2img), services)
    return blocks


def _restore_on_load(blocks: gr.Blocks, bench: Workbench, services: Services) -> None:
    def load(draft: Any, request: gr.Request) -> list[Any]:
        return workbench.restored(bench, services, draft, visitor.owner_of(request))

    blocks.load(load, bench.draft, [bench.stage, *bench.controls.values()], **QUIET)


def mount(app: FastAPI, services: Services, *, root_path: str = "") -> FastAPI:
    """The application with the page at "/". Routes added before keep their place; nothing may be added after."""
    return _within_loop(lambda: _mount(app, services, root_path))


def _mount(app: FastAPI, services: Services, root_path: str) -> FastAPI:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    blocks = build(services)
    # A mounted page skips Gradio's check of file paths unless it believes it was launched: without this line
    # any client could read any file of the server.
    blocks.has_launched = True
    page.serve(app, lambda: services.preferences.get().theme)
    return gr.mount_gradio_app(
        app,
        blocks,
        "/",
        theme=theme.build_theme(),
        css_paths=sorted(assets.FOLDER.glob("*.css")),
        head=assets.markup("head.html"),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=True,
        max_file_size=services.limits.max_upload_bytes,
        root_path=root_path or None,
        auth_dependency=_signed_in,
    )


def _within_loop(make: Callable[[], Made]) -> Made:
    """What `make` returns. Gradio opens event loops that it never closes wherever none is running."""

    async def run() -> Made:
        return make()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run())
    return make()


def _signed_in(request: Request) -> str | None:
    """The name that the application's gate put into the request; "" where nobody has to sign in."""
    return request.scope.get("state", {}).get("user") or ""
