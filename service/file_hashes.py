"""sha256 of big files, remembered as long as size and time of the file stay the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from generation.errors import StorageError
from service.database import Database

CHUNK = 2**20


class FileHashes:
    """Hashes with a cache in SQLite. All methods may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, path: Path) -> str | None:
        """The hash, if it was computed before and the file has not changed since; no file is read."""
        try:
            stamp = path.stat()
        except OSError:
            return None
        query = "SELECT sha256 FROM file_hashes WHERE path = ? AND size = ? AND modified = ?"
        try:
            with self._database.read() as connection:
                row = connection.execute(query, (str(path.resolve()), stamp.st_size, stamp.st_mtime_ns)).fetchone()
        except StorageError:
            return None  # it is only a cache
        return str(row["sha256"]) if row else None

    def compute(self, path: Path, is_cancelled: Callable[[], bool] = lambda: False) -> str | None:
        """The hash, from the cache or by reading the file; None if cancelled. Raises OSError."""
        if (known := self.known(path)) is not None:
            return known
        digest = hashlib.sha256()
        with path.open("rb") as file:
            before = path.stat()
            while chunk := file.read(CHUNK):
                if is_cancelled():
                    return None
                digest.update(chunk)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            self._remember(path, after.st_size, after.st_mtime_ns, digest.hexdigest())
        return digest.hexdigest()

    def _remember(self, path: Path, size: int, modified: int, sha256: str) -> None:
        query = "INSERT OR REPLACE INTO file_hashes (path, size, modified, sha256) VALUES (?, ?, ?, ?)"
        try:
            with self._database.write() as connection:
                connection.execute(query, (str(path.resolve()), size, modified, sha256))
        except StorageError:
            return  # it will be computed again
