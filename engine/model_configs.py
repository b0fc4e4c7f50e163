"""Configurations of networks: our own for single files, and those in a model folder, read with care."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.weights_file import unusable

CONFIGS = Path(__file__).resolve().parent / "configs"
MAX_CONFIG_BYTES = 2**20
MAX_NUMBER = 2**20  # wider than any layer, and longer than any training schedule
MAX_LAYERS = 128
MAX_BLOCKS = 16
LAYER_COUNTS = ("layers_per_block", "num_hidden_layers", "transformer_layers_per_block")

Config = Mapping[str, Any]  # Any: JSON
Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class ConfigFolder:
    """The configurations that Easel brings along for single files: a folder a family, a JSON file a part."""

    root: Path = CONFIGS

    def of(self, family: str, part: str) -> dict[str, Any]:
        """One configuration, like ("sd1", "unet")."""
        loaded: dict[str, Any] = json.loads((self.root / family / f"{part}.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def clip_merges(self) -> Path:
        """The byte pairs of CLIP's tokenizer."""
        return self.root / "clip" / "merges.txt.gz"

    def context_widths(self, families: Iterable[str]) -> dict[int, str]:
        """Family by the width of the text features its U-Net takes, which tells families apart."""
        return {int(self.of(family, "unet")["cross_attention_dim"]): family for family in families}


def read_config(file: Path, owner: Path) -> dict[str, Any]:
    """A JSON file of a model folder. `owner` is what error messages name. Raises ModelFileError."""
    where = f"{file.parent.name}/{file.name}" if file.parent != owner else file.name
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise unusable(owner, f"has a {where} of more than a megabyte")
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise unusable(owner, f"lacks {where}", "Download the whole folder again.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise unusable(owner, f"has a {where} that cannot be read", "Download the whole folder again.") from error
    if not isinstance(loaded, dict):
        raise unusable(owner, f"has a {where} that is not a table", "Download the whole folder again.")
    _check_numbers(loaded, owner, where)
    return loaded


def _check_numbers(config: Config, owner: Path, where: str) -> None:
    """Refuses sizes that would keep a machine busy merely describing the network."""
    for key, value in config.items():
        values = value if isinstance(value, list) else [value]
        numbers = [number for entry in values for number in (entry if isinstance(entry, list) else [entry])]
        most = MAX_LAYERS if key in LAYER_COUNTS else MAX_NUMBER
        is_huge = any(isinstance(number, int | float) and abs(number) > most for number in numbers)
        if is_huge or (len(values) > MAX_BLOCKS and key != "trained_betas"):
            raise unusable(owner, f"has a {where} with an impossible {key}", "Download the whole folder again.")


def structure_of(config: Config) -> str:
    """The same text for configurations that mean the same network."""
    return json.dumps({key: value for key, value in config.items() if not key.startswith("_")}, sort_keys=True)


def build(builder: Callable[[Config], Built], config: Config, owner: Path, where: str) -> Built:
    """What `builder` makes of a configuration. Raises ModelFileError if it cannot."""
    try:
        return builder(config)
    except Exception as error:  # libraries raise anything for values they do not expect
        what = f"has a {where} that describes no network Easel can build"
        raise unusable(owner, what, "Choose another model.") from error
