"""Short messages over the page."""

from __future__ import annotations

from html import escape

import gradio as gr

from generation.errors import UserError


def warn(error: UserError, title: str) -> None:
    """Show what went wrong. Gradio renders notices as HTML, and errors quote what people typed: escaped."""
    gr.Warning(escape(str(error)), title=title)
