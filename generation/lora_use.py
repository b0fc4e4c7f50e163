"""A LoRA as a job uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHORT_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class LoraUse:
    """One LoRA at given strengths; 0 leaves that network alone, negative takes its effect away.

    `rank`: use only that many of its components (None = all). `name` is what the prompt calls it, `short_hash`
    the first digits of the sha256 of the weights alone, "" while it is not known; both are for the infotext.
    """

    path: Path
    unet_strength: float = 1.0
    text_strength: float = 1.0
    rank: int | None = None
    name: str = ""
    short_hash: str = ""

    @property
    def has_effect(self) -> bool:
        """True if any of its strengths is not 0."""
        return self.unet_strength != 0 or self.text_strength != 0


def lora_hashes(uses: tuple[LoraUse, ...]) -> str:
    """What A1111's infotext says under "Lora hashes": `name: hash, …` of those whose hash is known."""
    known = (use for use in uses if use.short_hash and use.name)
    return ", ".join(f"{use.name.translate(_SEPARATORS)}: {use.short_hash}" for use in known)


_SEPARATORS = str.maketrans("", "", ":,")
