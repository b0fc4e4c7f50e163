"""Markup, scripts and styles that live in their own files beside this one."""

from __future__ import annotations

from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "static"
ROUTE = "easel-ui"  # where the folder is served, relative to the page


def markup(name: str, **values: str) -> str:
    """The HTML file `name` with `$key` replaced by the given values."""
    return Template((FOLDER / name).read_text(encoding="utf-8")).substitute(values)


def on_load(module: str, function: str = "start") -> str:
    """JavaScript for `gr.HTML(js_on_load=…)`: runs an exported function of one of our modules.

    The address is relative to the page, so it also works below a reverse proxy's path.
    """
    return (
        f"import(new URL('{ROUTE}/{module}', document.baseURI))"
        f".then((module) => module.{function}({{element, props, trigger, watch, upload}}));"
    )
