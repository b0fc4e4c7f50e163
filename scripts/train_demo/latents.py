"""Stage `latents`: a fixed set of scenes, encoded once, so that the U-Net never waits for the VAE."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from .data import Emoji
from .networks import DOWNSCALE, LATENT_CHANNELS
from .presets import Preset
from .scenes import Placement, Scene, draw, random_scene, scene_random, to_tensor_range
from .train_vae import load_vae
from .training import autocast

log = logging.getLogger(__name__)
ENCODE_BATCH = 32
REPORT_EVERY = 50 * ENCODE_BATCH
KINDS = ("single", "tinted", "pair")
KIND_SHARES = (0.8, 0.1, 0.1)
WHITE_SHARE = 0.2
SEED_OFFSET = 1_000_003  # other scenes than those the VAE saw


@dataclass(frozen=True)
class LatentSet:
    """Scenes and their latents, scaled to a standard deviation of one."""

    scenes: list[Scene]
    latents: np.ndarray  # (n, 4, size / 8, size / 8) float16
    scaling_factor: float


def training_scene(emoji: list[Emoji], seed: int, index: int) -> Scene:
    """Scene `index` of the fixed set; white backgrounds come up more often than others."""
    random = scene_random(seed + SEED_OFFSET, index)
    kind = str(random.choice(KINDS, p=KIND_SHARES))
    background = "white" if random.random() < WHITE_SHARE else None
    return random_scene(random, emoji, kind=kind, background=background)


@torch.no_grad()
def encode_scenes(preset: Preset, emoji: list[Emoji], work: Path, seed: int, device: torch.device) -> None:
    """Writes `latents.npy`, `scenes.json` and `latents.json` (scaling factor) unless they are there."""
    if (work / "latents.json").exists():
        return
    vae = load_vae(preset, work / "vae.pt").to(device)
    scenes = [training_scene(emoji, seed, index) for index in range(preset.latent_scenes)]
    side = preset.size // DOWNSCALE
    latents = np.empty((len(scenes), LATENT_CHANNELS, side, side), dtype=np.float16)
    drawn = DataLoader(DrawnScenes(scenes, emoji, preset.size), ENCODE_BATCH, num_workers=preset.workers)
    first = 0
    for pixels in drawn:
        with autocast(device):
            mean = vae.encode(pixels.to(device)).latent_dist.mean
        latents[first : first + len(pixels)] = mean.float().cpu().numpy()
        first += len(pixels)
        if first % REPORT_EVERY == 0:
            log.info("latents: %d of %d", first, len(scenes))
    factor = 1 / float(latents.astype(np.float32).std())
    np.save(work / "latents.npy", (latents.astype(np.float32) * factor).astype(np.float16))
    (work / "scenes.json").write_text(json.dumps([asdict(scene) for scene in scenes]), encoding="utf-8")
    (work / "latents.json").write_text(json.dumps({"scaling_factor": factor, "seed": seed}), encoding="utf-8")


class DrawnScenes(Dataset):
    """Scenes as `(3, size, size)` float32 in -1…1."""

    def __init__(self, scenes: list[Scene], emoji: list[Emoji], size: int) -> None:
        self._scenes, self._emoji, self._size = scenes, emoji, size

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(to_tensor_range(draw(self._scenes[index], self._emoji, self._size)[None])[0])


def scaling_factor(work: Path) -> float:
    """What brings latents to a standard deviation of one; 1 before this stage has run."""
    file = work / "latents.json"
    return json.loads(file.read_text(encoding="utf-8"))["scaling_factor"] if file.exists() else 1.0


def load_latents(work: Path) -> LatentSet:
    """What `encode_scenes` wrote."""
    saved = json.loads((work / "scenes.json").read_text(encoding="utf-8"))
    scenes = [
        Scene(
            scene["background"],
            tuple(scene["gradient"]),
            tuple(Placement(**placement) for placement in scene["placements"]),
        )
        for scene in saved
    ]
    return LatentSet(scenes, np.load(work / "latents.npy"), scaling_factor(work))
