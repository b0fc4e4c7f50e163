"""Deleting pictures so that it can be undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from generation.errors import InvalidRequest, StorageError
from service.history import History, HistoryRow
from service.history_search import Search

FOLDER = ".trash"
PAGE = 500


@dataclass(frozen=True)
class Trash:
    """A hidden folder below the outputs folder. Files elsewhere are never touched."""

    history: History
    outputs_root: Path
    clock: Callable[[], float] = time.time

    def put(self, image_id: int, owner: str | None = None) -> HistoryRow:
        """Move a picture into the trash. A favourite must lose its mark first. Raises UnknownName, InvalidRequest
        and StorageError."""
        row = self.history.get(image_id, owner)
        if row.trashed is not None:
            return row
        if row.is_favourite:
            hint = "Take the mark away first."
            raise InvalidRequest(f"Picture {image_id} is a favourite and therefore protected.", hint, "id")
        target = self.outputs_root / FOLDER / f"{row.id}-{row.path.name}"
        self.history.note_moved(image_id, self._moved(row.path, target), self.clock())
        return self.history.get(image_id, owner)

    def restore(self, image_id: int, owner: str | None = None) -> HistoryRow:
        """Bring a picture back to where it was, under another name if that is taken now. Raises as `put`."""
        row = self.history.get(image_id, owner)
        if row.trashed is None:
            return row
        home = self.history.trashed_from(image_id) or self.outputs_root / row.path.name
        target = home
        number = 1
        while row.path != target and target.exists():
            number += 1
            target = home.with_name(f"{home.stem} ({number}){home.suffix}")
        self.history.note_moved(image_id, self._moved(row.path, target), None)
        return self.history.get(image_id, owner)

    def empty(self, owner: str | None = None) -> int:
        """Delete all that is in the trash (of one owner) for good; how many pictures there were."""
        removed = 0
        while rows := self.history.search(Search(owner=owner, is_trashed=True), PAGE):
            for row in rows:
                self._delete(row)
            removed += len(rows)
        return removed

    def _delete(self, row: HistoryRow) -> None:
        try:
            if row.path.parent == self.outputs_root / FOLDER:
                row.path.unlink(missing_ok=True)
        except OSError as error:
            raise _failed("deleted", row.path, error) from error
        self.history.forget(row.id)

    def _moved(self, source: Path, target: Path) -> Path:
        """Where the file lies afterwards: `target`, or `source` if it is gone or not ours to move."""
        if not source.is_relative_to(self.outputs_root) or not source.exists():
            return source
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return source.rename(target)
        except OSError as error:
            raise _failed("moved", source, error) from error


def _failed(what: str, path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageError(f"{path} could not be {what}: {reason}.", "Make the folder writable.")
