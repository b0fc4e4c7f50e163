"""Stage `text`: teaches the text encoder what captions mean before the U-Net has to find out by itself.

From any padding position of a caption, small heads must read off the objects, tint and background and a
thumbnail of the latents. Without this the U-Net learns backgrounds at once and ignores the objects for hours.
"""

import logging
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPTokenizer

from .batches import CaptionedBatches
from .data import Emoji
from .latents import load_latents
from .networks import LATENT_CHANNELS, build_text_encoder
from .presets import Preset
from .scenes import COLOURS, TINTS, Scene
from .training import Run, autocast, train

log = logging.getLogger(__name__)
THUMBNAIL = 8
POSITIONS = 8  # padding positions read per caption
TEXT_SEED = 11_000_003


class CaptionReader(nn.Module):
    """The text encoder with its heads; the heads are thrown away afterwards."""

    def __init__(self, preset: Preset, tokenizer: CLIPTokenizer, objects: int) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(
            preset, len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id
        )
        self.sizes = (objects, objects + 1, len(TINTS) + 1, len(COLOURS))
        self.labels = nn.Linear(preset.text_width, sum(self.sizes))
        self.thumbnail = nn.Linear(preset.text_width, LATENT_CHANNELS * THUMBNAIL**2)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Logits of every label and the thumbnail, at each of `positions` `(n, p)`."""
        hidden = self.text_encoder(ids).last_hidden_state
        read = hidden.gather(1, positions[:, :, None].expand(-1, -1, hidden.shape[-1]))
        return self.labels(read).float().split(self.sizes, dim=-1), self.thumbnail(read).float()


def scene_labels(scene: Scene, objects: int) -> list[int]:
    """First object, second object (`objects` for none), tint (the last for none), background."""
    first, *others = scene.placements
    second = others[0].emoji if others else objects
    tint = TINTS.index(first.tint) if first.tint else len(TINTS)
    return [first.emoji, second, tint, list(COLOURS).index(scene.background)]


def padding_positions(ids: torch.Tensor, end_id: int, generator: torch.Generator) -> torch.Tensor:
    """`(n, POSITIONS)` random positions at or after the end of each text."""
    start = (ids == end_id).int().argmax(1, keepdim=True)
    chance = torch.rand((len(ids), POSITIONS), generator=generator)
    return (start + chance * (ids.shape[1] - start)).long().clamp(max=ids.shape[1] - 1)


def train_text(
    preset: Preset, emoji: list[Emoji], tokenizer: CLIPTokenizer, work: Path, seed: int, device: torch.device
) -> None:
    """Trains the text encoder alone; the result is `text.pt`."""
    torch.manual_seed(seed)
    reader = CaptionReader(preset, tokenizer, len(emoji)).to(device)
    run = Run.start(reader, preset.text, work / "text.pt")
    encoded = load_latents(work)
    batches = CaptionedBatches(encoded, emoji, tokenizer, seed + TEXT_SEED, empty_share=0)
    labels = torch.tensor([scene_labels(scene, len(emoji)) for scene in encoded.scenes])

    def loss_at(step: int) -> torch.Tensor:
        chosen, latents, ids = batches.batch(step, preset.text.batch_size)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        positions = padding_positions(ids, tokenizer.eos_token_id, generator).to(device)
        with autocast(device):
            logits, thumbnail = reader(ids.to(device), positions)
        target = functional.adaptive_avg_pool2d(latents, THUMBNAIL).flatten(1).to(device)
        loss = (thumbnail - target[:, None]).square().mean()
        for column, answers in zip(labels[chosen].to(device).T, logits, strict=True):
            loss = loss + 0.25 * functional.cross_entropy(
                answers.flatten(0, 1), column[:, None].expand(-1, POSITIONS).flatten()
            )
        return loss

    train(run, loss_at, lambda: None)


def pretrained_text_encoder(work: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of the encoder without its heads."""
    average = torch.load(work / "text.pt", map_location="cpu", weights_only=True)["average"]
    prefix = "text_encoder."
    return {name.removeprefix(prefix): value for name, value in average.items() if name.startswith(prefix)}
