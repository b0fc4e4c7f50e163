"""Sizes and training settings of the two machines the demo model can be trained on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageSettings:
    """How long and how hard one network is trained; whichever budget runs out first ends the stage."""

    steps: int
    minutes: float
    batch_size: int
    learning_rate: float
    ema_decay: float
    warmup_steps: int = 200


@dataclass(frozen=True)
class Preset:
    """Everything that differs between a laptop run and a GPU run."""

    name: str
    size: int
    objects: str  # "curated": the hand-picked list; "all": every named emoji except flags
    vocabulary_size: int
    vae_channels: tuple[int, ...]
    vae_layers: int
    vae_crop_share: float  # the first part of the VAE stage, trained on cut-outs
    unet_channels: tuple[int, ...]
    unet_attention: tuple[bool, ...]  # which levels read the text
    unet_layers: int
    text_width: int
    text_layers: int
    latent_scenes: int
    workers: int  # processes that draw scenes
    vae: StageSettings
    decoder: StageSettings
    text: StageSettings
    unet: StageSettings


CPU = Preset(
    name="cpu",
    size=128,
    objects="curated",
    vocabulary_size=3600,
    vae_channels=(32, 64, 128, 128),
    vae_layers=1,
    vae_crop_share=0.6,
    unet_channels=(128, 256),
    unet_attention=(False, True),
    unet_layers=1,
    text_width=256,
    text_layers=4,
    latent_scenes=8_000,
    workers=1,
    vae=StageSettings(steps=100_000, minutes=22, batch_size=8, learning_rate=2e-3, ema_decay=0.995),
    decoder=StageSettings(
        steps=100_000, minutes=6, batch_size=8, learning_rate=5e-4, ema_decay=0.998, warmup_steps=50
    ),
    text=StageSettings(
        steps=100_000, minutes=4, batch_size=48, learning_rate=2e-3, ema_decay=0.98, warmup_steps=30
    ),
    unet=StageSettings(
        steps=200_000, minutes=60, batch_size=32, learning_rate=2e-3, ema_decay=0.997, warmup_steps=60
    ),
)

GPU = Preset(
    name="gpu",
    size=256,
    objects="all",
    vocabulary_size=3600,
    vae_channels=(32, 64, 128, 128),
    vae_layers=1,
    vae_crop_share=0.0,
    unet_channels=(96, 192, 256),
    unet_attention=(False, True, True),
    unet_layers=1,
    text_width=256,
    text_layers=4,
    latent_scenes=120_000,
    workers=14,
    vae=StageSettings(steps=12_000, minutes=6, batch_size=32, learning_rate=1e-3, ema_decay=0.998),
    decoder=StageSettings(steps=4_000, minutes=2, batch_size=32, learning_rate=4e-4, ema_decay=0.998),
    text=StageSettings(steps=3_000, minutes=1.5, batch_size=256, learning_rate=2e-3, ema_decay=0.99),
    unet=StageSettings(steps=60_000, minutes=14, batch_size=256, learning_rate=8e-4, ema_decay=0.9995),
)

PRESETS = {preset.name: preset for preset in (CPU, GPU)}
