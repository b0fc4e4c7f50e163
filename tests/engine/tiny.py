"""Tiny random models of the real classes: a whole text-to-image model of some 60,000 parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from engine.components import Components
from engine.generate import Picture, generate
from generation.job import Event, JobChannel, PhaseChanged, Previewed, Stepped
from generation.model_card import ModelCard
from generation.request import GenerationRequest, make_request
from generation.stop import Stop

WORDS = ["a", "red", "apple", "cat", "dog", "on", "blue", "green", "big", ",", "x"]
FEATURES = 16


def tokenizer(*, with_comma: bool = True) -> CLIPTokenizer:
    """A CLIP tokenizer that knows a dozen whole words and all letters."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789", *(("," if with_comma else ""),)]
    letters = [letter for letter in letters if letter]
    vocab = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = [pieces[0] + pieces[1]]
            vocab.append(pieces[0])
    vocab = list(dict.fromkeys([*vocab, "<|startoftext|>", "<|endoftext|>"]))
    table = {token: number for number, token in enumerate(vocab)}
    return CLIPTokenizer(vocab=table, merges=list(dict.fromkeys(merges)), model_max_length=77)


def unet(in_channels: int = 4, seed: int = 0) -> UNet2DConditionModel:
    """A random U-Net with one cross-attention and one plain level."""
    torch.manual_seed(seed)
    model = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=FEATURES,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    return model.eval().requires_grad_(False)


def text_encoder(vocab_size: int, layers: int = 2) -> CLIPTextModel:
    """A random CLIP text encoder."""
    torch.manual_seed(1)
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=FEATURES,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=77,
    )
    return CLIPTextModel(config).eval().requires_grad_(False)


def vae() -> AutoencoderKL:
    """A random autoencoder with a factor of 8 between pixels and latents."""
    torch.manual_seed(2)
    model = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=64,
    )
    return model.eval().requires_grad_(False)


def alphas_cumprod() -> torch.Tensor:
    """The scaled-linear noise schedule of Stable Diffusion."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def components(in_channels: int = 4, *, prediction_type: str = "epsilon", with_comma: bool = True) -> Components:
    """A whole model on the CPU in float32."""
    words = tokenizer(with_comma=with_comma)
    return Components(
        card=ModelCard(name="tiny", filename="tiny.safetensors", path=Path("tiny.safetensors")),
        tokenizer=words,
        text_encoder=text_encoder(len(words)),
        unet=unet(in_channels),
        vae=vae(),
        alphas_cumprod=alphas_cumprod(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        vae_dtype=torch.float32,
        prediction_type=prediction_type,
    )


def with_unet(model: Components, network: object) -> Components:
    """The same model with another U-Net."""
    return replace(model, unet=network)


def request(**changes: object) -> GenerationRequest:
    """A request of 64 x 64 pixels, Euler, 4 steps, seed 1."""
    return make_request(
        **{
            "prompt": "a red apple",
            "seed": 1,
            "steps": 4,
            "width": 64,
            "height": 64,
            "sampler": "Euler",
            **changes,
        }
    )


class Recorder:
    """The outside of a job channel: remembers events, can stop the job at a given step."""

    def __init__(self, *, watched: bool = False) -> None:
        self.events: list[Event] = []
        self.stop = Stop()
        self.watched = watched
        self.stop_at: int | None = None
        self.keep = True
        self.skip_at: int | None = None
        self.channel = JobChannel(self._note, self.stop, lambda: self.watched)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Stepped) and event.step == self.stop_at:
            self.stop.now(keep=self.keep)
        if isinstance(event, Stepped) and event.step == self.skip_at:
            self.stop.skip_batch()
            self.skip_at = None

    @property
    def steps(self) -> list[Stepped]:
        """All step events."""
        return [event for event in self.events if isinstance(event, Stepped)]

    @property
    def previews(self) -> list[Previewed]:
        """All preview events."""
        return [event for event in self.events if isinstance(event, Previewed)]

    @property
    def phases(self) -> list[str]:
        """The phases in order."""
        return [event.phase.value for event in self.events if isinstance(event, PhaseChanged)]


def pictures(model: Components, recorder: Recorder | None = None, **changes: object) -> list[Picture]:
    """What a request (see `request`) comes to."""
    return list(generate(model, request(**changes), (recorder or Recorder()).channel))


def difference(first: Picture, second: Picture) -> int:
    """The greatest difference of two pictures, in levels of 0 to 255."""
    return int(np.abs(first.pixels.astype(int) - second.pixels.astype(int)).max())
