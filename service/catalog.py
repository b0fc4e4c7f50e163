"""The models that can be chosen, by name, title or hash."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from generation.errors import unknown_name
from generation.model_card import ModelCard, ModelKind
from service.file_hashes import FileHashes
from service.lora_names import LoraAliases, matching_loras
from service.model_scan import scan, weights_file
from service.safetensors_metadata import readable_metadata

log = logging.getLogger(__name__)

_WORDS = {ModelKind.CHECKPOINT: "checkpoint", ModelKind.VAE: "VAE", ModelKind.LORA: "LoRA"}
_FIELDS = {ModelKind.CHECKPOINT: "model", ModelKind.VAE: "vae", ModelKind.LORA: "prompt"}
_MAX_SHOWN = 80  # characters of an unknown name
MIN_HASH_DIGITS = 8


class Catalog:
    """Checkpoints, VAEs and LoRAs below some folders. All methods may be called from any thread.

    Hashes come from a cache, or from a background thread once `start_hashing` was called.
    """

    def __init__(self, roots: Sequence[Path], hashes: FileHashes) -> None:
        self._roots = tuple(roots)
        self._hashes = hashes
        self._scanning = threading.Lock()
        self._changed = threading.Condition()
        self._cards: tuple[ModelCard, ...] = ()
        self._unreadable: set[Path] = set()
        self._aliases = LoraAliases()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.refresh()

    def checkpoints(self) -> list[ModelCard]:
        """All checkpoints by name, the demo model last."""
        return [card for card in self._cards if card.kind is ModelKind.CHECKPOINT]

    def vaes(self) -> list[ModelCard]:
        """All VAE files by name."""
        return [card for card in self._cards if card.kind is ModelKind.VAE]

    def loras(self) -> list[ModelCard]:
        """All LoRA files by name."""
        return [card for card in self._cards if card.kind is ModelKind.LORA]

    def lora_names(self) -> dict[str, ModelCard]:
        """What prompts call the LoRAs: the file's name alone, as in A1111, where no other file has it."""
        stems = Counter(_last_part(card.name) for card in self.loras())
        is_only = {card.path: stems[_last_part(card.name)] == 1 for card in self.loras()}
        return {
            PurePosixPath(card.name).name if is_only.get(card.path) else card.name: card for card in self.loras()
        }

    def lora_metadata(self, card: ModelCard) -> dict[str, Any]:  # Any: JSON of the trainer's
        """What its trainer wrote into the LoRA's file, values that are JSON objects read. Reads the file."""
        return readable_metadata(card.path)

    def lora_alias(self, card: ModelCard) -> str:
        """The name that its trainer gave a LoRA; "" if none. Reads the file's header the first time."""
        return self._aliases.of(card)

    def default(self) -> ModelCard | None:
        """The checkpoint that is used when none was chosen; None if there is none at all."""
        return next(iter(self.checkpoints()), None)

    def where_to_put_models(self) -> str:
        """What to tell people who have no model."""
        folder = self._roots[0] / "Stable-diffusion" if self._roots else "models/Stable-diffusion"
        return f"Put a .safetensors file into {folder}, then press Refresh."

    def find(self, name: str, kind: ModelKind = ModelKind.CHECKPOINT) -> ModelCard:
        """The model with that title, file name, name, short hash or sha256; case does not matter.

        A name without its folder will do if only one model has it, and for a LoRA the name its trainer gave it.
        Raises UnknownName with the nearest names.
        """
        cards = [card for card in self._cards if card.kind is kind]
        wanted = _folded(name)
        readings = _matches(cards, wanted)
        if kind is ModelKind.LORA:
            readings = chain(readings, matching_loras(cards, wanted, self._aliases))
        for matches in readings:
            if len(matches) == 1:
                return matches[0]
        shown = name.strip() if len(name.strip()) <= _MAX_SHOWN else f"{name.strip()[:_MAX_SHOWN]}…"
        raise unknown_name(_WORDS[kind], shown, (card.name for card in cards), _FIELDS[kind])

    def at(self, path: Path, kind: ModelKind) -> ModelCard | None:
        """The model of that kind in that file, if it is still there."""
        return next((card for card in self._cards if card.path == path and card.kind is kind), None)

    def current(self, card: ModelCard) -> ModelCard:
        """The card of the same file as it is known now; `card` itself if the file is gone or was replaced."""
        return card if card.sha256 else self.at(card.path, card.kind) or card

    def vae_beside(self, checkpoint: ModelCard) -> ModelCard | None:
        """The VAE file that is named after the checkpoint: `name.vae.safetensors` beside it or among the VAEs."""
        stem = checkpoint.path.stem.casefold()
        named = [vae for vae in self.vaes() if vae.path.stem.casefold() in (stem, f"{stem}.vae")]
        named.sort(key=lambda vae: vae.path.parent != checkpoint.path.parent)
        return named[0] if named else None

    def refresh(self) -> None:
        """Look through the folders again. Hashes that are known stay."""
        with self._scanning:
            cards = tuple(self._with_hash(card) for card in scan(self._roots))
            with self._changed:
                self._cards = cards
                self._unreadable.clear()
                self._changed.notify_all()

    def _with_hash(self, card: ModelCard) -> ModelCard:
        file = weights_file(card)
        body = self._hashes.known_body(file) if card.kind is ModelKind.LORA else None
        return card.model_copy(update={"sha256": self._hashes.known(file), "body_sha256": body})

    def _compute(self, card: ModelCard) -> dict[str, str | None] | None:
        """The card's hashes; None if the catalogue was closed meanwhile. Raises OSError."""
        is_lora = card.kind is ModelKind.LORA
        sha256 = self._hashes.compute(weights_file(card), self._closed.is_set, with_body=is_lora)
        body = self._hashes.known_body(card.path) if is_lora else None
        return None if sha256 is None else {"sha256": sha256, "body_sha256": body}

    # Hashing in the background

    def start_hashing(self) -> None:
        """Compute missing hashes in a background thread of low priority, now and after each refresh."""
        with self._changed:
            if self._thread is not None or self._closed.is_set():
                return
            self._thread = threading.Thread(target=self._hash_missing, name="model-hashes", daemon=True)
            self._thread.start()

    def wait_for_hashes(self, timeout: float | None = None) -> bool:
        """Blocks until no hash is missing, `timeout` seconds at most; True if so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._next_missing() is None, timeout)

    def close(self) -> None:
        """End the background thread."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _hash_missing(self) -> None:
        _lower_priority()
        while (card := self._wait_for_missing()) is not None:
            try:
                hashed = self._compute(card)
            except OSError as error:
                log.warning("No hash for %s: %s", card.path, error)
                hashed = None
            with self._changed:
                if hashed is None:
                    self._unreadable.add(card.path)
                else:
                    self._cards = tuple(
                        other.model_copy(update=hashed) if other.path == card.path else other
                        for other in self._cards
                    )
                self._changed.notify_all()

    def _wait_for_missing(self) -> ModelCard | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed.is_set() or self._next_missing() is not None)
            return None if self._closed.is_set() else self._next_missing()

    def _next_missing(self) -> ModelCard | None:
        """Small files first: most of the list is complete soon."""
        missing = [card for card in self._cards if card.sha256 is None and card.path not in self._unreadable]
        return min(missing, key=lambda card: card.size, default=None)


def _folded(name: str) -> str:
    return name.strip().replace("\\", "/").casefold()


def _matches(cards: Sequence[ModelCard], wanted: str) -> Iterator[list[ModelCard]]:
    """Models that `wanted` may mean, from the strictest reading to the loosest."""
    exact = {card.path: {name.casefold() for name in (card.name, card.filename, card.title)} for card in cards}
    yield [card for card in cards if wanted in exact[card.path]]
    digest = wanted.removeprefix("sha256:")
    if len(digest) >= MIN_HASH_DIGITS:
        yield [card for card in cards if card.sha256 is not None and card.sha256.startswith(digest)]
    # A title from before or after the hash was known.
    bare, _, rest = wanted.rpartition(" [")
    if bare and rest.endswith("]"):
        digest = rest[:-1]
        same_hash = [card for card in cards if card.sha256 is not None and card.sha256.startswith(digest)]
        yield same_hash if len(digest) >= MIN_HASH_DIGITS else []
        yield [card for card in cards if card.sha256 is None and bare in exact[card.path]]
    yield [card for card in cards if wanted in (_last_part(card.name), _last_part(card.filename))]


def _last_part(name: str) -> str:
    return PurePosixPath(name.casefold()).name


def _lower_priority() -> None:
    """On Linux a thread has a priority of its own; elsewhere this would slow down the whole program."""
    if hasattr(threading, "get_native_id") and os.uname().sysname == "Linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        except OSError:
            return
