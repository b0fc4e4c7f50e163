"""Finished pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One finished picture. PNG bytes are encoded once, with the infotext inside.

    After saving, `path` points to the file and `png` may be empty to free memory: use `read_png()`.
    """

    seed: int
    infotext: str
    width: int
    height: int
    png: bytes = b""
    path: Path | None = None
    variation_seed: int = 0
    is_partial: bool = False  # stopped before its last step

    def read_png(self) -> bytes:
        """The PNG bytes, from memory or from the saved file. Raises OSError if the file is gone."""
        if self.png or self.path is None:
            return self.png
        return self.path.read_bytes()

    def saved_as(self, path: Path) -> GeneratedImage:
        """The same picture, remembered by its file instead of its bytes."""
        return replace(self, path=path, png=b"")
