"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what was there in one step. Raises OSError; then nothing changed."""
    temporary = _write_beside(path, content)
    try:
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_new_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, which must not exist: FileExistsError otherwise, other OSErrors as they come."""
    if os.path.lexists(path):
        raise FileExistsError(path)
    temporary = _write_beside(path, content)
    try:
        _give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _give_name(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike a rename this fails if the name was taken meanwhile
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # No hard links on this file system (exFAT, some network shares): take the name first, then fill it.
        path.touch(exist_ok=False)
        try:
            os.replace(temporary, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _write_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
