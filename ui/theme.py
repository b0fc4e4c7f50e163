"""Colours and spacing: warm accent on near-black or paper, both with readable contrast."""

from __future__ import annotations

from gradio.themes import Base
from gradio.themes.utils.colors import Color

# A painter's orange; 600 and darker read on white (≥ 4.5:1), 400 and lighter on black.
AMBER = Color(
    name="amber",
    c50="#fff6ed",
    c100="#ffead5",
    c200="#ffd3aa",
    c300="#ffb675",
    c400="#ff9447",
    c500="#fb7421",
    c600="#c2500c",
    c700="#9c3f0d",
    c800="#7c3412",
    c900="#652d12",
    c950="#371406",
)
INK = Color(
    name="ink",
    c50="#f7f7f8",
    c100="#eeeef1",
    c200="#dddee4",
    c300="#c2c4cd",
    c400="#9a9dab",
    c500="#6d7080",
    c600="#565967",
    c700="#3c3f4b",
    c800="#22242d",
    c900="#15171d",
    c950="#0d0e12",
)
GRADIENT = "linear-gradient(95deg, #ff7a3c, #ffb347)"

# Gradio's token -> its value in the light theme and in the dark one.
COLOURS = {
    "body_background_fill": ("#f4f3f1", "#0d0e12"),
    "body_text_color_subdued": ("#5b5e6b", "#a3a6b3"),
    "background_fill_primary": ("#ffffff", "#15171d"),
    "background_fill_secondary": ("#faf9f7", "#111318"),
    "block_background_fill": ("#ffffff", "#15171d"),
    "block_border_color": ("#e4e2dd", "#262932"),
    "border_color_primary": ("#e4e2dd", "#262932"),
    "block_label_background_fill": ("transparent", "transparent"),
    "block_title_text_color": ("#3c3f4b", "#c9cbd3"),
    "block_info_text_color": ("#5b5e6b", "#9ea1ae"),
    "input_background_fill": ("#f7f6f4", "#0f1116"),
    "input_border_color": ("#dcd9d3", "#2a2d37"),
    "input_border_color_focus": ("*primary_500", "*primary_400"),
    "input_placeholder_color": ("#777a87", "#7f8290"),
    "slider_color": ("*primary_500", "*primary_400"),
    "button_primary_background_fill": (GRADIENT, GRADIENT),
    "button_primary_background_fill_hover": (
        "linear-gradient(95deg, #ff8a52, #ffbf62)",
        "linear-gradient(95deg, #ff8a52, #ffbf62)",
    ),
    "button_primary_text_color": ("#241003", "#241003"),
    "button_primary_border_color": ("transparent", "transparent"),
    "button_secondary_background_fill": ("#ebe9e5", "#23262f"),
    "button_secondary_background_fill_hover": ("#e0ddd7", "#2e323d"),
    "button_secondary_text_color": ("#22242d", "#e6e7ec"),
}
# Tokens that are the same in both.
SHAPES = {
    "block_border_width": "1px",
    "block_shadow": "none",
    "block_title_text_weight": "600",
    "block_title_text_size": "13px",
    "block_info_text_size": "13px",
    "block_padding": "10px 14px",
    "input_text_size": "14px",
    "button_large_radius": "12px",
    "button_large_text_weight": "650",
    "layout_gap": "12px",
}


def build_theme() -> Base:
    """The theme of the whole page. System fonts only: nothing is fetched from elsewhere."""
    theme = Base(
        primary_hue=AMBER,
        secondary_hue=AMBER,
        neutral_hue=INK,
        spacing_size="md",
        radius_size="lg",
        text_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
    light = {token: values[0] for token, values in COLOURS.items()}
    dark = {f"{token}_dark": values[1] for token, values in COLOURS.items()}
    return theme.set(**SHAPES, **light, **dark)
