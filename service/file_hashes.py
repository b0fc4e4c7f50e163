"""sha256 of big files, remembered as long as size and time of the file stay the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from generation.errors import StorageError
from service.database import Database
from service.safetensors_metadata import body_offset

CHUNK = 2**20


class FileHashes:
    """Hashes with a cache in SQLite. All methods may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, path: Path) -> str | None:
        """The hash, if it was computed before and the file has not changed since; no file is read."""
        return self._read(path, "sha256")

    def known_body(self, path: Path) -> str | None:
        """The same of what follows the header of a safetensors file."""
        return self._read(path, "body_sha256")

    def _read(self, path: Path, column: str) -> str | None:
        try:
            stamp = path.stat()
        except OSError:
            return None
        query = f"SELECT {column} FROM file_hashes WHERE path = ? AND size = ? AND modified = ?"
        try:
            with self._database.read() as connection:
                row = connection.execute(query, (str(path.resolve()), stamp.st_size, stamp.st_mtime_ns)).fetchone()
        except StorageError:
            return None  # it is only a cache
        return str(row[column]) or None if row else None

    def compute(
        self, path: Path, is_cancelled: Callable[[], bool] = lambda: False, *, with_body: bool = False
    ) -> str | None:
        """The hash, from the cache or by reading the file; None if cancelled. Raises OSError.

        `with_body` makes `known_body` known as well. It costs a second hash, so it is not for big files.
        """
        known = self.known(path)
        if known is not None and (not with_body or self.known_body(path) is not None):
            return known
        digest, body = hashlib.sha256(), hashlib.sha256()
        before = path.stat()
        # Of other files the body is all there is: that is what A1111 takes for them.
        skipped = body_offset(path) if with_body else 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                if is_cancelled():
                    return None
                digest.update(chunk)
                if with_body:
                    body.update(chunk[skipped:])
                    skipped = max(skipped - len(chunk), 0)
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            stamp = after.st_size, after.st_mtime_ns
            self._remember(path, stamp, digest.hexdigest(), body.hexdigest() if with_body else "")
        return digest.hexdigest()

    def _remember(self, path: Path, stamp: tuple[int, int], sha256: str, body_sha256: str) -> None:
        query = (
            "INSERT OR REPLACE INTO file_hashes (path, size, modified, sha256, body_sha256) VALUES (?, ?, ?, ?, ?)"
        )
        try:
            with self._database.write() as connection:
                connection.execute(query, (str(path.resolve()), *stamp, sha256, body_sha256))
        except StorageError:
            return  # it will be computed again
