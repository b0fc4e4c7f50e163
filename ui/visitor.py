"""Who is looking at the page."""

from __future__ import annotations

import gradio as gr


def owner_of(request: gr.Request | None) -> str | None:
    """The signed-in user's name; None when there is no login, which means "no owner check"."""
    return (request.username or None) if request is not None else None
