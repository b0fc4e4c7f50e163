"""U-Nets and autoencoders of diffusers, as structures without memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def unet_skeleton(config: Mapping[str, Any]) -> nn.Module:  # Any: JSON
    """A U-Net on the meta device: shapes only. `config` in diffusers' words."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(_plain(config))


def vae_skeleton(config: Mapping[str, Any]) -> nn.Module:  # Any: JSON
    """An autoencoder on the meta device: shapes only. `config` in diffusers' words."""
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        return AutoencoderKL.from_config(_plain(config))


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without the entry that would make diffusers build another class than asked for."""
    return {key: value for key, value in config.items() if key != "_class_name"}
