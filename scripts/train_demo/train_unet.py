"""Stage `unet`: the U-Net, trained on the encoded scenes to follow the finished text encoder."""

import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from PIL import Image
from torch import nn
from transformers import CLIPTokenizer

from .batches import CaptionedBatches
from .data import Emoji
from .latents import load_latents, scaling_factor
from .networks import build_text_encoder, build_unet, parameter_count
from .presets import Preset
from .tokenizer import token_ids
from .train_text import pretrained_text_encoder
from .train_vae import best_vae
from .training import Run, autocast, train

log = logging.getLogger(__name__)
TRAINING_TIMESTEPS = 1000
SCHEDULE = {
    "num_train_timesteps": TRAINING_TIMESTEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}
# As min-SNR where there is little noise; full weight where there is much: that is where the text decides.
MIN_SNR_GAMMA = 5.0
EMPTY_SHARE = 0.1  # captions dropped, for classifier-free guidance
SHEET_STEPS = 20
SHEET_CFG_SCALE = 4.0
SHEET_PROMPTS = (
    "a red apple on a blue background",
    "a fox",
    "a dog on a yellow background",
    "a blue dog",
    "robot, pink background",
    "pizza and a rocket",
    "a smiling face with sunglasses on a black background",
    "a photo of a cat on a green background",
    "an octopus on turquoise",
    "a car on a sky blue background",
    "a purple elephant on a white background",
    "sunflower, best quality",
)


class TextToLatent(nn.Module):
    """The two networks that turn words and noise into latents, as one module."""

    def __init__(self, preset: Preset, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(
            preset, len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id
        )
        self.unet = build_unet(preset)

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The predicted velocity."""
        context = self.text_encoder(ids).last_hidden_state
        return self.unet(noisy, timesteps, context).sample


def signal_levels() -> torch.Tensor:
    """alpha-bar of every timestep of Stable Diffusion's schedule: `(1000,)` float32, falling."""
    start, end = SCHEDULE["beta_start"] ** 0.5, SCHEDULE["beta_end"] ** 0.5
    betas = torch.linspace(start, end, TRAINING_TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def train_unet(
    preset: Preset, emoji: list[Emoji], tokenizer: CLIPTokenizer, work: Path, seed: int, device: torch.device
) -> None:
    """Trains the U-Net with velocity prediction; the result, text encoder included, is `unet.pt`."""
    torch.manual_seed(seed)
    model = TextToLatent(preset, tokenizer).to(device)
    model.unet.to(memory_format=torch.channels_last)
    sizes = (parameter_count(part) / 1e6 for part in (model.unet, model.text_encoder))
    log.info("unet %.1f M, text %.1f M", *sizes)
    model.text_encoder.load_state_dict(pretrained_text_encoder(work))
    model.text_encoder.requires_grad_(False)
    run = Run.start(model, preset.unet, work / "unet.pt")
    batches = CaptionedBatches(load_latents(work), emoji, tokenizer, seed, empty_share=EMPTY_SHARE)
    alphas = signal_levels().to(device)
    ratio = alphas / (1 - alphas)
    weights = ((MIN_SNR_GAMMA + 1) / (ratio + 1)).clamp(max=1)

    def loss_at(step: int) -> torch.Tensor:
        _, *captioned = batches.batch(step, preset.unet.batch_size)
        latents, ids = (part.to(device) for part in captioned)
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        noise = torch.randn(latents.shape, generator=generator, device=device)
        timesteps = torch.randint(0, TRAINING_TIMESTEPS, (len(latents),), generator=generator, device=device)
        signal, spread = alphas[timesteps].sqrt()[:, None, None, None], (1 - alphas[timesteps]).sqrt()
        spread = spread[:, None, None, None]
        noisy = (signal * latents + spread * noise).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            predicted = model(noisy, timesteps, ids)
        error = (predicted.float() - (signal * noise - spread * latents)).square().mean(dim=(1, 2, 3))
        return (error * weights[timesteps]).mean()

    train(run, loss_at, lambda: write_sheet(run, preset, tokenizer, work))


def load_model(preset: Preset, tokenizer: CLIPTokenizer, work: Path) -> TextToLatent:
    """The averaged networks of `unet.pt`, or fresh ones when that stage has not begun."""
    torch.manual_seed(0)
    model = TextToLatent(preset, tokenizer)
    file = work / "unet.pt"
    if file.exists():
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["average"])
    return model.eval()


@torch.no_grad()
def sample_latents(model: TextToLatent, ids: torch.Tensor, empty_ids: torch.Tensor, seed: int) -> torch.Tensor:
    """Latents for each row of ids by 20 steps of DPM++ 2M Karras; seeds count up from `seed`."""
    device = ids.device
    side, channels = model.unet.config.sample_size, model.unet.config.in_channels
    scheduler = DPMSolverMultistepScheduler(**SCHEDULE, use_karras_sigmas=True)
    scheduler.set_timesteps(SHEET_STEPS, device=device)
    noise = [
        torch.randn((channels, side, side), generator=torch.Generator().manual_seed(seed + row))
        for row in range(len(ids))
    ]
    x = torch.stack(noise).to(device) * scheduler.init_noise_sigma
    context = model.text_encoder(torch.cat([ids, empty_ids.expand_as(ids)])).last_hidden_state
    for timestep in scheduler.timesteps:
        both = scheduler.scale_model_input(torch.cat([x, x]), timestep)
        with autocast(device):
            wanted, unwanted = model.unet(both, timestep, context).sample.float().chunk(2)
        velocity = unwanted + SHEET_CFG_SCALE * (wanted - unwanted)
        x = scheduler.step(velocity, timestep, x).prev_sample
    return x


@torch.no_grad()
def write_sheet(run: Run, preset: Preset, tokenizer: CLIPTokenizer, work: Path) -> None:
    """One picture per sheet prompt by the averaged networks, three rows of four."""
    device = next(run.network.parameters()).device
    model = TextToLatent(preset, tokenizer).to(device).eval()
    model.load_state_dict(run.average.weights)
    model.unet.to(memory_format=torch.channels_last)
    ids = torch.tensor(token_ids(tokenizer, [*SHEET_PROMPTS, ""])).to(device)
    latents = sample_latents(model, ids[:-1], ids[-1:], seed=0)
    with autocast(device):
        pictures = best_vae(preset, work).to(device).decode(latents / scaling_factor(work)).sample
    rows = [torch.cat(list(row), dim=-1) for row in pictures.float().clamp(-1, 1).cpu().split(4)]
    array = ((torch.cat(rows, dim=-2).permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    Image.fromarray(array).save(work / f"unet_sheet_{run.budget.step:06d}.png")
