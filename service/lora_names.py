"""What LoRAs go by beside their files' names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from generation.model_card import ModelCard
from service.safetensors_metadata import read_metadata

ALIAS_KEY = "ss_output_name"  # kohya's trainer: the name of the output, before anybody renamed the file
MIN_HASH_DIGITS = 8


class LoraAliases:
    """The names in the files' headers, read when first asked for and remembered while a file stays the same."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, str]] = {}

    def of(self, card: ModelCard) -> str:
        """The LoRA's alias, "" if it has none."""
        try:
            status = card.path.stat()
        except OSError:
            return ""
        stamp = status.st_size, status.st_mtime_ns
        known = self._known.get(card.path)
        if known is None or known[:2] != stamp:
            known = (*stamp, read_metadata(card.path).get(ALIAS_KEY, "").strip())
            self._known[card.path] = known
        return known[2]


def matching_loras(cards: Sequence[ModelCard], wanted: str, aliases: LoraAliases) -> Iterator[list[ModelCard]]:
    """LoRAs that `wanted` (lower case) may mean when no file is called so: by A1111's hash, then by alias."""
    if len(wanted) >= MIN_HASH_DIGITS:
        yield [card for card in cards if card.body_sha256 is not None and card.body_sha256.startswith(wanted)]
    if wanted:
        yield [card for card in cards if aliases.of(card).casefold() == wanted]
