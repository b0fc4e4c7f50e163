"""An unpicked contact sheet of the exported model: seeds 0 to 63, captions below the pictures.

`python -m scripts.train_demo.gallery --model models/demo --out docs/images/demo_gallery.png`
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from .evaluate import generate, load_pipeline
from .scenes import COLOURS, TINTS, can_be_tinted, scene_random

COLUMNS, ROWS = 8, 8
CAPTION_HEIGHT = 26
CAPTION_WIDTH = 22  # characters
GALLERY_SEED = 64


def gallery_prompts(objects: list[dict], count: int) -> list[str]:
    """Random prompts of the kinds the model knows; every fifth is tinted, every eighth a pair."""
    random = scene_random(GALLERY_SEED, 0)
    prompts = []
    for index in range(count):
        first, second = (objects[int(choice)]["name"] for choice in random.choice(len(objects), 2, replace=False))
        background, tint = str(random.choice(list(COLOURS))), str(random.choice(TINTS))
        if index % 8 == 7:
            prompts.append(f"{first} and {second}")
        elif index % 5 == 4 and can_be_tinted(first) and tint != background:
            prompts.append(f"{tint} {first} on a {background} background")
        else:
            prompts.append(f"{first} on a {background} background")
    return prompts


def contact_sheet(pictures: list[np.ndarray], captions: list[str]) -> Image.Image:
    """Pictures in rows of eight, each with its caption in two short lines."""
    size = pictures[0].shape[0]
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * size, rows * (size + CAPTION_HEIGHT)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = index % COLUMNS * size, index // COLUMNS * (size + CAPTION_HEIGHT)
        sheet.paste(Image.fromarray(picture), (left, top))
        for line, text in enumerate(wrapped(caption)):
            pen.text((left + 3, top + size + 1 + line * 12), text, fill="black")
    return sheet


def wrapped(caption: str) -> list[str]:
    """The caption in at most two lines that fit under a picture."""
    lines = [""]
    for word in caption.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > CAPTION_WIDTH:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:2]


def main() -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/demo_gallery.png"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cfg-scale", type=float, default=4.0)
    arguments = parser.parse_args()
    objects = json.loads((arguments.model / "objects.json").read_text(encoding="utf-8"))
    prompts = gallery_prompts(objects, COLUMNS * ROWS)
    pictures = generate(load_pipeline(arguments.model, arguments.device), prompts, arguments.cfg_scale)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(pictures, prompts).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
