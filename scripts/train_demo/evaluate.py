"""How well the exported model follows prompts it was never trained on, judged without any outside model.

`python -m scripts.train_demo.evaluate --model models/demo --data DIR`
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image

from .captions import BACKGROUND_FORMS, noun_phrase
from .data import Emoji, fetch, load_emoji
from .scenes import (
    COLOURS,
    Placement,
    Scene,
    draw,
    is_held_out,
    nearest_colour,
    scene_random,
    to_tensor_range,
)

PROMPT_SEED = 31_337
GENERATION_BATCH = 20
STEPS = 20
BORDER = 4  # pixels of the frame whose median is the background
THUMBNAIL = 32
SCALES = (0.66, 0.72, 0.78, 0.84, 0.9)
SHIFTS = range(-2, 3)  # thumbnail pixels
PSNR_SCENES = 96


@dataclass(frozen=True)
class Question:
    """A prompt and what its picture should show."""

    prompt: str
    name: str
    background: str


def held_out_questions(names: list[str], count: int) -> list[Question]:
    """`count` prompts over (object, background) pairs that training left out, each in a random form."""
    pairs = [(name, colour) for name in names for colour in COLOURS if is_held_out(name, colour)]
    random = scene_random(PROMPT_SEED, 0)
    questions = []
    for index in random.permutation(len(pairs))[:count]:
        name, colour = pairs[int(index)]
        form = str(random.choice(BACKGROUND_FORMS))
        prompt = form.format(thing=noun_phrase(random, name), colour=colour).replace(" a orange", " an orange")
        questions.append(Question(prompt, name, colour))
    return questions


def border_colour(picture: np.ndarray) -> np.ndarray:
    """The median colour of the outermost pixels: `(3,)`."""
    edges = (picture[:BORDER], picture[-BORDER:], picture[:, :BORDER], picture[:, -BORDER:])
    return np.median(np.concatenate([edge.reshape(-1, 3) for edge in edges]), axis=0)


def background_of(picture: np.ndarray) -> str:
    """The named colour nearest to the border's median."""
    return nearest_colour(border_colour(picture))


class Retrieval:
    """Finds the emoji a picture shows: the smallest pixel distance over all scales and small shifts.

    Every candidate is laid on the picture's own background colour, so that a wrong background
    (measured by itself) neither helps nor hurts; all candidates are compared over the same pixels.
    """

    def __init__(self, emoji: list[Emoji]) -> None:
        self.names = [one.name for one in emoji]
        layers = np.stack([thumbnail(one.picture, scale) for one in emoji for scale in SCALES])
        alpha = layers[..., 3:]
        colour = layers[..., :3] * alpha
        self._colour = colour.reshape(len(layers), -1)
        self._alpha = alpha.reshape(len(layers), -1)
        self._colour_square = (self._colour**2).sum(1)
        self._alpha_square = (self._alpha**2).sum(1)
        self._alpha_colour = np.einsum("np,npc->nc", self._alpha, colour.reshape(len(layers), -1, 3))

    def ranking(self, picture: np.ndarray) -> list[str]:
        """All names, most similar first, for `(size, size, 3)` uint8."""
        small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        background = (border_colour(picture) / 255).astype(np.float32)
        rest = np.asarray(small, dtype=np.float32) / 255 - background
        shifted = [np.roll(rest, (down, right), (0, 1)) for down in SHIFTS for right in SHIFTS]
        rests = np.stack([one.reshape(-1) for one in shifted], axis=1)
        projected = np.stack([(one @ background).reshape(-1) for one in shifted], axis=1)
        # |alpha (c - b) - (picture - b)|^2, multiplied out so that it is two matrix products
        fixed = self._colour_square + self._alpha_square * (background @ background)
        fixed = fixed - 2 * self._alpha_colour @ background
        distance = fixed[:, None] - 2 * self._colour @ rests + 2 * self._alpha @ projected
        best = distance.min(1).reshape(len(self.names), len(SCALES)).min(1)
        return [self.names[int(index)] for index in best.argsort(kind="stable")]


def thumbnail(picture: Image.Image, scale: float) -> np.ndarray:
    """An emoji in the middle of a transparent thumbnail: `(32, 32, 4)` float32 in 0…1."""
    side = round(scale * THUMBNAIL)
    canvas = Image.new("RGBA", (THUMBNAIL, THUMBNAIL))
    place = (THUMBNAIL - side) // 2
    canvas.paste(picture.resize((side, side), Image.Resampling.BICUBIC), (place, place))
    return np.asarray(canvas, dtype=np.float32) / 255


def load_pipeline(folder: Path, device: str) -> StableDiffusionPipeline:
    """The exported model with the sampler it is meant for."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, use_karras_sigmas=True)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def generate(pipeline: StableDiffusionPipeline, prompts: list[str], cfg_scale: float) -> list[np.ndarray]:
    """One `(size, size, 3)` uint8 picture per prompt; prompt n has seed n."""
    pictures = []
    for first in range(0, len(prompts), GENERATION_BATCH):
        batch = prompts[first : first + GENERATION_BATCH]
        generators = [torch.Generator().manual_seed(first + row) for row in range(len(batch))]
        with torch.autocast(pipeline.device.type, torch.bfloat16):
            output = pipeline(
                batch,
                num_inference_steps=STEPS,
                guidance_scale=cfg_scale,
                generator=generators,
                output_type="np",
            )
        pictures += [(picture * 255).round().astype(np.uint8) for picture in output.images]
    return pictures


def hits(rankings: list[list[str]], names: list[str], depth: int) -> float:
    """The share of pictures whose object is among the `depth` most similar."""
    found = [name in ranking[:depth] for name, ranking in zip(names, rankings, strict=True)]
    return float(np.mean(found))


@torch.no_grad()
def vae_psnr(pipeline: StableDiffusionPipeline, emoji: list[Emoji], size: int) -> float:
    """Mean PSNR in dB of reconstructed scenes whose (object, background) pairs were held out."""
    random = scene_random(PROMPT_SEED, 1)
    pairs = [
        (index, colour) for index, one in enumerate(emoji) for colour in COLOURS if is_held_out(one.name, colour)
    ]
    values = []
    for chosen in random.permutation(len(pairs))[:PSNR_SCENES]:
        index, colour = pairs[int(chosen)]
        placement = Placement(index, float(random.uniform(0.7, 0.92)), 0.5, 0.5)
        picture = draw(Scene(colour, (0.02, -0.03), (placement,)), emoji, size)[None]
        pixels = torch.from_numpy(to_tensor_range(picture)).to(pipeline.device, pipeline.vae.dtype)
        decoded = pipeline.vae.decode(pipeline.vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
        values.append(-10 * float(torch.log10((decoded - pixels).float().square().mean() / 4)))
    return float(np.mean(values))


def evaluate(folder: Path, data: Path, device: str, count: int, cfg_scale: float) -> dict:
    """All measurements as one dictionary, ready for JSON."""
    everything = load_emoji(data)
    trained = {one["name"] for one in json.loads((folder / "objects.json").read_text(encoding="utf-8"))}
    emoji = [one for one in everything if one.name in trained]
    pipeline = load_pipeline(folder, device)
    questions = held_out_questions([one.name for one in emoji], count)
    started = time.monotonic()
    pictures = generate(pipeline, [question.prompt for question in questions], cfg_scale)
    seconds = time.monotonic() - started
    names = [question.name for question in questions]
    near, wide = Retrieval(emoji), Retrieval(everything)
    rankings = [near.ranking(picture) for picture in pictures]
    wide_rankings = [wide.ranking(picture) for picture in pictures]
    backgrounds = [background_of(picture) for picture in pictures]
    right = [answer == question.background for answer, question in zip(backgrounds, questions, strict=True)]
    return {
        "prompts": len(questions),
        "steps": STEPS,
        "cfg_scale": cfg_scale,
        "objects_trained": len(emoji),
        "background_right": float(np.mean(right)),
        "object_top1_among_trained": hits(rankings, names, 1),
        "object_top5_among_trained": hits(rankings, names, 5),
        "all_emoji": len(everything),
        "object_top1_among_all": hits(wide_rankings, names, 1),
        "object_top5_among_all": hits(wide_rankings, names, 5),
        "vae_psnr_db": vae_psnr(pipeline, emoji, pipeline.unet.config.sample_size * 8),
        "seconds_per_picture": seconds / len(questions),
        "misses": [
            {"prompt": question.prompt, "background": background, "nearest": ranking[:3]}
            for question, background, ranking in zip(questions, backgrounds, rankings, strict=True)
            if background != question.background or question.name not in ranking[:5]
        ],
    }


def main() -> None:
    """Prints the table and writes `evaluation.json` into the model folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/demo"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--cfg-scale", type=float, default=4.0)
    parser.add_argument("--json", type=Path, help="default: MODEL/evaluation.json")
    arguments = parser.parse_args()
    fetch(arguments.data)
    result = evaluate(arguments.model, arguments.data, arguments.device, arguments.prompts, arguments.cfg_scale)
    for name, value in result.items():
        if name != "misses":
            print(f"{name:28} {value:.3f}" if isinstance(value, float) else f"{name:28} {value}")
    file = arguments.json or arguments.model / "evaluation.json"
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
