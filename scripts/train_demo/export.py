"""Stage `export`: the trained networks as a diffusers folder, half precision, swapped in at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from .data import Emoji
from .latents import scaling_factor, training_scene
from .networks import DOWNSCALE
from .presets import Preset
from .scenes import draw, to_tensor_range
from .tokenizer import save_tokenizer
from .train_unet import SCHEDULE, load_model
from .train_vae import best_vae

PREVIEW_SCENES = 96
PREVIEW_SEED = 555
KEPT = ("README.md", "evaluation.json")  # written by people and by evaluate.py, not by the export
EXAMPLE_PROMPTS = (
    "a red apple on a blue background",
    "an avocado on a purple background",
    "a rocket on a navy background",
    "a panda on a yellow background",
    "cupcake, pink background",
    "a car on a beige background",
    "an owl on a turquoise background",
    "a smiling face with sunglasses on a sky blue background",
)


def export(preset: Preset, emoji: list[Emoji], tokenizer: CLIPTokenizer, work: Path, out: Path) -> None:
    """Writes the folder beside `out` and then puts it in its place; hand-written files there stay."""
    fresh, old = out.with_name(out.name + ".new"), out.with_name(out.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    model = load_model(preset, tokenizer, work)
    vae = best_vae(preset, work)
    vae.register_to_config(scaling_factor=scaling_factor(work))
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=model.text_encoder.half(),
        tokenizer=tokenizer,
        unet=model.unet.half(),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(fresh, safe_serialization=True)
    save_tokenizer(tokenizer, fresh / "tokenizer")
    load_in_full_precision(fresh / "text_encoder/config.json")
    write_json(fresh / "preview.json", preview_matrix(vae.float(), preset, emoji))
    write_json(fresh / "easel.json", defaults(preset))
    write_json(fresh / "objects.json", [{"name": one.name, "aliases": list(one.aliases)} for one in emoji])
    for name in KEPT:
        if (out / name).exists():
            shutil.copy2(out / name, fresh / name)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def defaults(preset: Preset) -> dict:
    """The settings the model looks best with."""
    return {
        "native_size": preset.size,
        "default_steps": 20,
        "default_cfg_scale": 4.0,
        "default_sampler": "DPM++ 2M",
        "default_schedule": "Karras",
        "example_prompts": list(EXAMPLE_PROMPTS),
    }


@torch.no_grad()
def preview_matrix(vae: AutoencoderKL, preset: Preset, emoji: list[Emoji]) -> dict:
    """The linear map from scaled latents to small RGB pictures in -1…1, by least squares."""
    pictures = [
        draw(training_scene(emoji, PREVIEW_SEED, index), emoji, preset.size) for index in range(PREVIEW_SCENES)
    ]
    pixels = torch.from_numpy(to_tensor_range(np.stack(pictures)))
    latents = (
        torch.cat([vae.encode(part).latent_dist.mean for part in pixels.split(16)]) * vae.config.scaling_factor
    )
    small = torch.nn.functional.avg_pool2d(pixels, DOWNSCALE)
    inputs = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    solution = torch.linalg.lstsq(inputs, small.permute(0, 2, 3, 1).reshape(-1, 3)).solution
    rounded = [[round(value, 5) for value in row] for row in solution.tolist()]
    return {
        "latent_rgb_factors": rounded[:-1],
        "latent_rgb_bias": rounded[-1],
        "source": f"least squares over {PREVIEW_SCENES} training scenes, scaled latents to RGB in -1...1",
    }


def load_in_full_precision(config: Path) -> None:
    """Makes transformers load the text encoder as float32 unless told otherwise, like the other parts."""
    write_json(config, json.loads(config.read_text(encoding="utf-8")) | {"dtype": "float32"})


def write_json(file: Path, value: object) -> None:
    """Writes readable JSON."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
