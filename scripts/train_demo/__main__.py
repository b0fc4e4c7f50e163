"""`python -m scripts.train_demo`: from nothing to a diffusers folder."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from .data import Emoji, fetch, load_emoji, read_objects
from .presets import PRESETS, Preset

FAVOUR = 4  # times more often than others the VAE sees the objects the model learns to draw
STAGES = ("data", "vae", "latents", "text", "unet", "decoder", "export")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train_demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/demo"), help="where the finished model goes")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints, latents and sample sheets")
    parser.add_argument("--data", type=Path, help="npm archives, fetched when absent; default: WORK/data")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", choices=sorted(PRESETS), default=None, help="default: by device")
    parser.add_argument("--minutes", type=float, help="wall-clock limit of each training stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", choices=("all", *STAGES), default="all")
    return parser.parse_args()


def chosen_preset(arguments: argparse.Namespace) -> Preset:
    """The preset, with the minutes given on the command line."""
    preset = PRESETS[arguments.preset or ("gpu" if arguments.device.startswith("cuda") else "cpu")]
    if arguments.minutes is None:
        return preset
    return replace(
        preset,
        vae=replace(preset.vae, minutes=arguments.minutes),
        decoder=replace(preset.decoder, minutes=arguments.minutes),
        text=replace(preset.text, minutes=arguments.minutes),
        unet=replace(preset.unet, minutes=arguments.minutes),
    )


def drawable(preset: Preset, data: Path) -> list[Emoji]:
    """The emoji the model learns to draw."""
    objects = read_objects()
    if preset.objects == "curated":
        return load_emoji(data, only=objects)
    return [replace(emoji, aliases=objects.get(emoji.name, ())) for emoji in load_emoji(data)]


def main() -> None:
    """Runs one stage or all of them in order; finished stages end at once when run again."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    preset = chosen_preset(arguments)
    data = arguments.data or arguments.work / "data"
    arguments.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
        run_stage(stage, preset, data, arguments)


def run_stage(stage: str, preset: Preset, data: Path, arguments: argparse.Namespace) -> None:
    """Runs one stage. Imports late so that each stage loads only what it needs."""
    device, work, seed = torch.device(arguments.device), arguments.work, arguments.seed
    if stage == "data":
        fetch(data)
        return
    from . import export, latents, tokenizer, train_text, train_unet, train_vae

    everything, emoji = load_emoji(data), drawable(preset, data)
    if stage == "vae":
        train_vae.train_vae(preset, everything + FAVOUR * emoji, work, seed, device)
    elif stage == "latents":
        latents.encode_scenes(preset, emoji, work, seed, device)
    elif stage == "decoder":
        train_vae.train_decoder(preset, emoji, work, seed, device)
    else:
        vocabulary = tokenizer.build_tokenizer(everything, preset.vocabulary_size)
        if stage == "text":
            train_text.train_text(preset, emoji, vocabulary, work, seed, device)
        elif stage == "unet":
            train_unet.train_unet(preset, emoji, vocabulary, work, seed, device)
        else:
            export.export(preset, emoji, vocabulary, work, arguments.out)


if __name__ == "__main__":
    main()
