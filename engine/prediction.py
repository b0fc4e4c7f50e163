"""Whether a model predicts the noise or the velocity, where its layout does not tell."""

from __future__ import annotations

import re
from typing import Any

import torch

from engine.device import Placement
from engine.weights_file import WeightsFile

EPSILON, VELOCITY = "epsilon", "v_prediction"
MAX_YAML_BYTES = 2**16
_WORDS = {"epsilon": EPSILON, "eps": EPSILON, "v": VELOCITY, "v_prediction": VELOCITY, "v-prediction": VELOCITY}
_PARAMETERIZATION = re.compile(r"^\s*parameterization:\s*[\"']?(\w+)", re.MULTILINE)


def stated_prediction(file: WeightsFile) -> str | None:
    """What the file's metadata (ModelSpec) or the .yaml beside it says; None if neither does."""
    for key in ("modelspec.prediction_type", "prediction_type"):
        if stated := _WORDS.get(file.metadata.get(key, "").strip().lower()):
            return stated
    if "v_pred" in file.tensors:
        return VELOCITY
    beside = file.path.with_suffix(".yaml")
    try:
        if not beside.is_file() or beside.stat().st_size > MAX_YAML_BYTES:
            return None
        text = beside.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = _PARAMETERIZATION.search(text)
    return _WORDS.get(match[1].lower(), EPSILON) if match else EPSILON


@torch.inference_mode()
def measured_prediction(unet: Any, placement: Placement) -> str:
    """What a Stable Diffusion 2 U-Net seems to predict, from one tiny call at the noisiest timestep.

    There the input is nearly all noise: a model that predicts noise gives about its input back, one that predicts
    velocity about the negative picture. The test and its threshold are A1111's.
    """
    place: dict[str, Any] = {"device": placement.device, "dtype": placement.dtype}
    channels, width = unet.config.in_channels, unet.config.cross_attention_dim
    x = torch.full((1, channels, 8, 8), 0.5, **place)
    context = torch.full((1, 2, width), 0.5, **place)
    answer = unet(x, torch.tensor([999], device=placement.device), context).sample
    distance = float((answer.float() - x[:, : answer.shape[1]].float()).mean())
    return VELOCITY if distance < -1 else EPSILON
