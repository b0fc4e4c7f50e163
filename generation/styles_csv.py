"""styles.csv as A1111 keeps it: columns name, prompt, negative_prompt."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from generation.errors import InvalidRequest
from generation.styles import Style

COLUMNS = ("name", "prompt", "negative_prompt")
BOM = "\ufeff"
MAX_FIELD = 100_000  # characters; the csv module's own limit, said out loud
COMMENT = "#"


def read_styles(data: bytes | str) -> list[Style]:
    """The styles in a CSV file, in order; of equal names the last wins, at the place of the first.

    UTF-8 with or without BOM, else Latin-1. Early files called the prompt "text". Rows whose name starts with
    "#" are comments. Raises InvalidRequest for what is no CSV file with a "name" column.
    """
    text = _decode(data) if isinstance(data, bytes) else data
    rows = csv.DictReader(io.StringIO(text.removeprefix(BOM), newline=""), skipinitialspace=True)
    styles: dict[str, Style] = {}
    try:
        if "name" not in (rows.fieldnames or ()):
            hint = f"Its first line must read {','.join(COLUMNS)}."
            raise InvalidRequest("The styles file has no column 'name'.", hint, "styles")
        for row in rows:
            name = row.get("name") or ""
            if name and not name.startswith(COMMENT):
                prompt = row.get("prompt") if "prompt" in row else row.get("text")
                styles[name] = Style(name, prompt or "", row.get("negative_prompt") or "")
    except csv.Error as error:
        message = f"The styles file cannot be read near line {rows.line_num}: {error}."
        raise InvalidRequest(message, "Mend the quotes in that line.", "styles") from None
    return list(styles.values())


def write_styles(styles: Iterable[Style]) -> bytes:
    """The CSV file of these styles, in UTF-8 with BOM so that spreadsheets know it.

    Raises InvalidRequest for a style that would not come back: without a name, named like a comment, or too long.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for style in styles:
        _check(style)
        writer.writerow((style.name, style.prompt, style.negative_prompt))
    return (BOM + buffer.getvalue()).encode()


def _check(style: Style) -> None:
    name = style.name
    if not name or name != name.strip() or name.startswith(COMMENT):
        hint = "A name is not empty, does not start with # and has no white space at its ends."
        raise InvalidRequest(f"A style cannot be called {name!r}.", hint, "name")
    for text in (name, style.prompt, style.negative_prompt):
        if len(text) > MAX_FIELD or "\0" in text or "\r" in text or text != text.lstrip(" "):
            message = f"A text of the style {name!r} cannot be kept in a CSV file."
            raise InvalidRequest(message, "Use at most 100,000 characters, none of them NUL or CR.", "prompt")


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
