"""Writers of small LoRA files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def kohya_weights(networks: Mapping[str, nn.Module], seed: int = 5, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """A LoRA in kohya's form for all linear layers. `networks`: prefix of the names -> network."""
    source = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for prefix, network in networks.items():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Linear):
                key = prefix + name.replace(".", "_")
                weights[f"{key}.lora_down.weight"] = torch.randn((2, layer.in_features), generator=source) * scale
                weights[f"{key}.lora_up.weight"] = torch.randn((layer.out_features, 2), generator=source) * scale
                weights[f"{key}.alpha"] = torch.tensor(1.0)
    return weights


def write_lora(path: Path, weights: Mapping[str, torch.Tensor], **metadata: str) -> Path:
    """A safetensors file of them, with a trainer's texts in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), path, metadata or None)
    return path
