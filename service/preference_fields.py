"""All settings there are, with what people read about them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from generation import sampler_info
from generation.errors import UserError
from generation.request import MAX_SEED


class Theme(StrEnum):
    """Colours of the page."""

    DARK = "dark"
    LIGHT = "light"
    SYSTEM = "system"


class InterruptedJobs(StrEnum):
    """What becomes of jobs that were running when the server stopped."""

    HOLD = "hold"  # a job that brought the server down must not do so again and again
    FRONT = "front"


def _setting(default: Any, group: str, label: str, help_: str = "", **limits: Any) -> Any:
    # Any: pydantic's own Field() is typed so; the annotation of each field below is the real type.
    return Field(default, title=label, description=help_, json_schema_extra={"group": group}, **limits)


class Preferences(BaseModel):
    """All settings, frozen. `group`, label (title) and help (description) of a field feed the Settings tab."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    sd_model_checkpoint: str = _setting(
        "", "Model", "Checkpoint", "Used when a request names none. Empty: the first one found."
    )
    sd_vae: str = _setting(
        "Automatic", "Model", "VAE", "Automatic: a VAE named like the checkpoint, else the checkpoint's own."
    )
    clip_skip: int = _setting(
        1, "Model", "Clip skip", "Which layer of the text encoder is used; 1 is the last one.", ge=1, le=12
    )
    default_sampler: str = _setting("DPM++ 2M", "Defaults", "Sampler")
    default_schedule: str = _setting("Automatic", "Defaults", "Schedule")
    default_steps: int = _setting(20, "Defaults", "Steps", "", ge=1, le=150)
    default_cfg_scale: float = _setting(7.0, "Defaults", "CFG scale", "", ge=1, le=30, multiple_of=0.5)
    eta_noise_seed_delta: int = _setting(
        0,
        "Defaults",
        "Eta noise seed delta",
        "Added to the seeds of samplers' own noise.",
        ge=0,
        le=MAX_SEED,
    )
    live_previews: bool = _setting(True, "Live preview", "Show previews while a picture is made")
    preview_interval: float = _setting(
        0.25, "Live preview", "Seconds between previews", "0: as often as the time budget allows.", ge=0, le=60
    )
    preview_size: int = _setting(
        512, "Live preview", "Largest side of a preview", "Pixels.", ge=64, le=2048, multiple_of=8
    )
    save_images: bool = _setting(True, "Saving", "Save pictures to the outputs folder")
    folder_pattern: str = _setting(
        "[date]",
        "Saving",
        "Folder",
        "Below the outputs folder; with words as in the file name.",
        max_length=500,
    )
    file_name_pattern: str = _setting(
        "[seed]-[prompt_spaces]",
        "Saving",
        "File name",
        "After the running number. Words: [seed] [prompt_spaces] [prompt_words] [date] [datetime] [model_name] "
        "[model_hash] [steps] [cfg] [sampler] [scheduler] [width] [height] [generation_number] [clip_skip].",
        max_length=500,
    )
    interrupted_jobs: InterruptedJobs = _setting(
        InterruptedJobs.HOLD,
        "Queue",
        "Jobs that were interrupted",
        "When the server starts again. hold: they wait until you let them go on. front: they start again first.",
    )
    theme: Theme = _setting(Theme.DARK, "Look", "Theme", "After a change, reload the page.")

    @field_validator("default_sampler")
    @classmethod
    def _known_sampler(cls, name: str) -> str:
        return sampler_info.find_sampler(name).name

    @field_validator("default_schedule")
    @classmethod
    def _known_schedule(cls, name: str) -> str:
        return sampler_info.find_schedule(name).label


def usable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are settings with a valid value."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        try:
            Preferences(**{name: value})
        except (ValidationError, UserError):
            continue
        kept[name] = value
    return kept
