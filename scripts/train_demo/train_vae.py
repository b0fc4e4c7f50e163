"""Stages `vae` and `decoder`: the autoencoder between pixels and latents, trained on random scenes."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from .data import Emoji
from .networks import build_vae
from .presets import Preset
from .scenes import draw, random_scene, scene_random, to_tensor_range
from .training import Run, autocast, train

log = logging.getLogger(__name__)
KINDS = ("single", "tinted", "pair")
KIND_SHARES = (0.75, 0.12, 0.13)
KL_WEIGHT = 5e-4
SHEET_SEED = 987_654
ENDLESS = 2**40


class RandomPictures(Dataset):
    """Scene n as `(3, size, size)` float32 in -1…1, mirrored at random; there is no end to them."""

    def __init__(self, emoji: list[Emoji], size: int, seed: int) -> None:
        self._emoji, self._size, self._seed = emoji, size, seed

    def __getitem__(self, index: int) -> torch.Tensor:
        random = scene_random(self._seed, index)
        scene = random_scene(random, self._emoji, kind=str(random.choice(KINDS, p=KIND_SHARES)))
        picture = draw(scene, self._emoji, self._size)
        picture = picture[:, ::-1] if random.random() < 0.5 else picture
        return torch.from_numpy(to_tensor_range(picture[None])[0])

    def batches(self, first_step: int, batch_size: int, workers: int) -> Iterator[torch.Tensor]:
        """One batch per step from `first_step` on, drawn ahead by other processes."""
        indices = range(first_step * batch_size, ENDLESS)
        return iter(DataLoader(self, batch_size, sampler=indices, num_workers=workers))


def random_quarter(pictures: torch.Tensor) -> torch.Tensor:
    """A window of half the width and height at a random place, the same for the whole batch.

    Four times the steps in the same time: what most of the training runs on where time is short.
    """
    half = pictures.shape[-1] // 2
    top, left = torch.randint(0, half + 1, (2,)).tolist()
    return pictures[:, :, top : top + half, left : left + half]


def reconstruction_loss(decoded: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, edges included, at full and half size."""
    loss = functional.mse_loss(decoded, target)
    for weight in (1.0, 0.5):
        loss = loss + weight * functional.l1_loss(decoded, target) + weight * edge_loss(decoded, target)
        decoded, target = functional.avg_pool2d(decoded, 2), functional.avg_pool2d(target, 2)
    return loss


def edge_loss(decoded: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How far the differences between neighbouring pixels are off."""
    across = functional.l1_loss(decoded.diff(dim=-1), target.diff(dim=-1))
    return across + functional.l1_loss(decoded.diff(dim=-2), target.diff(dim=-2))


def train_vae(preset: Preset, emoji: list[Emoji], work: Path, seed: int, device: torch.device) -> None:
    """Trains the whole autoencoder; the result is `vae.pt` in the work folder."""
    torch.manual_seed(seed)
    vae = build_vae(preset).to(device)
    run = Run.start(vae, preset.vae, work / "vae.pt")
    pictures = RandomPictures(emoji, preset.size, seed)
    batches = pictures.batches(run.budget.step, preset.vae.batch_size, preset.workers)

    def loss_at(step: int) -> torch.Tensor:
        pictures = next(batches).to(device)
        torch.manual_seed(seed + step)
        if run.budget.fraction < preset.vae_crop_share:
            pictures = random_quarter(pictures)
        with autocast(device):
            posterior = vae.encode(pictures).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        return reconstruction_loss(decoded.float(), pictures) + KL_WEIGHT * mean_kl(posterior)

    train(run, loss_at, lambda: write_sheet(run, preset, emoji, work / "vae_sheet.png"))


def mean_kl(posterior) -> torch.Tensor:
    """Divergence from the standard normal, per latent number."""
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def train_decoder(preset: Preset, emoji: list[Emoji], work: Path, seed: int, device: torch.device) -> None:
    """Sharpens the decoder alone, on the objects the model can draw; latents stay what they are.

    The result is `decoder.pt`, an autoencoder with the encoder of `vae.pt`.
    """
    vae = load_vae(preset, work / "vae.pt").to(device)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    run = Run.start(vae, preset.decoder, work / "decoder.pt")
    pictures = RandomPictures(emoji, preset.size, seed + 1)
    batches = pictures.batches(run.budget.step, preset.decoder.batch_size, preset.workers)

    def loss_at(step: int) -> torch.Tensor:
        pictures = next(batches).to(device)
        torch.manual_seed(seed + step)
        with autocast(device):
            with torch.no_grad():
                latents = vae.encode(pictures).latent_dist.sample()
            decoded = vae.decode(latents).sample
        return reconstruction_loss(decoded.float(), pictures)

    train(run, loss_at, lambda: write_sheet(run, preset, emoji, work / "decoder_sheet.png"))


def load_vae(preset: Preset, file: Path) -> AutoencoderKL:
    """The averaged autoencoder of a checkpoint, on the CPU, ready to use."""
    vae = build_vae(preset)
    vae.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["average"])
    return vae.eval()


def best_vae(preset: Preset, work: Path) -> AutoencoderKL:
    """The sharpened autoencoder if that stage has run, else the plain one."""
    sharpened = work / "decoder.pt"
    return load_vae(preset, sharpened if sharpened.exists() else work / "vae.pt")


@torch.no_grad()
def write_sheet(run: Run, preset: Preset, emoji: list[Emoji], file: Path) -> None:
    """Eight scenes above their reconstructions by the averaged network; logs the PSNR."""
    device = next(run.network.parameters()).device
    vae = build_vae(preset).to(device).eval()
    vae.load_state_dict(run.average.weights)
    pictures = next(RandomPictures(emoji, preset.size, SHEET_SEED).batches(0, 8, 0)).to(device)
    with autocast(device):
        decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample.float().clamp(-1, 1)
    error = (decoded - pictures).square().mean() / 4
    log.info("%s: PSNR %.2f dB", file.stem, float(-10 * torch.log10(error)))
    rows = torch.cat([torch.cat(list(half), dim=-1) for half in (pictures, decoded)], dim=-2)
    array = ((rows.cpu().permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    Image.fromarray(array).save(file)
