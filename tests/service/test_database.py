from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from generation.errors import StorageError
from service.database import Database


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("-- with; a semicolon\nCREATE TABLE things (name TEXT);\n")
    return folder


def version_of(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_the_file_is_in_wal_mode_and_up_to_date(tmp_path: Path) -> None:
    database = Database(tmp_path / "deep/down/x.db")
    with database.read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert version_of(database) >= 1


def test_migrations_run_once_and_in_order(tmp_path: Path, scripts: Path) -> None:
    first = Database(tmp_path / "x.db", scripts)
    with first.write() as connection:
        connection.execute("INSERT INTO things VALUES ('old')")
    (scripts / "0002_more.sql").write_text(
        "ALTER TABLE things ADD COLUMN size INTEGER;\nUPDATE things SET size = 1;"
    )
    (scripts / "notes.txt").write_text("not a script")
    second = Database(tmp_path / "x.db", scripts)
    assert (version_of(first), version_of(Database(tmp_path / "x.db", scripts))) == (2, 2)
    with second.read() as connection:
        assert [tuple(row) for row in connection.execute("SELECT name, size FROM things")] == [("old", 1)]


def test_a_failing_migration_changes_nothing(tmp_path: Path, scripts: Path) -> None:
    Database(tmp_path / "x.db", scripts)
    (scripts / "0002_bad.sql").write_text("CREATE TABLE more (name TEXT);\nnonsense;")
    with pytest.raises(StorageError, match="nonsense"):
        Database(tmp_path / "x.db", scripts)
    (scripts / "0002_bad.sql").unlink()
    database = Database(tmp_path / "x.db", scripts)
    assert version_of(database) == 1
    with database.read() as connection:
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'more'").fetchone()[0] == 0


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path, scripts: Path) -> None:
    Database(tmp_path / "x.db")
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("PRAGMA user_version=9999")
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        Database(tmp_path / "x.db")


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StorageError, match=r"x\.db cannot be used: file is not a database"):
        Database(tmp_path / "x.db")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        Database(tmp_path / "file/x.db")


def test_a_write_that_fails_is_rolled_back(tmp_path: Path, scripts: Path) -> None:
    database = Database(tmp_path / "x.db", scripts)

    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO things VALUES ('x')")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    with database.read() as connection:
        assert connection.execute("SELECT COUNT(*) FROM things").fetchone()[0] == 0


def test_many_threads_write_at_the_same_time(tmp_path: Path, scripts: Path) -> None:
    database = Database(tmp_path / "x.db", scripts)

    def add(number: int) -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO things VALUES (?)", (str(number),))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(100)))
    with database.read() as connection:
        assert connection.execute("SELECT COUNT(DISTINCT name) FROM things").fetchone()[0] == 100
