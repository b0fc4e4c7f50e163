"""The order in which waiting jobs are taken. Guarded by the queue's lock."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from service.job_entry import Entry


class Move(StrEnum):
    """Where a waiting job may be moved to."""

    FRONT = "front"
    UP = "up"
    DOWN = "down"
    BACK = "back"


class WaitingLine:
    """Waiting jobs, next one first. Held jobs keep their place and let the others pass."""

    def __init__(self) -> None:
        self.is_paused = False
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._entries

    def add(self, entry: Entry, *, front: bool = False) -> None:
        """Put a job at the end, or before all others."""
        self._entries.insert(0 if front else len(self._entries), entry)

    def remove(self, entry: Entry) -> None:
        """Take a job out, wherever it stands."""
        self._entries.remove(entry)

    def has_next(self) -> bool:
        """True if a worker may take a job now."""
        return not self.is_paused and any(not entry.status.held for entry in self._entries)

    def take(self) -> Entry:
        """The next job that is not held, out of the line."""
        entry = next(entry for entry in self._entries if not entry.status.held)
        self._entries.remove(entry)
        return entry

    def position(self, entry: Entry) -> int:
        """How many jobs will be taken before this one."""
        return sum(not other.status.held for other in self._entries[: self._entries.index(entry)])

    def move(self, entry: Entry, to: Move, owner: str | None) -> None:
        """Move a job. With an owner it only changes places with that owner's jobs: nobody overtakes others."""
        slots = [at for at, other in enumerate(self._entries) if owner is None or other.job.owner == owner]
        theirs = [self._entries[at] for at in slots]
        at = theirs.index(entry)
        last = len(theirs) - 1
        target = {Move.FRONT: 0, Move.UP: max(at - 1, 0), Move.DOWN: min(at + 1, last), Move.BACK: last}[to]
        theirs.insert(target, theirs.pop(at))
        for slot, other in zip(slots, theirs, strict=True):
            self._entries[slot] = other
