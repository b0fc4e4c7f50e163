"""The SQLite file: short-lived connections and migrations. The only place that knows sqlite3."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from generation.errors import StorageError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 10.0


class Database:
    """One SQLite file in WAL mode. A connection per operation (0.1 ms) needs no lock and no thread of its own."""

    def __init__(self, path: Path, migrations: Path = MIGRATIONS) -> None:
        """Opens or makes the file and brings it up to date. Raises StorageError."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(error) from error
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            _migrate(connection, migrations)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection whose rows can be read by column name. Raises StorageError."""
        with self._connection() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction: committed at the end, rolled back on an error. Raises StorageError."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
                yield connection
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> StorageError:
        return StorageError(
            f"The database {self.path} cannot be used: {error}.",
            "Check that its folder is writable and has free space; if the file is damaged, move it away.",
        )


class ExclusiveLock:
    """Held by one program at a time; the system releases it when the program ends in whatever way."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def take(cls, path: Path) -> ExclusiveLock | None:
        """The lock, or None if another program has it. SQLite's file locks work on every system."""
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            connection.close()
            return None
        return cls(connection)

    def release(self) -> None:
        """Let another program have it."""
        self._connection.close()


def _migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Runs the scripts `NNNN_name.sql` that come after the file's `user_version`, each in a transaction."""
    scripts = sorted((int(match[1]), file) for file in folder.iterdir() if (match := _SCRIPT.fullmatch(file.name)))
    newest = scripts[-1][0] if scripts else 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > newest:
            raise sqlite3.DatabaseError(f"it was written by a newer version of the program ({version} > {newest})")
        for number, file in scripts:
            if number > version:
                for statement in _statements(file.read_text("utf-8")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={number}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


_SCRIPT = re.compile(r"(\d{4})_\w+\.sql")


def _statements(script: str) -> Iterator[str]:
    """Single statements: `executescript` would commit in between."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
