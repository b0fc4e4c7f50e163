"""What is known about a model file before it is loaded."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class ModelKind(StrEnum):
    """What a weights file is for."""

    CHECKPOINT = "checkpoint"
    VAE = "vae"
    LORA = "lora"
    EMBEDDING = "embedding"
    UPSCALER = "upscaler"


class ModelLayout(StrEnum):
    """How the weights lie on disk."""

    DIFFUSERS = "diffusers"  # a folder with model_index.json
    SINGLE_FILE = "single_file"  # .safetensors or .ckpt, original CompVis key names


class ModelDefaults(BaseModel):
    """Settings that suit a model; None = no opinion. Read from `easel.json` beside the weights."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    native_size: int | None = None  # pixels, side of the square the model was trained on
    default_steps: int | None = None
    default_cfg_scale: float | None = None
    default_sampler: str | None = None
    default_schedule: str | None = None
    example_prompts: tuple[str, ...] = ()


class ModelCard(BaseModel):
    """One entry of the model catalogue.

    `name` is the path below its model root without extension (A1111's `model_name`), `title` is what the
    picker shows: `file name [short hash]` once the hash is known. `sha256` is of the file; None until computed
    (and for folders, where it is the hash of the U-Net weights file). `body_sha256` is of what follows the header
    of a safetensors file, for LoRAs only: they are known by it, since tools rewrite the texts in their headers.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    filename: str  # file or folder name with extension, below its root
    path: Path
    kind: ModelKind = ModelKind.CHECKPOINT
    layout: ModelLayout = ModelLayout.SINGLE_FILE
    sha256: str | None = None
    body_sha256: str | None = None
    size: int = 0  # bytes
    defaults: ModelDefaults = ModelDefaults()

    @property
    def short_hash(self) -> str | None:
        """First ten digits of the sha256, as A1111 shows it."""
        return self.sha256[:10] if self.sha256 else None

    @property
    def title(self) -> str:
        """What the model picker shows and what clients send back."""
        return f"{self.filename} [{self.short_hash}]" if self.sha256 else self.filename
