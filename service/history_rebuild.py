"""Builds the history again from the picture files: each holds all that is needed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from generation.errors import UserError
from generation.infotext_parse import parse_infotext
from generation.job import JobId
from generation.metadata import Metadata, read_infotext
from service.history import History, HistoryRow

log = logging.getLogger(__name__)

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif")


_SEED = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What came of it: pictures added, found at another place, known before, and files without infotext."""

    added: int = 0
    moved: int = 0
    known: int = 0
    skipped: int = 0


def rebuild(
    history: History,
    outputs_root: Path,
    owner: str = "",
    is_cancelled: Callable[[], bool] = lambda: False,
) -> RebuildReport:
    """Adds the pictures below the folder that the history lacks, as `owner`'s; nothing is removed.

    A file is known by its content. One that was moved by hand is found again. Time is the file's own.
    """
    counts = {"added": 0, "moved": 0, "known": 0, "skipped": 0}
    known = history.known_files()
    for path in _pictures(outputs_root):
        if is_cancelled():
            break
        try:
            data, modified = path.read_bytes(), path.stat().st_mtime
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 in known:
                counts[_again(history, *known[sha256], path)] += 1
                continue
            row = _row(read_infotext(data), path, modified, owner, sha256)
        except (OSError, UserError) as error:
            log.warning("%s was left out of the history: %s", path, error)
            row = None
        if row is None:
            counts["skipped"] += 1
            continue
        known[sha256] = (history.insert(row), path)
        counts["added"] += 1
    return RebuildReport(**counts)


def _again(history: History, image_id: int, recorded: Path, path: Path) -> str:
    """A file whose content is known: the same one, a copy of it, or the one that was moved."""
    if recorded.exists():
        return "known"
    history.note_moved(image_id, path, None)
    return "moved"


def _pictures(root: Path) -> Iterator[Path]:
    """Picture files below `root`, oldest name first; hidden folders like the trash are left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(folder, name)


def _row(metadata: Metadata, path: Path, modified: float, owner: str, sha256: str) -> HistoryRow | None:
    """The row for a picture of ours or of another program; None without infotext."""
    if not metadata.infotext:
        return None
    values = parse_infotext(metadata.infotext)
    seed = str(values.get("Seed", "")).strip()
    return HistoryRow(
        id=0,
        created=modified,
        job_id=JobId(""),
        owner=owner,
        path=path,
        seed=int(seed) if _SEED.fullmatch(seed) else -1,
        width=metadata.width,
        height=metadata.height,
        prompt=str(values.get("Prompt", "")),
        negative_prompt=str(values.get("Negative prompt", "")),
        model_name=str(values.get("Model", "")),
        model_hash=str(values.get("Model hash", "")),
        infotext=metadata.infotext,
        request=_request(metadata),
        sha256=sha256,
        is_partial=False,
    )


def _request(metadata: Metadata) -> str:
    """The whole request, if the picture is one of ours."""
    try:
        whole = json.loads(metadata.request_json or "")
    except (ValueError, RecursionError):
        return ""
    is_ours = isinstance(whole, dict) and isinstance(whole.get("request"), dict)
    return json.dumps(whole["request"], ensure_ascii=False) if is_ours else ""
