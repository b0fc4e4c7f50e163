"""What to look for in the history, and the SQL that finds it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions that a picture must all fulfil; None or "" = any.

    `text`: each of its words is in the prompt, the negative prompt or a tag, whatever the case; a "quoted part" is
    one word. `model`: part of the model's name, or the start of its hash. `since` <= created < `until`, in seconds
    since the epoch. `is_trashed`: look into the trash instead of among the pictures.
    """

    text: str = ""
    model: str = ""
    since: float | None = None
    until: float | None = None
    is_favourite: bool | None = None
    tag: str = ""
    owner: str | None = None
    is_trashed: bool = False


class Condition(NamedTuple):
    """An SQL condition over the table `images` with its values."""

    sql: str
    values: list[object]


def condition(search: Search) -> Condition:
    """The condition for a search. Its connection needs `add_functions`."""
    parts = ["trashed IS NOT NULL" if search.is_trashed else "trashed IS NULL"]
    values: list[object] = []

    def add(sql: str, *given: object) -> None:
        parts.append(sql)
        values.extend(given)

    for word in words(search.text):
        add(f"(has(prompt, ?) OR has(negative_prompt, ?) OR {_TAGGED.format('has(tag, ?)')})", word, word, word)
    if model := search.model.strip().casefold():
        add("(has(model_name, ?) OR substr(model_hash, 1, ?) = ?)", model, len(model), model)
    if search.since is not None:
        add("created >= ?", search.since)
    if search.until is not None:
        add("created < ?", search.until)
    if search.is_favourite is not None:
        add("is_favourite = ?", search.is_favourite)
    if search.tag.strip():
        add(_TAGGED.format("tag = ?"), clean_tag(search.tag))
    if search.owner is not None:
        add("owner = ?", search.owner)
    return Condition(" AND ".join(parts), values)


def add_functions(connection: sqlite3.Connection) -> None:
    """`has(text, word)`: SQLite itself ignores case only in English letters."""
    connection.create_function("has", 2, lambda text, word: word in text.casefold(), deterministic=True)


def words(text: str) -> list[str]:
    """The words to look for, folded; parts in double quotes stay together."""
    found: list[str] = []
    for position, part in enumerate(text.casefold().split('"')):
        found += [part.strip()] if position % 2 else part.split()
    return [word for word in found if word]


def clean_tag(tag: str) -> str:
    """A tag as it is stored: one line, single spaces, lower case."""
    return " ".join(tag.split()).casefold()


_TAGGED = "EXISTS (SELECT 1 FROM tags WHERE image_id = images.id AND {})"
