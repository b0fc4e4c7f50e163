"""A1111's setting names, and what they are here: for `override_settings` and for `/sdapi/v1/options`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from generation.errors import InvalidRequest
from generation.request import NoiseSource

# A1111's name -> field of Preferences. These are kept when a client sets them as options.
PREFERENCE_OF: Mapping[str, str] = {
    "sd_model_checkpoint": "sd_model_checkpoint",
    "sd_vae": "sd_vae",
    "CLIP_stop_at_last_layers": "clip_skip",
    "eta_noise_seed_delta": "eta_noise_seed_delta",
    "live_previews_enable": "live_previews",
    "samples_save": "save_images",
}


@dataclass(frozen=True, slots=True)
class Overrides:
    """What `override_settings` means for one request.

    `request`, `sampling` and `img2img` are fields of GenerationRequest and its parts; `saves` is False if pictures
    must not be written; `ignored` names settings that we do not have.
    """

    request: Mapping[str, Any] = field(default_factory=dict)  # Any: values of any field
    sampling: Mapping[str, Any] = field(default_factory=dict)
    img2img: Mapping[str, Any] = field(default_factory=dict)
    saves: bool = True
    ignored: tuple[str, ...] = ()


def read_overrides(settings: Mapping[str, Any] | None, sampler: str) -> Overrides:
    """The overrides of one request. Null values mean "not overridden". Raises InvalidRequest for a bad value."""
    request: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    img2img: dict[str, Any] = {}
    ignored: list[str] = []
    saves = True
    for name, value in (settings or {}).items():
        if value is None:
            continue
        if name in _REQUEST:
            target, convert = _REQUEST[name]
            request[target] = convert(name, value)
        elif name in _SAMPLING:
            target, convert = _SAMPLING[name]
            sampling[target] = convert(name, value)
        elif name in ("eta_ddim", "eta_ancestral"):
            if (name == "eta_ddim") == (sampler in ("DDIM", "DDIM CFG++")):
                sampling["eta"] = _number(name, value)
        elif name == "initial_noise_multiplier":
            img2img[name] = _number(name, value)
        elif name == "samples_save":
            saves = _truth(name, value)
        else:
            ignored.append(name)
    return Overrides(request, sampling, img2img, saves, tuple(ignored))


def kept_preferences(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings that are preferences here, under our names. Null, and an empty checkpoint, mean "as it is"."""
    known = {
        name: value for name, value in (settings or {}).items() if name in PREFERENCE_OF and value is not None
    }
    if known.get("sd_model_checkpoint") == "":
        del known["sd_model_checkpoint"]
    return {PREFERENCE_OF[name]: value for name, value in known.items()}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(name, value, "a text")
    return value.strip()


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _refuse(name, value, "a number")
    return float(value)


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number):
        _refuse(name, value, "a whole number")
    return int(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(name, value, "true or false")
    return value


def _noise_source(name: str, value: Any) -> NoiseSource:
    text = _text(name, value).upper()
    if text not in NoiseSource.__members__:
        _refuse(name, value, "one of " + ", ".join(NoiseSource))
    return NoiseSource(text)


def _end_of_time(name: str, value: Any) -> float | None:
    return _number(name, value) or None  # 0 means no end, as in A1111


def _vae(name: str, value: Any) -> str:
    return _text(name, value) or "Automatic"


def _refuse(name: str, value: Any, wanted: str) -> NoReturn:
    shown = ascii(value)[:80]
    raise InvalidRequest(
        f"override_settings.{name}: this must be {wanted}, got {shown}.", "Change this value.", name
    )


_Converter = Callable[[str, Any], Any]
_REQUEST: Mapping[str, tuple[str, _Converter]] = {
    "sd_model_checkpoint": ("model", _text),
    "sd_checkpoint_hash": ("model", _text),
    "sd_vae": ("vae", _vae),
    "CLIP_stop_at_last_layers": ("clip_skip", _whole),
    "randn_source": ("noise_source", _noise_source),
}
_SAMPLING: Mapping[str, tuple[str, _Converter]] = {
    "eta_noise_seed_delta": ("eta_noise_seed_delta", _whole),
    "s_churn": ("s_churn", _number),
    "s_tmin": ("s_tmin", _number),
    "s_tmax": ("s_tmax", _end_of_time),
    "s_noise": ("s_noise", _number),
}
