"""The three networks of the demo model, in the shapes diffusers and transformers know."""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from .presets import Preset

LATENT_CHANNELS = 4
DOWNSCALE = 8
MAX_TOKENS = 77


def build_vae(preset: Preset) -> AutoencoderKL:
    """A small autoencoder: three halvings, four latent channels, no attention."""
    levels = len(preset.vae_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=preset.vae_channels,
        layers_per_block=preset.vae_layers,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=16,
        sample_size=preset.size,
        mid_block_add_attention=False,
    )


def build_unet(preset: Preset) -> UNet2DConditionModel:
    """A U-Net that reads the text on the levels marked in the preset and in the middle."""
    down = tuple("CrossAttnDownBlock2D" if reads else "DownBlock2D" for reads in preset.unet_attention)
    up = tuple("CrossAttnUpBlock2D" if reads else "UpBlock2D" for reads in reversed(preset.unet_attention))
    return UNet2DConditionModel(
        sample_size=preset.size // DOWNSCALE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=down,
        up_block_types=up,
        block_out_channels=preset.unet_channels,
        layers_per_block=preset.unet_layers,
        cross_attention_dim=preset.text_width,
        attention_head_dim=tuple(max(1, width // 32) for width in preset.unet_channels),
        norm_num_groups=16,
    )


def build_text_encoder(preset: Preset, vocabulary_size: int, start_id: int, end_id: int) -> CLIPTextModel:
    """A CLIP text model for our own vocabulary; the last two ids are start and end of text."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=preset.text_width,
            intermediate_size=preset.text_width * 4,
            num_hidden_layers=preset.text_layers,
            num_attention_heads=max(1, preset.text_width // 64),
            max_position_embeddings=MAX_TOKENS,
            projection_dim=preset.text_width,
            hidden_act="quick_gelu",
            bos_token_id=start_id,
            eos_token_id=end_id,
            pad_token_id=end_id,
        )
    )


def parameter_count(module: torch.nn.Module) -> int:
    """How many numbers a network holds."""
    return sum(parameter.numel() for parameter in module.parameters())
