"""One row per finished picture, newest first. The PNG files alone are enough to build it again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from generation.errors import InvalidRequest, UnknownName
from generation.job import Job, JobId
from generation.request import GenerationRequest
from generation.request_json import request_to_json
from generation.result import GeneratedImage
from service.database import Database
from service.history_search import Search, add_functions, clean_tag, condition

MAX_TAG = 100  # characters


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A picture that was made. `request` is JSON with pictures as "sha256:…"; "" if it is not known."""

    id: int
    created: float  # seconds since the epoch
    job_id: JobId
    owner: str
    path: Path
    seed: int
    width: int
    height: int
    prompt: str
    negative_prompt: str
    model_name: str
    model_hash: str
    infotext: str
    request: str
    sha256: str
    is_partial: bool
    is_favourite: bool = False
    tags: tuple[str, ...] = ()
    trashed: float | None = None  # seconds since the epoch; None = not in the trash


class History:
    """The pictures of this server, in SQLite. Thread-safe; all methods may raise StorageError."""

    def __init__(self, database: Database, outputs_root: Path, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._root = outputs_root
        self._clock = clock

    def add(self, job: Job, image: GeneratedImage) -> int:
        """Record a saved picture (`image.path` is set); the id of its row."""
        if image.path is None:
            raise ValueError("only saved pictures belong into the history")
        request = job.request
        return self.insert(
            HistoryRow(
                id=0,
                created=self._clock(),
                job_id=job.id,
                owner=job.owner,
                path=image.path,
                seed=image.seed,
                width=image.width,
                height=image.height,
                prompt=request.prompt,
                negative_prompt=request.negative_prompt,
                model_name=job.checkpoint.name,
                model_hash=job.checkpoint.sha256 or "",
                infotext=image.infotext,
                request=request_json(request),
                sha256=hashlib.sha256(image.png or image.read_png()).hexdigest(),
                is_partial=image.is_partial,
            )
        )

    def insert(self, row: HistoryRow) -> int:
        """Add a row whose `id` is to be given, and return that; tags and trash are left out."""
        values: dict[str, object] = {name: getattr(row, name) for name in _COLUMNS}
        values |= {"path": self._stored(row.path), "seed": str(row.seed)}
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._database.write() as connection:
            cursor = connection.execute(f"INSERT INTO images ({names}) VALUES ({marks})", values)
            return int(cursor.lastrowid or 0)

    def recent(self, limit: int = 50, offset: int = 0, owner: str | None = None) -> list[HistoryRow]:
        """Up to `limit` pictures, newest first, after skipping `offset`; of one owner if given."""
        return self.search(Search(owner=owner), limit, offset)

    def search(self, search: Search, limit: int = 50, offset: int = 0) -> list[HistoryRow]:
        """Up to `limit` pictures that fit, newest first, after skipping `offset`."""
        wanted = condition(search)
        query = f"{_SELECT} WHERE {wanted.sql} ORDER BY created DESC, id DESC LIMIT ? OFFSET ?"
        with self._database.read() as connection:
            add_functions(connection)
            rows = connection.execute(query, [*wanted.values, limit, offset]).fetchall()
        return [self._row(row) for row in rows]

    def get(self, image_id: int, owner: str | None = None) -> HistoryRow:
        """One picture, be it in the trash. Raises UnknownName if there is none, or it belongs to somebody else."""
        query = f"{_SELECT} WHERE id = ? AND (? IS NULL OR owner = ?)"
        with self._database.read() as connection:
            row = connection.execute(query, (image_id, owner, owner)).fetchone()
        if row is None:
            raise UnknownName(f"There is no picture {image_id} in the history.", "It may have been deleted.", "id")
        return self._row(row)

    def count(self, owner: str | None = None) -> int:
        """How many pictures there are (of one owner), without those in the trash."""
        return self.count_found(Search(owner=owner))

    def count_found(self, search: Search) -> int:
        """How many pictures fit."""
        wanted = condition(search)
        with self._database.read() as connection:
            add_functions(connection)
            return int(
                connection.execute(f"SELECT COUNT(*) FROM images WHERE {wanted.sql}", wanted.values).fetchone()[0]
            )

    def set_favourite(self, image_id: int, is_favourite: bool, owner: str | None = None) -> HistoryRow:
        """Mark a picture, or take the mark away. Raises UnknownName."""
        self.get(image_id, owner)
        with self._database.write() as connection:
            connection.execute("UPDATE images SET is_favourite = ? WHERE id = ?", (is_favourite, image_id))
        return self.get(image_id, owner)

    def set_tags(self, image_id: int, tags: Iterable[str], owner: str | None = None) -> HistoryRow:
        """Give a picture exactly these tags. Raises UnknownName, and InvalidRequest for a tag that is too long."""
        self.get(image_id, owner)
        cleaned = sorted({clean_tag(tag) for tag in tags} - {""})
        if too_long := [tag for tag in cleaned if len(tag) > MAX_TAG]:
            message = f"The tag {too_long[0][:60]!r}… has {len(too_long[0])} letters; {MAX_TAG} are allowed."
            raise InvalidRequest(message, "Shorten it.", "tags")
        with self._database.write() as connection:
            connection.execute("DELETE FROM tags WHERE image_id = ?", (image_id,))
            rows = [(image_id, tag) for tag in cleaned]
            connection.executemany("INSERT INTO tags (image_id, tag) VALUES (?, ?)", rows)
        return self.get(image_id, owner)

    def tags(self, owner: str | None = None) -> dict[str, int]:
        """All tags in use with how many pictures carry them, the most used first."""
        query = (
            "SELECT tag, COUNT(*) AS uses FROM tags JOIN images ON images.id = image_id "
            "WHERE trashed IS NULL AND (? IS NULL OR owner = ?) GROUP BY tag ORDER BY uses DESC, tag"
        )
        with self._database.read() as connection:
            return {row["tag"]: row["uses"] for row in connection.execute(query, (owner, owner))}

    def note_moved(self, image_id: int, path: Path, trashed: float | None) -> None:
        """The picture lies elsewhere now; `trashed` tells since when it is in the trash, None = it is not."""
        query = (
            "UPDATE images SET trashed_from = CASE WHEN :trashed IS NULL THEN NULL ELSE path END, "
            "path = :path, trashed = :trashed WHERE id = :id"
        )
        with self._database.write() as connection:
            connection.execute(query, {"path": self._stored(path), "trashed": trashed, "id": image_id})

    def trashed_from(self, image_id: int) -> Path | None:
        """Where a picture in the trash was before."""
        with self._database.read() as connection:
            row = connection.execute("SELECT trashed_from FROM images WHERE id = ?", (image_id,)).fetchone()
        return self._root / row["trashed_from"] if row and row["trashed_from"] else None

    def forget(self, image_id: int) -> None:
        """Remove a row for good."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def known_files(self) -> dict[str, tuple[int, Path]]:
        """sha256 of each recorded file, with its row and its path."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, path, sha256 FROM images").fetchall()
        return {row["sha256"]: (row["id"], self._root / row["path"]) for row in rows}

    def _stored(self, path: Path) -> str:
        """Paths below the outputs folder are kept relative, so that the folder may move."""
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)

    def _row(self, row: sqlite3.Row) -> HistoryRow:
        values = {name: row[name] for name in HistoryRow.__slots__}
        values["path"] = self._root / row["path"]
        values["seed"] = int(row["seed"])
        values["is_partial"] = bool(row["is_partial"])
        values["is_favourite"] = bool(row["is_favourite"])
        values["tags"] = tuple(row["tags"].split("\n")) if row["tags"] else ()
        return HistoryRow(**values)


_COLUMNS = [name for name in HistoryRow.__slots__ if name not in ("id", "tags", "trashed")]
_TAGS = "(SELECT group_concat(tag, char(10)) FROM (SELECT tag FROM tags WHERE image_id = images.id ORDER BY tag))"
_SELECT = f"SELECT *, {_TAGS} AS tags FROM images"


def request_json(request: GenerationRequest) -> str:
    """The request as JSON, with the bytes of pictures replaced by their hashes."""
    return json.dumps(json.loads(request_to_json(request))["request"], ensure_ascii=False)
